"""What is written is the image, and whatever goes wrong, no half of one can be booted."""

import contextlib
import dataclasses
import io
from collections.abc import Generator, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos_image.errors import BuildFailed, FlashFailed, Interrupted, UserError
from llmos_image.flash.meter import Advance, PlainMeter
from llmos_image.flash.source import Image
from llmos_image.flash.writer import BLOCK, write
from tests.unit.image.flash.memory_disk import MemoryDisk, disk_bytes, image_of, unplugged_at

MIB = 1024**2
QUIET = PlainMeter(io.StringIO())
DATA = disk_bytes(3 * BLOCK + 512 * 9, [(BLOCK, BLOCK)])


def flash(data: bytes, disk: MemoryDisk) -> None:
    write(image_of(data), disk, QUIET)


def accesses(size: int) -> int:
    """How often a disk of that size is read or written until it is done."""
    calm = MemoryDisk(size)
    flash(DATA, calm)
    return sum(verb != "flush" for verb, _, _ in calm.log)


@settings(max_examples=60)
@given(
    size=st.integers(2048, 4 * BLOCK),
    spare=st.integers(0, 6000),
    runs=st.lists(st.tuples(st.integers(0, 4 * BLOCK), st.integers(1, 2 * BLOCK)), max_size=4),
    piece=st.integers(4096, 2 * BLOCK),
)
def test_any_image_comes_to_lie_on_the_disk_as_it_is(
    size: int, spare: int, runs: list[tuple[int, int]], piece: int
) -> None:
    data = disk_bytes(size, runs)
    disk = MemoryDisk((size + 511) // 512 * 512 + spare * 512)
    write(image_of(data, piece), disk, QUIET)
    assert disk.data[:size] == data


def test_old_partition_tables_are_gone_at_both_ends() -> None:
    disk = MemoryDisk(64 * MIB)
    flash(DATA, disk)
    assert not any(disk.data[-MIB:])


def test_the_partition_table_is_written_last_and_the_old_one_wiped_first() -> None:
    disk = MemoryDisk(64 * MIB)
    flash(DATA, disk)
    writes = [(verb, at) for verb, at, _ in disk.log if verb in {"write", "zero"}]
    assert writes[:2] == [("zero", 0), ("zero", disk.size - MIB)]
    assert writes[-2:] == [("write", 3 * BLOCK), ("write", 0)]
    first_table = next(i for i, (verb, at, _) in enumerate(disk.log) if (verb, at) == ("write", 0))
    compared = [at for verb, at, _ in disk.log[:first_table] if verb == "read"]
    assert compared == [MIB, BLOCK, 2 * BLOCK], "all the rest is compared before there is a table"
    assert disk.log[first_table - 1][0] == "flush"


def test_an_image_as_large_as_the_disk_has_no_backup_table_too_early() -> None:
    """Firmware repairs a table by its backup at the end of the disk."""
    for count in range(2, accesses(len(DATA))):
        disk = MemoryDisk(len(DATA), before=unplugged_at(count))
        with pytest.raises(FlashFailed):
            flash(DATA, disk)
        # With the backup table the partitions are there too: a repair leads to the whole image.
        assert not disk.has_a_table or disk.data[MIB:] == DATA[MIB:]


def test_wherever_it_is_pulled_out_there_is_no_table_or_the_whole_image() -> None:
    for count in range(2, accesses(64 * MIB)):
        disk = MemoryDisk(64 * MIB, before=unplugged_at(count))
        with pytest.raises(FlashFailed) as caught:
            flash(DATA, disk)
        assert "unplugged" in caught.value.what
        assert "flash it again" in str(caught.value.hint)
        assert not disk.has_a_table or disk.data[: len(DATA)] == DATA


@pytest.mark.parametrize("at", [0, 700, BLOCK + 5, 3 * BLOCK + 4607])
def test_the_first_byte_that_reads_back_wrong_is_named_and_nothing_boots(at: int) -> None:
    disk = MemoryDisk(64 * MIB, flip=at)
    with pytest.raises(FlashFailed, match=f"first at byte {at:,}:") as caught:
        flash(DATA, disk)
    assert "does not boot" in str(caught.value.hint)
    assert not disk.has_a_table


def test_an_image_that_is_another_than_promised_never_gets_a_table() -> None:
    disk = MemoryDisk(64 * MIB)
    image = dataclasses.replace(image_of(DATA), sha256="0" * 64)
    with pytest.raises(FlashFailed, match="not the one"):
        write(image, disk, QUIET)
    assert not disk.has_a_table


@pytest.mark.parametrize("promised", [len(DATA) - 512, len(DATA) + 512, len(DATA) - BLOCK])
def test_an_image_of_another_length_than_promised_never_gets_a_table(promised: int) -> None:
    disk = MemoryDisk(64 * MIB)
    with pytest.raises(FlashFailed, match="not the one"):
        write(dataclasses.replace(image_of(DATA), size=promised), disk, QUIET)
    assert not disk.has_a_table


def broken_off(error: BaseException, after: int) -> Image:
    """``DATA``, whose reading ends with ``error`` after ``after`` bytes; its start can be read."""
    whole = image_of(DATA)

    def pieces() -> Generator[bytes, None, None]:
        yield DATA[:after]
        raise error

    return dataclasses.replace(whole, pieces=pieces)


@pytest.mark.parametrize(
    "error", [BuildFailed("zstd ended with status 1"), UserError("x.raw: cannot be read")]
)
def test_an_image_that_breaks_off_says_what_the_disk_is_worth(error: Exception) -> None:
    disk = MemoryDisk(64 * MIB)
    with pytest.raises(FlashFailed, match=r"zstd ended|cannot be read") as caught:
        write(broken_off(error, 2 * BLOCK), disk, QUIET)
    assert "sdx is half written and does not boot: flash it again" in str(caught.value.hint)
    assert caught.value.exit_code == 1


def test_an_interruption_says_what_the_disk_is_worth() -> None:
    disk = MemoryDisk(64 * MIB)
    with pytest.raises(Interrupted, match="sdx is half written") as caught:
        write(broken_off(KeyboardInterrupt(), 2 * BLOCK), disk, QUIET)
    assert caught.value.exit_code == 130
    assert not disk.has_a_table


def test_an_interruption_before_the_first_write_says_that() -> None:
    disk = MemoryDisk(64 * MIB)
    with pytest.raises(Interrupted, match="nothing was written to sdx"):
        write(broken_off(KeyboardInterrupt(), 0), disk, QUIET)
    assert disk.log == []


@pytest.mark.parametrize(
    ("data", "disk", "why"),
    [
        (DATA, MemoryDisk(8 * MIB), "has 8,388,608 bytes, the image"),
        (DATA, MemoryDisk(64 * MIB, sector=4096), "sectors of 4096 bytes, the image is for 512"),
        (bytes(64 * 1024), MemoryDisk(64 * MIB), "no partition table"),
        (b"", MemoryDisk(64 * MIB), "no partition table"),
    ],
)
def test_what_could_never_boot_is_refused_with_the_disk_untouched(
    data: bytes, disk: MemoryDisk, why: str
) -> None:
    with pytest.raises(UserError, match=why):
        flash(data, disk)
    assert disk.log == []


def test_a_disk_with_large_sectors_takes_an_image_for_them() -> None:
    data = disk_bytes(2 * BLOCK + 100, sector=4096)
    disk = MemoryDisk(64 * MIB, sector=4096)
    flash(data, disk)
    assert disk.data[: len(data)] == data


def test_progress_counts_every_byte_twice() -> None:
    counted: dict[str, int] = {}

    class Counter:
        @contextlib.contextmanager
        def phase(self, name: str, total: int | None) -> Iterator[Advance]:
            assert total == len(DATA)
            counted[name] = 0

            def advance(count: int) -> None:
                counted[name] += count

            yield advance

    write(image_of(DATA), MemoryDisk(64 * MIB), Counter())
    assert counted == {"Write": len(DATA), "Compare": len(DATA)}
