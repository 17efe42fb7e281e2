"""What the machine has to say at the start of a session."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from llmos_api.notices import LONGEST, _line, read_notices, remove_notice, write_notice


def test_notices_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    write_notice("hardware", "no driver for the graphics card", tmp_path)
    write_notice("boot", "the update did not work", tmp_path)
    assert read_notices(tmp_path) == (
        "the update did not work",
        "no driver for the graphics card",
    )


def test_a_newer_notice_takes_the_place_of_the_older_one(tmp_path: Path) -> None:
    for text in ("first", "second"):
        write_notice("boot", text, tmp_path)
    assert read_notices(tmp_path) == ("second",)
    assert [path.name for path in tmp_path.iterdir()] == ["boot.txt"]


def test_a_notice_that_no_longer_holds_is_taken_away(tmp_path: Path) -> None:
    write_notice("boot", "text", tmp_path)
    for _ in range(2):
        remove_notice("boot", tmp_path)
    assert read_notices(tmp_path) == ()


def test_people_can_read_what_a_careful_service_writes(tmp_path: Path) -> None:
    folder = tmp_path / "notices"
    folder.mkdir(mode=0o700)
    write_notice("boot", "text", folder)
    assert folder.stat().st_mode & 0o777 == 0o755
    assert (folder / "boot.txt").stat().st_mode & 0o777 == 0o644


def test_without_a_folder_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert read_notices(tmp_path / "none") == ()


def test_files_that_are_no_notices_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".boot.txt").write_text("half-written")
    (tmp_path / "boot.json").write_text("{}")
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "folder.txt").mkdir()
    assert read_notices(tmp_path) == ()


@given(st.text())
def test_a_notice_is_one_line_that_no_terminal_obeys(text: str) -> None:
    line = _line(text)
    assert len(line) <= LONGEST
    assert not any(character < " " or "\x7f" <= character <= "\x9f" for character in line)
