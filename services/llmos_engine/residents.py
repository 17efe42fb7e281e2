"""The models' processes: who is there, who may load, who makes room, who is ended.

All of it happens on the engine's thread; others may read.
"""

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Final

from llmos_engine.errors import NotReady, Refused
from llmos_engine.memory import Machine, human
from llmos_engine.metrics import Metrics
from llmos_engine.residency import Resident, could_ever_fit, to_end
from llmos_engine.workers.handle import Spawner, State, Worker
from llmos_models.scan import ModelFile, Signature

log = logging.getLogger(__name__)

STUCK_AFTER: Final = 120.0
"""Seconds in which one step must end: a batch of a large model on a slow machine takes long."""
_STARTING: Final = {State.ASKING, State.WAITING, State.LOADING}


class Residents:
    """Workers by their model's file. ``on_change`` is called when there is news of one."""

    def __init__(
        self,
        spawner: Spawner,
        *,
        metrics: Metrics,
        machine: Machine,
        on_change: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spawner = spawner
        self._metrics = metrics
        self._machine = machine
        self._on_change = on_change
        self._clock = clock
        self._workers: dict[Signature, Worker] = {}
        self._unpredictable: set[Signature] = set()
        """Files whose worker ended while it found out what they take."""

    def find(self, file: ModelFile) -> Worker | None:
        """The worker that has a model, or is about to."""
        worker = self._workers.get(file.signature)
        return None if worker is None or worker.state is State.ENDED else worker

    def all(self) -> list[Worker]:
        """All of them; may be called from any thread."""
        return list(self._workers.values())

    @property
    def starting(self) -> Worker | None:
        """The one that does not answer yet: there is one at a time."""
        return next((worker for worker in self.all() if worker.state in _STARTING), None)

    @property
    def idle(self) -> bool:
        """Whether nobody waits for anything."""
        return all(worker.idle for worker in self.all())

    @property
    def waiting(self) -> int:
        """Answers that have not begun."""
        return sum(worker.waiting for worker in self.all())

    def start(self, file: ModelFile) -> Worker:
        """Start a worker for a model.

        Raises:
            NoWorkers: none can be started.
        """
        log.info("loading %s", file.path)
        worker = self._workers[file.signature] = Worker(
            file,
            self._spawner,
            meter=self._metrics,
            on_change=self._on_change,
            predict=file.signature not in self._unpredictable,
            clock=self._clock,
        )
        return worker

    def admit(self) -> None:
        """Let the one load that waits for room, if there is some or idle ones can make it."""
        worker = self.starting
        if worker is None or worker.state is not State.WAITING:
            return
        others = {_resident(one): one for one in self.all() if one.state is State.READY}
        need = worker.needs.total
        # Pages of files count as free, those of loaded models too.
        room = self._machine.available() - sum(one.needs.weights for one in others.values())
        chosen = to_end(list(others), need=need, room=room, now=self._clock())
        if chosen is not None:
            for one in chosen:
                log.info("%s makes room for %s", one.name, worker.file.id)
                self.end(others[one], NotReady("it made room", code="model_failed"))
            worker.let_load()
        elif not could_ever_fit(list(others), need=need, room=room):
            most = max(0, room + sum(one.size for one in others))
            worker.refuse(
                f"the model {worker.file.id} needs {human(need)} of memory, "
                f"and {human(most)} can be had",
                code="insufficient_memory",
            )

    def end(self, worker: Worker, error: Refused) -> None:
        """End a worker; what it works on fails with ``error``."""
        self._workers.pop(worker.file.signature, None)
        worker.stop(error)

    def keep_only(self, files: Collection[Signature]) -> None:
        """End idle ones whose file is not there any more, or is another one by now."""
        for worker in self.all():
            if worker.file.signature not in files and worker.idle and worker.state is State.READY:
                log.info("%s has gone: ending its process", worker.file.path)
                self.end(worker, NotReady("its file has gone", code="model_failed"))

    def kill_stuck(self) -> None:
        """End those that work, or load, and say nothing any more."""
        for worker in self.all():
            if is_stuck(worker) and worker.state is not State.ENDED:
                worker.kill(stuck(worker))

    def take_ended(self) -> list[Worker]:
        """Forget those that have ended without being told to, and return them."""
        ended = [worker for worker in self.all() if worker.state is State.ENDED]
        for worker in ended:
            del self._workers[worker.file.signature]
            if worker.ended_in is State.ASKING and worker.usable:
                self._unpredictable.add(worker.file.signature)
        return ended

    def stop(self, error: Refused) -> None:
        """End all."""
        for worker in self.all():
            self.end(worker, error)


def is_stuck(worker: Worker) -> bool:
    """Whether a worker has said nothing for too long; an idle one says something, too."""
    return worker.silent_for() > STUCK_AFTER


def stuck(worker: Worker) -> str:
    """The same for a person."""
    return f"the model {worker.file.id} has not moved for {worker.silent_for():.0f} seconds"


def _resident(worker: Worker) -> Resident:
    resident = Resident(
        name=worker.file.id,
        size=worker.needs.total,
        idle_since=worker.idle_since,
        ready_since=worker.ready_since,
        load_seconds=worker.ready_since - worker.begun,
        urgency=worker.urgency,
    )
    return resident if worker.idle else replace(resident, idle_since=None)
