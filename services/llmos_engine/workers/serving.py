"""The model's side: loads one model, and answers with it until the front has gone.

    asking ──► loading ──► answering ──► end
       └──────────┴──────────────────────┘

It asks first whether there is room for what the model will take.

One thread does all of it: it listens between two batches, and waits only when nothing is to do.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

from llmos_engine.backends.base import Backend, LoadedModel, Needs
from llmos_engine.decoding import Decoding
from llmos_engine.errors import DecodeFailed, NotReady, Refused
from llmos_engine.jobs import RETRY_AFTER, Event, Failed, Found, Text
from llmos_engine.memory import resident_bytes
from llmos_engine.metrics import Recorder
from llmos_engine.tokens import Question, looked_up
from llmos_engine.workers.wire import (
    Ask,
    Cancel,
    Closed,
    Connection,
    Go,
    Loaded,
    Loading,
    Report,
    Submit,
    ToWorker,
    Unusable,
    Wants,
)
from llmos_models.errors import ModelError
from llmos_models.scan import ModelFile

log = logging.getLogger(__name__)

IDLE_TICK: Final = 5.0
"""Seconds between two signs of life of a worker that has nothing to do."""
PROGRESS_TICK: Final = 0.5
"""Seconds between two words about how far loading has come."""

_WORTH_TELLING: Final = 0.01
"""The share by which the memory must have changed."""


class Serving:
    """One model, from its file to the last answer."""

    def __init__(
        self,
        link: Connection[ToWorker],
        backend: Backend,
        file: ModelFile,
        *,
        predict: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._link = link
        self._backend = backend
        self._file = file
        self._clock = clock
        self._recorder = Recorder()
        self._asked: dict[int, _Asked] = {}
        self._predict = predict
        self._before: list[ToWorker] = []
        """What was said while there was no model."""
        self._events: list[tuple[int, Event]] = []
        self._base = resident_bytes()
        self._measured = 0
        self._told = 0.0

    def run(self) -> None:
        """Load, and answer until the front has gone or the model has failed."""
        try:
            self._ask()
            model = self._backend.load(self._file, self._progress)
        except Closed:
            log.info("stopped before the model was loaded")
        except ModelError as error:
            self._unusable(str(error))
        except Exception as error:
            log.exception("loading failed in a way that nobody foresaw")
            self._unusable(f"the model cannot be loaded: {error}")
        else:
            try:
                self._answer(model)
            except Closed:
                pass
            finally:
                model.close()

    def _ask(self) -> None:
        """Say what the model will take, and wait until there is room for it."""
        file = self._file
        needs = self._backend.needs(file) if self._predict else Needs(file.signature.size, 0)
        self._link.send(Wants(needs))
        while not any(isinstance(message, Go) for message in self._before):
            self._before += self._link.receive(IDLE_TICK)
            self._link.send(Loading(0.0))  # a sign of life

    def _progress(self, share: float) -> bool:
        now = self._clock()
        if now - self._told < PROGRESS_TICK:
            return True
        self._told = now
        try:
            self._link.send(Loading(share))
        except Closed:
            return False
        return not self._link.gone

    def _unusable(self, why: str) -> None:
        try:
            self._link.send(Unusable(why))
        except Closed:
            log.info("stopped while the model was loading")

    def _answer(self, model: LoadedModel) -> None:
        decoding = Decoding(model, name=self._file.id, metrics=self._recorder, clock=self._clock)
        self._link.send(Loaded(model.device, model.shape.slots))
        try:
            for message in self._before:
                self._take(message, model, decoding)
            while True:
                for message in self._link.receive(IDLE_TICK if decoding.idle else 0):
                    self._take(message, model, decoding)
                self._turn(decoding)
                self._report(decoding)
        except DecodeFailed as error:
            log.error("%s", error)
            self._give_up(decoding, f"the model failed: {error}", code="decode_failed")
        except Closed:
            raise
        except Exception as error:
            log.exception("the model failed in a way that nobody foresaw")
            what = f"the engine failed: {type(error).__name__}"
            self._give_up(decoding, what, code="engine_fault")

    def _turn(self, decoding: Decoding) -> None:
        if decoding.idle:
            return
        decoding.turn()
        # What it takes is looked at when it is done: its buffers have been used by then.
        if not decoding.answers:
            self._measure()

    def _measure(self) -> None:
        """Tell what the model takes, now that it has computed something."""
        size = max(0, resident_bytes() - self._base)
        if abs(size - self._measured) > _WORTH_TELLING * size:
            self._measured = size
            self._recorder.take("model_memory_bytes", size, self._file.id, "measured")

    def _take(self, message: ToWorker, model: LoadedModel, decoding: Decoding) -> None:
        match message:
            case Submit(number):
                asked = self._asked[number] = _Asked(self, number)
                try:
                    decoding.add(asked, message.read())
                except Refused as error:
                    asked.emit(Failed(error))
            case Ask(number, question):
                self._events.append((number, _found(question, model)))
            case Cancel(number):
                if (known := self._asked.get(number)) is not None:
                    known.cancelled = True

    def take_event(self, number: int, event: Event) -> None:
        """Keep an event of a task until the next report."""
        self._events.append((number, event))
        if not isinstance(event, Text):  # it was the last one
            self._asked.pop(number, None)

    def _report(self, decoding: Decoding, *, last: bool = False) -> None:
        events, self._events = self._events, []
        samples = self._recorder.hand_over()
        self._link.send(Report(events, samples, decoding.waiting, last))
        for number in [n for n, asked in self._asked.items() if asked.cancelled]:
            del self._asked[number]  # decoding drops it before its next batch

    def _give_up(self, decoding: Decoding, what: str, *, code: str) -> None:
        """End all answers, and with them the process: the model's state is not known."""
        decoding.fail(NotReady(what, code=code, retry_after=RETRY_AFTER))
        self._report(decoding, last=True)


class _Asked:
    """Who asked, on the other side of the connection."""

    def __init__(self, serving: Serving, number: int) -> None:
        self._serving = serving
        self._number = number
        self.cancelled = False

    def emit(self, event: Event) -> None:
        """Tell what there is of the answer."""
        if not self.cancelled:
            self._serving.take_event(self._number, event)


def _found(question: Question, model: LoadedModel) -> Event:
    try:
        return Found(looked_up(question, model))
    except Refused as error:
        return Failed(error)
