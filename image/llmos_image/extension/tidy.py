"""From what the packages wrote to what an extension may carry."""

import posixpath
from collections.abc import Sequence
from pathlib import Path

from llmos_image.cache import remove_tree
from llmos_image.errors import BuildFailed

_KEPT = frozenset({"usr", "opt"})
# Facts about the base that the packages' scripts wrote anew: the base's own have to stay.
_BASES = (
    "usr/lib/sysimage",
    "usr/lib/os-release",
    "usr/lib/udev/hwdb.bin",
    "usr/lib/locale/locale-archive",
)
_ALTERNATIVES = "/etc/alternatives/"


def tidy(tree: Path, layer: Path) -> Sequence[str]:
    """Make ``tree`` (what was added over ``layer``) an extension; return what was left out.

    Links through ``/etc/alternatives``, which an extension cannot bring, lead straight to
    their ends.

    Raises:
        BuildFailed: it would carry kernel modules: the base's list of them would not be right.
    """
    modules = tree / "usr/lib/modules"
    if modules.is_dir() and any(modules.rglob("*")):
        raise BuildFailed(
            "the extension would carry kernel modules; those belong into the image",
            hint="For NVIDIA's: gpu.nvidia in the spec.",
        )
    _resolve_alternatives(tree, layer)
    dropped = []
    for path in sorted(tree.iterdir()):
        if path.name not in _KEPT:
            dropped += [str(file.relative_to(tree)) for file in path.rglob("*") if _is_file(file)]
            _remove(path)
    for name in _BASES:
        if (tree / name).exists() or (tree / name).is_symlink():
            dropped.append(name)
            _remove(tree / name)
    return dropped


def release(tree: Path, name: str, version: str) -> None:
    """Write the file that ties the extension ``name`` to the base's ``version``."""
    folder = tree / "usr/lib/extension-release.d"
    folder.mkdir(parents=True, exist_ok=True)
    text = f"ID=llmos\nVERSION_ID={version}\nARCHITECTURE=x86-64\nSYSEXT_SCOPE=system\n"
    (folder / f"extension-release.{name}_{version}").write_text(text)


def _resolve_alternatives(tree: Path, layer: Path) -> None:
    # All ends before the first change: a folder lists its files in no order, and an
    # alternative that was made straight already would lead its users astray.
    ends = {
        link: _end(str(link.readlink()), link.relative_to(tree), (tree, layer))
        for link in tree.rglob("*")
        if link.is_symlink() and str(link.readlink()).startswith(_ALTERNATIVES)
    }
    for link, end in ends.items():
        link.unlink()
        link.symlink_to(posixpath.relpath(end, f"/{link.relative_to(tree).parent}"))


def _end(target: str, link: Path, roots: Sequence[Path]) -> str:
    """Where ``target`` leads in the end, as an absolute path of the image."""
    while target.startswith(_ALTERNATIVES):
        found = next((at for root in roots if (at := root / target[1:]).is_symlink()), None)
        if found is None:
            raise BuildFailed(f"/{link}: leads to {target}, which leads nowhere")
        # A relative one is told from its own folder; join keeps an absolute one.
        target = posixpath.normpath(posixpath.join(_ALTERNATIVES, str(found.readlink())))
    return target


def _is_file(path: Path) -> bool:
    return path.is_symlink() or path.is_file()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        remove_tree(path)
    else:
        path.unlink()
