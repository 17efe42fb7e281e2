"""The initrd: what finds, checks and mounts the root. The firmware reads all of it at each boot."""

import datetime
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from llmos_image import mkosi
from llmos_image.cache import Cache, digest_of_tree
from llmos_image.payload import INITRD, normalize_modes
from llmos_image.render import RenderedTree
from llmos_image.run import Log
from llmos_image.spec import ImageSpec
from llmos_image.tools import ToolsTree

_SANDBOX = "mkosi.sandbox"
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
    log: Log,
) -> Initrd:
    """The initrd of ``spec`` with its own files, ``overlays``/initrd; found in the cache or made.

    All its files are of one day: with the day of the sources it would differ after each change
    of anything.

    Raises:
        BuildFailed: mkosi failed.
    """
    tree = _tree_of(rendered)
    configuration = {str(path): tree.files[path].text for path in sorted(tree.files)}
    named = {name: text for name, text in configuration.items() if not name.startswith(_SANDBOX)}
    parts = {
        "tools": tools.path.parent.name,
        "suite": spec.debian.suite,
        "configuration": named,
        "files": digest_of_tree(overlays / INITRD),
    }

    def make(content: Path) -> None:
        with tempfile.TemporaryDirectory(dir=cache.root, prefix="initrd-") as name:
            work = Path(name)
            tree.write(work / "tree")
            extra = work / "tree" / "mkosi.extra"
            shutil.copytree(overlays / INITRD, extra, symlinks=True, dirs_exist_ok=True)
            normalize_modes(extra)
            place = mkosi.Workplace(
                tree=work / "tree",
                output=work / "output",
                workspace=work / "workspace",
                layers=cache.scratch("layers", {"of": "initrd", **parts, "files": ""}),
                packages=cache.scratch("packages", {"suite": spec.debian.suite}),
            )
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
    sources = {path: file for path, file in rendered.files.items() if path.parts[0] == _SANDBOX}
    return RenderedTree({**inner, **sources})
