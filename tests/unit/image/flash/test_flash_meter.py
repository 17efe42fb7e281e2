"""Progress in a log: speed, and how long it will still take."""

import io

from llmos_image.flash.meter import PlainMeter


class Clock:
    """Time that goes on when it is told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_log_gets_a_line_every_few_seconds_with_speed_and_time_left() -> None:
    clock, said = Clock(), io.StringIO()
    with PlainMeter(said, clock).phase("Write", 1000 * 10**6) as advance:
        for _ in range(100):
            clock.now += 1
            advance(10 * 10**6)
    lines = said.getvalue().splitlines()
    assert lines[0] == "Write: 5 % of 1,000 MB, 10.0 MB/s, 1:35 min left"
    assert lines[-1] == "Write: 100 % of 1,000 MB, 10.0 MB/s"
    assert len(lines) == 21


def test_what_was_quick_is_not_worth_a_line() -> None:
    said = io.StringIO()
    with PlainMeter(said, Clock()).phase("Check", 10) as advance:
        advance(10)
    assert not said.getvalue()


def test_a_length_that_nobody_knows_is_not_invented() -> None:
    clock, said = Clock(), io.StringIO()
    with PlainMeter(said, clock).phase("Measure", None) as advance:
        clock.now += 6
        advance(60 * 10**6)
    assert said.getvalue().splitlines()[0] == "Measure: 60 MB, 10.0 MB/s"
