"""The initrd: what finds, checks and mounts the root. The firmware reads all of it at each boot."""

import datetime
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from llmos_image import mkosi, payload
from llmos_image.cache import Cache, digest_of_tree
from llmos_image.payload import INITRD
from llmos_image.render import RenderedTree
from llmos_image.run import Log
from llmos_image.spec import ImageSpec
from llmos_image.tools import ToolsTree

_CPIO = "initrd.cpio.zst"
_FACTS = "initrd.sbom.tar"
_DATE = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


@dataclass(frozen=True)
class Initrd:
    """A finished initrd, without modules: those come with the kernel."""

    cpio: Path
    facts: Path
    """What its SBOM is made of."""


def built(
    spec: ImageSpec,
    rendered: RenderedTree,
    overlays: Path,
    cache: Cache,
    tools: ToolsTree,
    work: Path,
    log: Log,
) -> Initrd:
    """The initrd of ``spec`` with its own files, ``overlays``/initrd; found in the cache or made.

    All its files are of one day: with the day of the sources it would differ after each change
    of anything. It is made in ``work``, a new folder.

    Raises:
        BuildFailed: mkosi failed.
    """
    tree = _tree_of(rendered)
    # The mirror in the package sources makes no other initrd.
    own = {str(path): file.text for path, file in tree.files.items() if not _is_source(path)}
    packages = {"tools": tools.path.parent.name, "suite": spec.debian.suite, "initrd": own}
    parts = {**packages, "files": digest_of_tree(overlays / INITRD)}

    def make(content: Path) -> None:
        place = mkosi.Workplace(
            tree=work / "tree",
            output=work / "output",
            workspace=work / "workspace",
            layers=cache.scratch("layers", packages),
            packages=cache.scratch("packages", {"suite": spec.debian.suite}),
        )
        tree.write(place.tree)
        payload.stage(place.tree / "mkosi.extra", [overlays / INITRD], ())
        for folder in (place.output, place.workspace):
            folder.mkdir()
        mkosi.build(tools, place, date=_DATE, packages=[], extra=[], log=log)
        for made in (_CPIO, _FACTS):
            shutil.move((place.output / made).resolve(), content / made)

    content = cache.get("initrd", parts, what="initrd", make=make).content
    return Initrd(content / _CPIO, content / _FACTS)


def _tree_of(rendered: RenderedTree) -> RenderedTree:
    """The initrd's part of a rendered tree, with the same package sources."""
    inner = {
        path.relative_to(INITRD): file
        for path, file in rendered.files.items()
        if path.is_relative_to(INITRD)
    }
    sources = {path: file for path, file in rendered.files.items() if _is_source(path)}
    return RenderedTree({**inner, **sources})


def _is_source(path: PurePosixPath) -> bool:
    return path.parts[0] == "mkosi.sandbox"
