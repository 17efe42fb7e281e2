"""Deadlines, on a clock that the test turns."""

from dataclasses import dataclass

from llmos_image.vm.deadline import Deadline


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_deadline_passes_when_its_time_is_over() -> None:
    clock = Clock()
    deadline = Deadline.after(10, clock)
    assert (deadline.remaining, deadline.passed) == (10, False)
    clock.now += 10
    assert (deadline.remaining, deadline.passed) == (0, True)


def test_a_step_never_outlives_the_whole_run() -> None:
    clock = Clock()
    run = Deadline.after(10, clock)
    assert run.within(3).remaining == 3
    assert run.within(60).remaining == 10
    assert run.within(None).remaining == 10


def test_the_time_that_remains_is_never_negative() -> None:
    clock = Clock()
    deadline = Deadline.after(1, clock)
    clock.now += 100
    assert deadline.remaining == 0
