"""A stock minimal Debian image, made by the same tools: what the boot is compared with."""

import datetime
import tempfile
from pathlib import Path, PurePosixPath

from llmos_image import mkosi
from llmos_image.archive import host_archive
from llmos_image.cache import Cache
from llmos_image.render import RenderedFile, RenderedTree, kernel_arguments_of, render
from llmos_image.run import Log
from llmos_image.spec import ImageSpec, load
from llmos_image.tools import ToolsTree
from tests.bench.image import ROOT

_PACKAGES = (
    "dbus",
    "linux-image-cloud-amd64",
    "login",
    "passwd",
    "systemd",
    "systemd-boot",
    "systemd-boot-efi",
    "systemd-sysv",
    "udev",
)
_SANDBOX = "mkosi.sandbox"
_DATE = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def stock_disk(cache: Cache, tools: ToolsTree, log: Log) -> Path:
    """The stock image's disk; built when the cache has none.

    Raises:
        BuildFailed: mkosi failed.
    """
    spec = load(ROOT / "image" / "specs" / "vm.toml").with_archive(host_archive())
    configuration = _configuration(spec)
    parts = {"configuration": configuration, "tools": tools.path.parent.name}

    def make(content: Path) -> None:
        with tempfile.TemporaryDirectory(dir=cache.root, prefix="stock-") as name:
            work = Path(name)
            _tree(spec, configuration).write(work / "tree")
            place = mkosi.Workplace(
                tree=work / "tree",
                output=content,
                workspace=work / "workspace",
                layers=work / "layers",
                packages=cache.scratch("packages", {"suite": spec.debian.suite}),
            )
            for folder in (place.workspace, place.layers):
                folder.mkdir()
            mkosi.build(tools, place, date=_DATE, packages=[], extra=[], log=log)

    entry = cache.get("bench-stock", parts, what="stock image to compare with", make=make)
    return entry.content / "stock.raw"


def _tree(spec: ImageSpec, configuration: str) -> RenderedTree:
    """The stock configuration, with the package sources that our own image is built from."""
    sources = {path: file for path, file in render(spec).files.items() if path.parts[0] == _SANDBOX}
    return RenderedTree({**sources, PurePosixPath("mkosi.conf"): RenderedFile(configuration)})


def _configuration(spec: ImageSpec) -> str:
    packages = "".join(f"\n        {name}" for name in _PACKAGES)
    return f"""\
[Distribution]
Distribution=debian
Release={spec.debian.suite}
Architecture=x86-64

[Output]
Format=disk
Output=stock

[Content]
Packages={packages}
WithDocs=no
WithRecommends=no
Bootable=yes
Bootloader=systemd-boot
UnifiedKernelImages=yes
Locale=C.UTF-8
Keymap=us
Timezone=UTC
Hostname=stock
RootPassword=hashed:!*
KernelCommandLine={" ".join(kernel_arguments_of(spec))}

[Build]
WithNetwork=no
"""
