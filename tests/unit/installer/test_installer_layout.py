"""An installed disk is divided as first boot divides a stick."""

from pathlib import Path, PurePosixPath

import pytest

from llmos_image.render import render
from llmos_image.spec import Debian, ImageSpec, load
from llmos_installer.errors import NotHere
from llmos_installer.layout import DEFINITIONS, Filling, Layout, Slot, definitions

ROOT = Path(__file__).resolve().parents[3]
SPECS = sorted((ROOT / "image/specs").glob("*.toml"))
NOTHING = Slot(Path("/dev/null"), "uuid", "label")


def an_image(spec: ImageSpec, folder: Path) -> dict[str, str]:
    """The image's own definitions, written below ``folder`` and by name."""
    mirrored = spec.model_copy(update={"debian": Debian(mirror="http://mirror.example/debian")})
    place = PurePosixPath("mkosi.extra") / DEFINITIONS
    texts = {
        path.name: file.text
        for path, file in render(mirrored).files.items()
        if path.parent == place
    }
    (folder / DEFINITIONS).mkdir(parents=True)
    for name, text in texts.items():
        (folder / DEFINITIONS / name).write_text(text)
    return texts


def facts(text: str) -> dict[str, str]:
    kept = ("Type", "Label", "SizeMinBytes", "SizeMaxBytes")
    pairs = (line.split("=", 1) for line in text.splitlines() if line.startswith(kept))
    return dict(pairs)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_the_installer_makes_what_first_boot_would(path: Path, tmp_path: Path) -> None:
    spec = load(path)
    image = an_image(spec, tmp_path)
    layout = Layout.of_the_image(tmp_path, esp=spec.disk.esp)
    assert layout.least == spec.disk.least
    ours = definitions(layout, Filling(NOTHING, NOTHING, Path("/b"), Path("/d")))
    assert list(ours) == list(image)
    for name, text in image.items():
        first_boot = facts(text)
        assert first_boot.items() <= facts(ours[name]).items()


def test_an_image_without_definitions_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotHere, match="type 'root'"):
        Layout.of_the_image(tmp_path, esp=1)
