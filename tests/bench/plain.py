"""Images that mkosi builds alone, by a configuration as a person would write it by its manual.

One is small and boots; the other has the same packages, files and format as ours, for the time
that it takes. What ours does besides is its own: our code, five entries of the boot menu, the
partitions apart for updates, the lists of contents, checksums.
"""

import datetime
import time
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath

from llmos_image import mkosi, payload
from llmos_image.archive import host_archive
from llmos_image.build import prepare
from llmos_image.cache import Cache
from llmos_image.progress import PlainReporter
from llmos_image.render import RenderedFile, RenderedTree, kernel_arguments_of, packages_of, render
from llmos_image.run import Log
from llmos_image.sourcedate import source_date
from llmos_image.spec import ImageSpec, load
from llmos_image.tools import ToolsTree
from tests.bench.image import ROOT

SOURCES = "mkosi.sandbox"
"""Where a tree has its package sources."""


def spec_of_ours() -> ImageSpec:
    """The spec ``vm``, with the archive of this host."""
    return load(ROOT / "image" / "specs" / "vm.toml").with_archive(host_archive())


def like_ours(cache: Cache, work: Path, log: Log, space: Path) -> tuple[float, Path]:
    """Build the spec ``vm`` with mkosi alone; the seconds it took, and the disk.

    Its workspace is ``space``, which is where ours would be.
    """
    spec = spec_of_ours()
    ground = prepare(spec, cache, PlainReporter(), log)
    staged = work / "payload"
    staged.mkdir(parents=True)
    payload.stage(staged, (), spec.models)
    begun = time.monotonic()
    disk = build(
        ground.tools,
        plain_tree(spec, "plain", packages_of(spec), same={SOURCES, "mkosi.repart"}),
        "plain",
        cache=cache,
        output=work / "output",
        work=work,
        space=space,
        date=source_date(ROOT),
        packages=[f"libggml0={ground.llama.ggml_version}"],
        extra=[f"{ground.runtime.layer}:/usr/lib/llmos", str(staged)],
        log=log,
    )
    return time.monotonic() - begun, disk


def build(
    tools: ToolsTree,
    tree: RenderedTree,
    name: str,
    *,
    cache: Cache,
    output: Path,
    work: Path,
    space: Path | None = None,
    date: datetime.datetime,
    log: Log,
    packages: Sequence[str] = (),
    extra: Sequence[str] = (),
) -> Path:
    """Build ``tree`` into ``output``; return the disk, ``name`` as its own name.

    Raises:
        BuildFailed: mkosi failed.
    """
    tree.write(work / "tree")
    place = mkosi.Workplace(
        tree=work / "tree",
        output=output,
        workspace=space or work / "workspace",
        layers=work / "layers",
        packages=cache.scratch("packages", {"suite": spec_of_ours().debian.suite}),
    )
    for folder in (place.output, place.workspace, place.layers):
        folder.mkdir(exist_ok=True)
    mkosi.build(tools, place, date=date, packages=packages, extra=extra, log=log)
    return output / f"{name}.raw"


def plain_tree(
    spec: ImageSpec, name: str, packages: Sequence[str], *, same: Collection[str]
) -> RenderedTree:
    """A plain configuration for ``packages``; the folders ``same`` are those of our own."""
    ours = {path: file for path, file in render(spec).files.items() if path.parts[0] in same}
    listed = "".join(f"\n        {package}" for package in packages)
    configuration = f"""\
[Distribution]
Distribution=debian
Release={spec.debian.suite}
Architecture=x86-64

[Output]
Format=disk
Output={name}

[Content]
Packages={listed}
WithDocs=no
WithRecommends=no
Bootable=yes
Bootloader=systemd-boot
UnifiedKernelImages=yes
Locale=C.UTF-8
Keymap=us
Timezone=UTC
Hostname={name}
RootPassword=hashed:!*
KernelCommandLine={" ".join(kernel_arguments_of(spec))}

[Build]
WithNetwork=no
"""
    return RenderedTree({**ours, PurePosixPath("mkosi.conf"): RenderedFile(configuration)})
