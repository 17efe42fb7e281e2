"""What the front and a worker say to each other: whole, in pieces, and nonsense."""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos_api import ChatMessage, FinishReason
from llmos_api.completions import DetokenizeRequest, TokenizeRequest
from llmos_api.types import Usage
from llmos_engine import errors
from llmos_engine.backends.base import Constraint, Conversation, Likelihood, Place, Plain, Sampling
from llmos_engine.errors import ContextOverflow, InvalidRequest, NotReady, QueueFull, Refused
from llmos_engine.jobs import Failed, Finished, Found, Task, Text
from llmos_engine.metrics import Sample
from llmos_engine.scheduling.request import Priority
from llmos_engine.tokens import Detokenize, Tokenize
from llmos_engine.workers.wire import (
    MAX_MESSAGE,
    Ask,
    Cancel,
    Closed,
    Connection,
    FromWorker,
    Loaded,
    Loading,
    Report,
    Submit,
    ToWorker,
    Unusable,
)

TEXT = st.text(max_size=20)
NUMBER = st.integers(0, 2**40)
REAL = st.floats(allow_nan=False, allow_infinity=False)
PLACES = st.builds(
    Place,
    NUMBER,
    st.binary(max_size=8),
    st.none() | REAL,
    st.lists(st.builds(Likelihood, NUMBER, st.binary(max_size=8), REAL), max_size=2).map(tuple),
)
ASKED = st.builds(
    Conversation,
    st.lists(st.builds(ChatMessage.user, TEXT), max_size=3).map(tuple),
    st.lists(st.dictionaries(TEXT, TEXT, max_size=2), max_size=2),
) | st.builds(Plain, TEXT | st.lists(NUMBER, max_size=4).map(tuple), st.none() | TEXT)
SAMPLING = st.builds(
    Sampling,
    temperature=REAL,
    bias=st.dictionaries(NUMBER, REAL, max_size=3),
    seed=st.none() | NUMBER,
    constraint=st.none()
    | st.builds(Constraint, st.dictionaries(TEXT, TEXT, max_size=2), TEXT, st.none() | TEXT),
    markers=st.frozensets(TEXT, max_size=2),
)
TASKS = st.builds(
    Task,
    ASKED,
    SAMPLING,
    st.lists(TEXT, max_size=2).map(tuple),
    st.none() | NUMBER,
    st.booleans(),
    NUMBER,
    st.sampled_from(Priority),
)
TO_WORKER = (
    st.builds(Submit.of, NUMBER, TASKS)
    | st.builds(Ask, NUMBER, st.builds(Tokenize, st.builds(TokenizeRequest, TEXT)))
    | st.builds(
        Ask,
        NUMBER,
        st.builds(
            Detokenize, st.builds(DetokenizeRequest, st.lists(st.integers(0, 2**31 - 1)).map(tuple))
        ),
    )
    | st.builds(Cancel, NUMBER)
)
EVENTS = (
    st.builds(Text, TEXT, st.lists(PLACES, max_size=2).map(tuple))
    | st.builds(Found, st.binary())
    | st.builds(
        Finished, st.sampled_from(FinishReason), st.builds(Usage, NUMBER, NUMBER, NUMBER), NUMBER
    )
)
FROM_WORKER = (
    st.builds(Loading, REAL)
    | st.builds(Loaded, TEXT, NUMBER)
    | st.builds(Unusable, TEXT)
    | st.builds(
        Report,
        st.lists(st.tuples(NUMBER, EVENTS), max_size=4),
        st.lists(st.builds(Sample, TEXT, REAL, st.lists(TEXT, max_size=2).map(tuple)), max_size=3),
        NUMBER,
    )
)


class Pair:
    """Both ends of a connection, and the raw socket of one."""

    def __init__(self, incoming: Any) -> None:
        self.raw, theirs = socket.socketpair()
        self.here: Connection[Any] = Connection(self.raw, incoming)
        self.there: Connection[Any] = Connection(theirs, incoming)

    def close(self) -> None:
        self.here.release()
        self.there.release()


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair(FromWorker)
    yield pair
    pair.close()


def assert_arrive(incoming: Any, messages: list[Any]) -> None:
    pair = Pair(incoming)
    for message in messages:
        pair.here.send(message)
        [got] = pair.there.receive(1)
        assert _plain(got) == _plain(message)
    pair.close()


@given(st.lists(TO_WORKER, max_size=4))
def test_what_a_worker_is_told_arrives_as_it_was_said(messages: list[Any]) -> None:
    assert_arrive(ToWorker, messages)


@given(TASKS)
def test_a_task_is_read_as_it_was_meant(task: Task) -> None:
    assert _plain(Submit.of(1, task).read()) == _plain(task)


def test_a_schema_may_have_any_number() -> None:
    asked, large = Plain("x"), {"enum": [2**70, -(2**70), 1.5]}
    task = Task(asked, Sampling(constraint=Constraint(large, "root ::= x")))
    constraint = Submit.of(1, task).read().sampling.constraint
    assert constraint is not None
    assert constraint.schema == large


def test_what_cannot_be_written_down_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    task = Task(Conversation((), [deep]), Sampling())
    with pytest.raises(InvalidRequest, match="cannot be handed"):
        Submit.of(1, task)
    with pytest.raises(InvalidRequest, match="cannot be handed"):
        Submit(1, b"[" * 100_000).read()


@given(st.lists(FROM_WORKER, max_size=4))
def test_what_a_worker_says_arrives_as_it_was_said(messages: list[Any]) -> None:
    assert_arrive(FromWorker, messages)


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequest("n: too many", param="n", code="invalid_value"),
        ContextOverflow(prompt=9, context=8),
        NotReady("gone", code="model_failed", retry_after=5),
        QueueFull(3, retry_after=7),
    ],
)
def test_an_error_arrives_as_what_it_was(pair: Pair, error: Refused) -> None:
    pair.there.send(Report([(1, Failed(error))]))
    [report] = pair.here.receive(1)
    [(number, failed)] = report.events
    got = failed.error
    assert number == 1
    assert type(got) is type(error)
    assert (got.body, got.status, got.headers) == (error.body, error.status, error.headers)


def test_messages_come_in_any_pieces(pair: Pair) -> None:
    said = pair.here.encode(Loading(0.5)) + pair.here.encode(Loaded("CPU", 4))
    got: list[Any] = []
    for byte in said:
        pair.raw.sendall(bytes([byte]))
        got += pair.there.receive(0)
    assert got == [Loading(0.5), Loaded("CPU", 4)]


def test_a_large_message_arrives_while_it_is_sent(pair: Pair) -> None:
    large = Unusable("x" * 3_000_000)
    sender = threading.Thread(target=pair.here.send, args=(large,))
    sender.start()
    assert pair.there.receive(10) == [large]
    sender.join()


def test_the_end_of_the_other_side_is_told(pair: Pair) -> None:
    pair.there.send(Loading(1.0))
    pair.there.close()
    assert not bool(pair.here.gone), "there is something to be read yet"
    assert pair.here.receive(1) == [Loading(1.0)]
    assert bool(pair.here.gone)
    with pytest.raises(Closed):
        pair.here.receive(1)
    with pytest.raises(Closed):
        pair.here.send(Loading(1.0))


@given(st.binary(max_size=200))
def test_nonsense_ends_the_connection_and_nothing_else(data: bytes) -> None:
    pair = Pair(FromWorker)
    pair.raw.sendall(data)
    pair.here.close()
    try:
        while True:
            pair.there.receive(1)
    except Closed:
        pass
    pair.close()


@pytest.mark.parametrize(
    "said",
    [
        (MAX_MESSAGE + 1).to_bytes(4, "big"),
        b"\0\0\0\1\xc1",
        b"\0\0\0\x0f\x81\xa4type\xa7Nothing!",
    ],
)
def test_what_cannot_be_understood_is_not_waited_for(pair: Pair, said: bytes) -> None:
    pair.raw.sendall(said)
    with pytest.raises(Closed, match="message"):
        pair.there.receive(1)


def test_every_refusal_has_a_name_on_the_wire() -> None:
    kinds = [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, Refused)
    ]
    assert all(getattr(errors, kind.__name__) is kind for kind in kinds)


def _plain(value: Any) -> Any:
    """Lists and tuples are the same on the way."""
    return msgspec.to_builtins(value, order="deterministic")
