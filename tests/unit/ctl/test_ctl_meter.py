"""What a person sees of long work."""

import io

import pytest

from llmos_ctl.meter import TerminalMeter, size_text


def lines(total: int | None, steps: list[tuple[float, int]]) -> list[str]:
    """What is drawn when so many bytes come, each after so many seconds."""
    now = 0.0
    stream = io.StringIO()
    with TerminalMeter(stream, clock=lambda: now).phase("poet.gguf", total) as advance:
        for seconds, count in steps:
            now += seconds
            advance(count)
    text = stream.getvalue()
    assert text.endswith("\n")
    return [line.removesuffix("\x1b[K") for line in text.strip("\n").split("\r")[1:]]


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


def test_a_bar_tells_speed_and_time_left() -> None:
    drawn = lines(100_000_000, [(1, 10_000_000)] * 5)
    half = "poet.gguf  [##########----------]  50%  of 100.0 MB  10.0 MB/s  0:05 left"
    assert drawn[4:] == [half, half]


def test_what_was_there_before_is_no_speed() -> None:
    """An hour's worth is read from the disk in a second; the rest comes slowly."""
    drawn = lines(10**9, [(0.3, 500_000_000)] + [(1, 1_000_000)] * 8)
    assert drawn[-1].endswith("1.0 MB/s  8:12 left")


def test_a_file_of_unknown_size_has_no_share() -> None:
    assert lines(None, [(1, 2_000_000)])[-1] == "poet.gguf  2.0 MB  2.0 MB/s"


def test_a_long_name_makes_room_for_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "79")
    stream, now = io.StringIO(), iter(range(100))
    with TerminalMeter(stream, clock=lambda: next(now)).phase("a-" * 30 + "b.gguf", 10**9) as more:
        more(10**7)
    drawn = stream.getvalue().split("\r")[1]
    assert drawn.startswith("…")
    assert "b.gguf  [" in drawn
    assert drawn.endswith("1:39 left\x1b[K")
    assert len(drawn.removesuffix("\x1b[K")) < 79


def test_it_is_not_drawn_for_every_piece() -> None:
    assert len(lines(1000, [(0.001, 1)] * 1000)) < 8


def test_bytes_that_are_thrown_away_are_taken_back() -> None:
    drawn = lines(1000, [(1, 900), (1, -900), (1, 100)])
    assert " 10%" in drawn[-1]


def test_sizes_are_read_at_a_glance() -> None:
    sizes = (0, 999, 1000, 1_500_000, 4_900_000_000)
    assert [size_text(n) for n in sizes] == ["0 B", "999 B", "1.0 kB", "1.5 MB", "4.9 GB"]
