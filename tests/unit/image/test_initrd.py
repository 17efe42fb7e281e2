"""The initrd in the cache: made anew when something of its own has changed, and only then."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmos_image import initrd, mkosi
from llmos_image.archive import Archive
from llmos_image.cache import Cache, digest_of_tree
from llmos_image.places import SOURCE
from llmos_image.render import render
from llmos_image.run import Log
from llmos_image.spec import ImageSpec, parse

SPEC = '[image]\nid = "{id}"\nversion = "1"\n[system]\nkeymap = "{keymap}"\n'


class Builder:
    """Builds, as far as this goes, the spec's initrd; counts how often mkosi was asked to."""

    def __init__(self, folder: Path) -> None:
        self.cache = Cache(folder / "cache")
        self.overlays = folder / "overlays"
        shutil.copytree(SOURCE / "overlays/initrd", self.overlays / "initrd", symlinks=True)
        self.log = Log(folder / "log")
        self.work = folder / "work"
        self.runs = 0

    def mkosi(self, _tools: object, place: mkosi.Workplace, **_: Any) -> None:
        self.runs += 1
        assert (place.tree / "mkosi.extra/usr/lib/llmos-initrd/mount-data").stat().st_mode & 0o111
        assert (place.tree / "mkosi.sandbox/etc/apt/sources.list.d/mkosi.sources").is_file()
        text = (place.tree / "mkosi.conf").read_text()
        (place.output / "initrd.cpio.zst").write_text(text)
        (place.output / "initrd.sbom.tar").write_text("facts")

    def built(self, mirror: str = "http://one.example/debian", **values: str) -> initrd.Initrd:
        text = SPEC.format(**{"id": "x", "keymap": "us", **values})
        spec: ImageSpec = parse(text, path=Path("x.toml")).with_archive(Archive(mirror, None))
        tools: Any = SimpleNamespace(path=Path("/cache/tools/abc/content"))
        work = self.work / str(self.runs)
        tree = render(spec)
        return initrd.built(spec, tree, self.overlays, self.cache, tools, work, self.log)


@pytest.fixture
def builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Builder:
    made = Builder(tmp_path)
    monkeypatch.setattr(mkosi, "build", made.mkosi)
    return made


def test_another_image_from_another_mirror_takes_the_same(builder: Builder) -> None:
    first = builder.built()
    assert builder.built("http://two.example/debian", id="y") == first
    assert builder.runs == 1
    assert "MakeInitrd=yes" in first.cpio.read_text()
    assert first.facts.read_text() == "facts"


def test_another_keyboard_makes_another(builder: Builder) -> None:
    assert builder.built().cpio != builder.built(keymap="de").cpio


@pytest.mark.parametrize("name", ["mount-data", "new"])
def test_a_change_of_its_own_files_makes_another(builder: Builder, name: str) -> None:
    first = builder.built()
    with (builder.overlays / "initrd/usr/lib/llmos-initrd" / name).open("a") as file:
        file.write("# changed\n")
    assert builder.built().cpio != first.cpio


def test_the_digest_of_a_tree_is_of_names_modes_links_and_contents(tmp_path: Path) -> None:
    def tree(name: str, *, content: str = "a", mode: int = 0o644, link: str = "file") -> str:
        folder = tmp_path / name
        (folder / "folder").mkdir(parents=True)
        (folder / "folder/file").write_text(content)
        (folder / "folder/file").chmod(mode)
        (folder / "link").symlink_to(link)
        return digest_of_tree(folder)

    same = tree("one")
    assert tree("two") == same
    others = {tree("c", content="b"), tree("m", mode=0o755), tree("l", link="folder")}
    assert len({same, *others}) == 4
