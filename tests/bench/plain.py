"""The image as plain mkosi builds it, with the same packages, files and format as ours.

Plain means: a configuration as a person would write it by mkosi's manual, with mkosi's own
initrd. What ours does besides is its own: our code, five entries of the boot menu, the
partitions apart for updates, the lists of contents, checksums.
"""

import time
from pathlib import Path, PurePosixPath

from llmos_image import mkosi, payload
from llmos_image.archive import host_archive
from llmos_image.build import Ground, prepare
from llmos_image.cache import Cache
from llmos_image.progress import PlainReporter
from llmos_image.render import RenderedFile, RenderedTree, kernel_arguments_of, packages_of, render
from llmos_image.run import Log
from llmos_image.sourcedate import source_date
from llmos_image.spec import ImageSpec, load
from tests.bench.image import ROOT

_SAME = {"mkosi.sandbox", "mkosi.repart"}


def build_plainly(cache: Cache, work: Path, log: Log) -> tuple[float, Path]:
    """Build the spec ``vm`` with mkosi alone; the seconds it took, and the disk."""
    spec = load(ROOT / "image" / "specs" / "vm.toml").with_archive(host_archive())
    ground = prepare(spec, cache, PlainReporter(), log)
    staged = work / "payload"
    staged.mkdir(parents=True)
    payload.stage(staged, (), spec.models)
    begun = time.monotonic()
    _tree(spec).write(work / "tree")
    _build(ground, spec, cache, work, staged, log)
    return time.monotonic() - begun, work / "output" / "image.raw"


def _build(
    ground: Ground, spec: ImageSpec, cache: Cache, work: Path, staged: Path, log: Log
) -> None:
    place = mkosi.Workplace(
        tree=work / "tree",
        output=work / "output",
        workspace=work / "workspace",
        layers=work / "layers",
        packages=cache.scratch("packages", {"suite": spec.debian.suite}),
    )
    for folder in (place.output, place.workspace, place.layers):
        folder.mkdir()
    mkosi.build(
        ground.tools,
        place,
        date=source_date(ROOT),
        packages=[f"libggml0={ground.llama.ggml_version}"],
        extra=[f"{ground.runtime.layer}:/usr/lib/llmos", str(staged)],
        log=log,
    )


def _tree(spec: ImageSpec) -> RenderedTree:
    """A plain configuration, with the package sources and the partitions of our own."""
    same = {path: file for path, file in render(spec).files.items() if path.parts[0] in _SAME}
    return RenderedTree({**same, PurePosixPath("mkosi.conf"): RenderedFile(_configuration(spec))})


def _configuration(spec: ImageSpec) -> str:
    packages = "".join(f"\n        {name}" for name in packages_of(spec))
    return f"""\
[Distribution]
Distribution=debian
Release={spec.debian.suite}
Architecture=x86-64
Repositories={",".join(name for name in spec.debian.components if name != "main")}

[Output]
Format=disk
Output=image

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
Hostname=plain
RootPassword=hashed:!*
KernelCommandLine={" ".join(kernel_arguments_of(spec))}

[Build]
WithNetwork=no
"""
