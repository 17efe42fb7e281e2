"""What is read out of sysfs, and out of nonsense in its place."""

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from llmos_runtime.hardware.available import available
from llmos_runtime.hardware.choice import choose
from llmos_runtime.hardware.names import Names
from llmos_runtime.hardware.pci import cards_of
from llmos_runtime.hardware.processor import memory_of, processor_of
from llmos_runtime.hardware.table import default_table


def device(root: Path, slot: str, **files: str) -> Path:
    folder = root / "sys/bus/pci/devices" / slot
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text + "\n")
    (folder / "device").write_text(files["dev"] + "\n")
    return folder


def test_a_card_is_read_whole(tmp_path: Path) -> None:
    folder = device(
        tmp_path,
        "0000:03:00.0",
        **{"class": "0x030000", "vendor": "0x1002", "dev": "0x744c", "revision": "0xc8"},
        subsystem_vendor="0x1002",
        subsystem_device="0x0e3b",
        boot_vga="1",
        mem_info_vram_total="25753026560",
    )
    (folder / "driver").symlink_to("../../../../bus/pci/drivers/amdgpu")
    for node in ("card1", "renderD128", "controlD64"):
        (folder / "drm" / node).mkdir(parents=True)
    (card,) = cards_of(tmp_path)
    assert card.id == "1002:744c"
    assert (card.subvendor, card.subdevice, card.revision) == (0x1002, 0x0E3B, 0xC8)
    assert (card.driver, card.boot_display, card.memory) == ("amdgpu", True, 25753026560)
    assert card.nodes == ("/dev/dri/card1", "/dev/dri/renderD128")


def test_only_graphics_and_ai_processors_count(tmp_path: Path) -> None:
    classes = ["0x030000", "0x030200", "0x038000", "0x0b4000", "0x120000", "0x040300", "0x020000"]
    for at, number in enumerate(classes):
        device(tmp_path, f"0000:0{at}:00.0", **{"class": number}, vendor="0x10de", dev="0x2684")
    assert [card.device_class for card in cards_of(tmp_path)] == [
        0x0300,
        0x0302,
        0x0380,
        0x0B40,
        0x1200,
    ]


def test_a_machine_without_a_pci_bus_has_no_cards(tmp_path: Path) -> None:
    assert cards_of(tmp_path) == ()


_names = st.sampled_from(
    ["class", "vendor", "device", "revision", "boot_vga", "driver", "drm", "mem_info_vram_total"]
)
_content = st.binary(max_size=12) | st.sampled_from(
    [b"0x030000\n", b"0x10de\n", b"0x1002\n", b"0x2684\n", b"-1", b"0x", b"9" * 40, b"0xffffffffff"]
)
_devices = st.dictionaries(
    st.sampled_from(["0000:00:02.0", "10000:e1:00.0", "garbage", "0000:00:02"]),
    st.dictionaries(_names, _content | st.none(), max_size=8),
    max_size=3,
)


@given(_devices)
def test_nonsense_in_sysfs_costs_a_card_and_nothing_else(
    devices: dict[str, dict[str, bytes | None]],
) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for slot, files in devices.items():
            folder = root / "sys/bus/pci/devices" / slot
            folder.mkdir(parents=True)
            for file, content in files.items():
                if content is None:
                    (folder / file).mkdir()
                else:
                    (folder / file).write_bytes(content)
        cards = cards_of(root)
        assert {card.slot for card in cards} <= {"0000:00:02.0", "10000:e1:00.0"}
        assert choose(cards, available(root), default_table()).steps


def test_names_come_from_the_list_of_pci_ids(tmp_path: Path) -> None:
    folder = tmp_path / "usr/share/misc"
    folder.mkdir(parents=True)
    (folder / "pci.ids").write_text(
        "# comment\n\n1002  AMD\n\t744c  Navi 31 [RX 7900]\n\t\t1002 0e3b  A board\n"
        "10de  NVIDIA Corporation\n# comment\n\t2684  AD102 [GeForce RTX 4090]\n"
        "8086  Intel Corporation\n\t744c  not it\n"
    )
    names = Names(tmp_path)
    assert names.of(0x10DE, 0x2684) == "AD102 [GeForce RTX 4090]"
    assert names.of(0x1002, 0x744C) == "Navi 31 [RX 7900]"
    assert names.of(0x10DE, 0x744C) is None
    assert names.of(0x1234, 0x1111) is None
    assert Names(tmp_path / "none").of(0x10DE, 0x2684) is None


def test_the_processor_is_told_by_what_the_back_ends_differ_in(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(
        "processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu avx avx2 fma\n\n"
        "processor\t: 1\nmodel name\t: AMD EPYC\nflags\t\t: fpu avx avx2 fma\n"
    )
    (tmp_path / "proc/meminfo").write_text("MemTotal:       16384000 kB\nMemFree: 1 kB\n")
    found = processor_of(tmp_path)
    assert (found.name, found.threads, found.features) == ("AMD EPYC", 2, ("avx", "fma", "avx2"))
    assert memory_of(tmp_path) == 16384000 * 1024
    assert processor_of(tmp_path / "none").name == "unknown"
    assert memory_of(tmp_path / "none") == 0
