"""NVIDIA's kernel modules: what fits together, what is changed, who gets which card."""

import fnmatch
import re
from pathlib import Path, PurePosixPath

import pytest

from llmos_image.archive import Archive
from llmos_image.errors import BuildFailed, SpecError
from llmos_image.gpu import NvidiaModules
from llmos_image.nvidia.aliases import modprobe_conf
from llmos_image.nvidia.modules import FAMILIES, check, modinfo
from llmos_image.nvidia.source import CHANGES, adapt
from llmos_image.nvidia.versions import Matched, match, names
from llmos_image.places import SOURCE
from llmos_image.question import Package, parse
from llmos_image.render import packages_of, render
from llmos_image.spec import parse as parse_spec
from llmos_runtime.hardware.available import NvidiaModule
from llmos_runtime.hardware.nvidia import may_drive
from llmos_runtime.hardware.table import default_table

KERNEL = "linux-image-amd64"
ARCHIVE = parse("""\
Package: linux-image-amd64
Version: 6.12.118-1
Depends: linux-image-6.12.118+deb13-amd64 (= 6.12.118-1)

Package: linux-headers-amd64
Version: 6.12.118-1
Depends: linux-headers-6.12.118+deb13-amd64 (= 6.12.118-1)

Package: nvidia-open-kernel-dkms
Version: 550.163.01-2
Depends: dkms

Package: firmware-nvidia-gsp
Version: 550.163.01-3

Package: libcuda1
Version: 550.163.01-2
""")


def with_version(name: str, version: str, depends: str = "") -> dict[str, Package]:
    return {**ARCHIVE, name: Package(name, version, depends or ARCHIVE[name].depends)}


def test_an_archive_whose_parts_fit_gives_one_kernel_and_one_driver() -> None:
    driver = match(ARCHIVE, KERNEL, NvidiaModules.OPEN)
    assert (driver.release, driver.version) == ("6.12.118+deb13-amd64", "550.163.01")
    assert driver.packages == ("linux-image-6.12.118+deb13-amd64=6.12.118-1",)


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        (
            with_version("firmware-nvidia-gsp", "570.86.15-1"),
            "the modules are 550.163.01, firmware-nvidia-gsp is 570.86.15",
        ),
        (
            with_version("libcuda1", "535.274.02-1"),
            "the modules are 550.163.01, libcuda1 is 535.274.02",
        ),
        (
            with_version(KERNEL, "6.12.119-1", "linux-image-6.12.119+deb13-amd64 (= 6.12.119-1)"),
            "the kernel is 6.12.119+deb13-amd64 6.12.119-1, its headers are 6.12.118",
        ),
        (
            {name: p for name, p in ARCHIVE.items() if name != "libcuda1"},
            "libcuda1 is not in the archive",
        ),
    ],
)
def test_what_does_not_fit_fails_the_build_and_is_named(
    found: dict[str, Package], fault: str
) -> None:
    with pytest.raises(BuildFailed) as caught:
        match(found, KERNEL, NvidiaModules.OPEN)
    assert fault in caught.value.what


def test_the_archive_is_asked_about_the_kernel_that_the_image_has() -> None:
    assert names("linux-image-cloud-amd64", NvidiaModules.PROPRIETARY) == (
        "linux-image-cloud-amd64",
        "linux-headers-cloud-amd64",
        "nvidia-kernel-dkms",
        "firmware-nvidia-gsp",
        "libcuda1",
    )


@pytest.mark.parametrize(
    ("version", "upstream"),
    [("550.163.01-2", "550.163.01"), ("1:12.4.1-2~bpo13+1", "12.4.1"), ("0.27", "0.27")],
)
def test_debians_part_of_a_version_does_not_count(version: str, upstream: str) -> None:
    assert Package("x", version).upstream == upstream


def header(root: Path, declaration: str) -> Path:
    path = root / "headers" / CHANGES[0].header
    path.parent.mkdir(parents=True)
    path.write_text(declaration)
    return root / "headers"


NEW_HEADER = (
    "int __must_check pci_resize_resource(struct pci_dev *dev, int i, int size,\n"
    "\t\t\t\t     int exclude_bars);\n"
)


def test_sources_are_changed_only_where_the_kernel_asks_for_it(tmp_path: Path) -> None:
    code = tmp_path / "nvidia/nv-pci.c"
    code.parent.mkdir()
    code.write_text(f"r = {CHANGES[0].old};")
    old = header(tmp_path / "old", "int pci_resize_resource(struct pci_dev *dev, int i, int size);")
    assert adapt(tmp_path, old) == []
    assert CHANGES[0].old in code.read_text()
    new = header(tmp_path / "new", NEW_HEADER)
    assert adapt(tmp_path, new) == [CHANGES[0]]
    assert code.read_text() == f"r = {CHANGES[0].new};"
    assert adapt(tmp_path, new) == []


def test_a_source_that_is_not_as_expected_fails_the_build(tmp_path: Path) -> None:
    (tmp_path / "nvidia").mkdir()
    (tmp_path / "nvidia/nv-pci.c").write_text("nothing of the kind")
    with pytest.raises(BuildFailed, match="not as expected"):
        adapt(tmp_path, header(tmp_path, NEW_HEADER))


DRIVER = match(ARCHIVE, KERNEL, NvidiaModules.OPEN)
GOOD = (
    b"\x7fELF\0version=550.163.01\0license=Dual MIT/GPL\0firmware=nvidia/550.163.01/gsp_ga10x.bin\0"
    b"firmware=nvidia/550.163.01/gsp_tu10x.bin\0vermagic=6.12.118+deb13-amd64 SMP preempt\0"
)


def test_a_module_says_what_it_is_for(tmp_path: Path) -> None:
    assert modinfo(GOOD)["firmware"] == [
        "nvidia/550.163.01/gsp_ga10x.bin",
        "nvidia/550.163.01/gsp_tu10x.bin",
    ]
    path = tmp_path / "nvidia.ko"
    path.write_bytes(GOOD)
    check(path, DRIVER)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ((b"6.12.118+deb13-amd64", b"6.12.48+deb13-amd64"), "it is for the kernel 6.12.48"),
        ((b"\0version=550.163.01", b"\0version=535.274.02"), "it is version 535.274.02"),
        (
            (b"nvidia/550.163.01/gsp_g", b"nvidia/570.86.15/gsp_g"),
            "the firmware of 550.163.01, 570",
        ),
        ((b"vermagic", b"nomagic"), "it is for the kernel unknown"),
    ],
)
def test_a_module_for_something_else_fails_the_build(
    change: tuple[bytes, bytes], fault: str, tmp_path: Path
) -> None:
    path = tmp_path / "nvidia.ko"
    path.write_bytes(GOOD.replace(*change))
    with pytest.raises(BuildFailed) as caught:
        check(path, DRIVER)
    assert fault in caught.value.what


@pytest.mark.parametrize("flavour", NvidiaModules)
@pytest.mark.parametrize("version", ["550.163.01", "570.86.15"])
def test_each_card_has_one_module_and_it_is_the_one_that_the_target_expects(
    flavour: NvidiaModules, version: str
) -> None:
    conf = modprobe_conf(SOURCE / FAMILIES, flavour, version)
    patterns = {
        name: re.compile(
            "|".join(fnmatch.translate(p) for p in re.findall(rf"(\S+) {name}\n", conf))
        )
        for name in ("nvidia", "nouveau")
    }
    module = NvidiaModule(flavour.module, version)
    for device in range(0, 0x10000, 13):
        card = f"pci:v000010DEd{device:08X}sv00001043sd0000889Abc03sc00i00"
        got = [name for name, pattern in patterns.items() if pattern.match(card)]
        family = default_table().family_of_id(0x10DE, device)
        assert got == ["nvidia" if may_drive(family, module) else "nouveau"], hex(device)
    sound = "pci:v000010DEd000022BAsv00001043sd0000889Abc04sc03i00"
    assert not [name for name, pattern in patterns.items() if pattern.match(sound)]


def test_the_spec_asks_for_the_archives_parts_that_the_modules_need() -> None:
    text = '[image]\nid = "x"\nversion = "1"\n[gpu]\nnvidia = "open"\n'
    with pytest.raises(SpecError) as caught:
        parse_spec(text, path=Path("x.toml"))
    (fault,) = caught.value.faults
    assert fault == "gpu.nvidia: 'open' needs contrib and non-free-firmware in debian.components"
    more = '[debian]\ncomponents = ["main", "contrib", "non-free-firmware"]\n'
    spec = parse_spec(text + more, path=Path("x.toml"))
    assert {"firmware-nvidia-gsp", "nvidia-modprobe"} <= set(packages_of(spec))
    assert "nvidia-kernel-dkms" not in packages_of(spec)
    tree = render(spec.with_archive(Archive("http://mirror.example/debian", None)))
    assert "depmod --all" in tree.files[PurePosixPath("mkosi.postinst.chroot")].text
    rules = tree.files[PurePosixPath("mkosi.extra/usr/lib/udev/rules.d/60-llmos-nvidia.rules")]
    assert rules.text.rstrip().endswith('-u -c 255 -c 0 -c 1 -c 2 -c 3 -c 4 -c 5 -c 6 -c 7"')


def test_matched_is_what_the_cache_is_keyed_by() -> None:
    assert isinstance(DRIVER, Matched)
    assert DRIVER.headers == Package("linux-headers-6.12.118+deb13-amd64", "6.12.118-1")
