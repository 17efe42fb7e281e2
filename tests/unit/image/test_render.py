"""Spec to mkosi tree: golden files, and what they must hold."""

import os
from pathlib import Path, PurePosixPath

import pytest

from llmos_image.archive import Archive
from llmos_image.errors import UserError
from llmos_image.render import RenderedTree, packages_of, render
from llmos_image.spec import ImageSpec, parse

GOLDEN = Path(__file__).with_name("golden")
ARCHIVE = Archive("http://mirror.example/debian", "http://mirror.example/debian-security")

SPECS = {
    "least": '[image]\nid = "least"\nversion = "1"\n',
    "full": """
[image]
id = "full"
version = "2.1~rc1"
kernel = "cloud"
[debian]
components = ["main", "non-free-firmware"]
packages = ["vim", "amd64-microcode"]
[system]
hostname = "box"
locale = "de_DE.UTF-8"
keymap = "de"
timezone = "Europe/Berlin"
[[users]]
name = "ann"
full_name = "Ann O'Neil; $(reboot)"
password_hash = "$y$j9T$abc$def"
groups = ["sudo"]
sudo = "password"
[[users]]
name = "bob"
sudo = "nopasswd"
shell = "/bin/bash"
[login]
autologin = "ann"
[console]
serial = ["ttyS0", "ttyS1"]
quiet = false
kernel_arguments = ["nomodeset"]
[disk]
esp = "1G"
root = "8G"
[[models]]
path = "small.gguf"
sha256 = "58f1718d2ef230d6b8575b12afab2deeb23fd5f02dea69ef597a876742506ab2"
name = "plan.v1"
[signing]
keys = "keys"
[update]
source = "https://updates.example/a%20b/"
extensions = ["cuda"]
""",
}


def spec_of(name: str) -> ImageSpec:
    return parse(SPECS[name], path=Path(f"{name}.toml")).with_archive(ARCHIVE)


def as_text(tree: RenderedTree) -> str:
    return "".join(
        f"=== {path} {file.mode:o}\n{file.text}" for path, file in sorted(tree.files.items())
    )


@pytest.mark.parametrize("name", SPECS)
def test_a_spec_renders_as_its_golden_file(name: str) -> None:
    golden = GOLDEN / f"{name}.txt"
    text = as_text(render(spec_of(name)))
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text(), "UPDATE_GOLDEN=1 renews the file: read the diff"


@pytest.mark.parametrize("name", SPECS)
def test_rendering_is_a_function_of_the_spec(name: str) -> None:
    assert render(spec_of(name)) == render(spec_of(name))


def test_packages_stand_one_on_a_line() -> None:
    conf = render(spec_of("full")).files[PurePosixPath("mkosi.conf")].text
    block = conf.split("Packages=\n")[1].split("WithDocs")[0]
    assert [line.strip() for line in block.strip().splitlines()] == list(
        packages_of(spec_of("full"))
    )


def test_a_name_cannot_break_out_of_the_script() -> None:
    script = render(spec_of("full")).files[PurePosixPath("mkosi.postinst.chroot")].text
    assert "--comment 'Ann O'\"'\"'Neil; $(reboot)'" in script


def test_nobody_is_logged_in_unless_the_spec_says_so() -> None:
    assert not [path for path in render(spec_of("least")).files if "getty" in str(path)]


def test_a_real_machine_has_vulkan_and_a_cloud_has_it_when_asked() -> None:
    def packages(text: str) -> set[str]:
        return set(packages_of(parse(text, path=Path("x.toml"))))

    least = SPECS["least"]
    cloud = f'{least}kernel = "cloud"\n'
    vulkan = {"libggml0-backend-vulkan", "mesa-vulkan-drivers"}
    assert packages(least) >= vulkan
    assert not packages(cloud) & vulkan
    assert packages(f"{cloud}[gpu]\nvulkan = true\n") >= vulkan
    assert not packages(f"{least}[gpu]\nvulkan = false\n") & vulkan
    firmware = '[debian]\ncomponents = ["main", "non-free-firmware"]\n'
    assert "firmware-amd-graphics" not in packages(least)
    assert "firmware-amd-graphics" in packages(least + firmware)
    assert "firmware-amd-graphics" not in packages(cloud + firmware)


def test_backports_give_ggml_and_nothing_else() -> None:
    files = render(spec_of("least")).files
    assert (
        "Pin-Priority: -1"
        in files[PurePosixPath("mkosi.sandbox/etc/apt/preferences.d/llmos.pref")].text
    )


def test_each_model_and_extension_is_updated_apart_from_the_system() -> None:
    names = {str(path) for path in render(spec_of("full")).files if path.suffix == ".transfer"}
    place = "mkosi.extra/usr/lib/sysupdate"
    assert names == {
        *(f"{place}.d/{name}.transfer" for name in ("50-verity", "60-root", "70-uki")),
        f"{place}.model-plan.v1.d/50-model.transfer",
        f"{place}.cuda.d/50-extension.transfer",
    }


def test_systemd_expands_nothing_in_the_source_of_updates() -> None:
    uki = PurePosixPath("mkosi.extra/usr/lib/sysupdate.d/70-uki.transfer")
    assert "Path=https://updates.example/a%%20b\n" in render(spec_of("full")).files[uki].text


def test_a_spec_without_a_mirror_is_refused() -> None:
    with pytest.raises(UserError, match=r"debian\.mirror"):
        render(parse(SPECS["least"], path=Path("x")))


def test_written_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        render(spec_of("full")).write(tmp_path / "tree")
    finally:
        os.umask(before)
    assert (tmp_path / "tree/mkosi.postinst.chroot").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "tree/mkosi.extra/usr").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "tree/mkosi.extra/etc/sudoers.d/llmos").stat().st_mode & 0o777 == 0o440


def test_the_first_profile_is_a_normal_start() -> None:
    """systemd-boot 257 may start it unasked: see the template."""
    files = render(spec_of("least")).files
    profiles = sorted(path for path in files if path.parts[0] == "mkosi.uki-profiles")
    assert len(profiles) > 1
    assert "Cmdline" not in files[profiles[0]].text
    assert all("Cmdline" in files[path].text for path in profiles[1:])
