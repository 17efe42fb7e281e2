"""The queue in front of the decode thread."""

import threading
from pathlib import Path

import pytest

from llmos_api import ChatMessage
from llmos_engine.backends.base import Conversation, Sampling
from llmos_engine.errors import NotReady, QueueFull
from llmos_engine.jobs import Job, JobQueue, Task, Work
from llmos_models.gguf import Header
from llmos_models.scan import ModelFile, Signature

FILE = ModelFile("m", Signature(Path("m.gguf"), 1, 1, 1), Header(3, {}, 1))
NOW = 0.0


def job(text: str = "hi") -> Job:
    return Job(
        Work(FILE, Task(Conversation((ChatMessage.user(text),)), Sampling())), lambda _: None
    )


def test_jobs_come_out_in_the_order_they_went_in() -> None:
    queue = JobQueue(3)
    jobs = [job() for _ in range(3)]
    for one in jobs:
        queue.put(one)
    assert [queue.get(NOW) for _ in range(3)] == jobs


def test_a_full_queue_says_when_to_come_back() -> None:
    queue = JobQueue(1)
    queue.put(job())
    with pytest.raises(QueueFull) as caught:
        queue.put(job())
    assert caught.value.headers == {"retry-after": "5"}


def test_a_client_that_has_gone_makes_room() -> None:
    queue = JobQueue(1)
    gone, next_one = job(), job()
    queue.put(gone)
    gone.cancel()
    queue.put(next_one)
    assert queue.get(NOW) is next_one


def test_an_empty_queue_gives_nothing_after_the_timeout() -> None:
    assert JobQueue(1).get(NOW) is None


def test_a_closed_queue_gives_what_it_has_and_takes_no_more() -> None:
    queue = JobQueue(2)
    waiting = job()
    queue.put(waiting)
    queue.close()
    with pytest.raises(NotReady):
        queue.put(job())
    assert not queue.finished
    assert queue.get(NOW) is waiting
    assert queue.finished


def test_closing_wakes_who_waits() -> None:
    queue = JobQueue(1)
    found: list[Job | None] = []
    waiter = threading.Thread(target=lambda: found.append(queue.get(60)))
    waiter.start()
    queue.close()
    waiter.join(10)
    assert found == [None]
