"""The engine: which model's process answers what, and what happens when one ends.

    loading ──► ready ◄──► loading     (the process of the model has ended)
       │          │
       └► failed ◄┘                    (tried again when the files change)

One thread hands the jobs out. Which models are loaded is in ``residents.py``; what touches a model
happens in its own process: ``workers``.
"""

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Final

from llmos_api.types import Health, HealthStatus
from llmos_engine.errors import NotReady
from llmos_engine.jobs import Failed, Job, JobQueue
from llmos_engine.memory import Machine
from llmos_engine.metrics import Metrics
from llmos_engine.models import ModelStore
from llmos_engine.residents import Residents, is_stuck, stuck
from llmos_engine.workers.handle import NoWorkers, Spawner, State, Worker
from llmos_models.errors import ModelError
from llmos_models.scan import ModelFile, Signature

log = logging.getLogger(__name__)

QUEUE_LIMIT: Final = 32
IDLE_TICK: Final = 5.0
"""Seconds between two looks at everything when nothing happens."""
RETRY_TICK: Final = 1.0
"""Seconds between two looks at the files of a model that could not be loaded."""
SOON: Final = 30.0
"""Seconds after which a process that ends has not ended because it was just loaded."""
LONGEST_REST: Final = 30.0
"""Seconds to wait at most before a model is loaded again that ends each time."""


class Engine:
    """Give it what starts workers and the models, :meth:`start` it, and :meth:`submit` jobs."""

    def __init__(
        self,
        spawner: Spawner,
        store: ModelStore,
        *,
        queue_limit: int = QUEUE_LIMIT,
        machine: Machine | None = None,
        clock: Callable[[], float] = time.monotonic,
        on_health: Callable[[Health], None] = lambda _: None,
    ) -> None:
        self.store = store
        self.metrics = Metrics()
        self._spawner = spawner
        self._queue = JobQueue(queue_limit, elsewhere=lambda: self._residents.waiting)
        self._clock = clock
        self._on_health = on_health
        self._health = Health(HealthStatus.LOADING)
        self._residents = Residents(
            spawner,
            metrics=self.metrics,
            machine=machine or Machine(),
            on_change=self._queue.nudge,
            clock=clock,
        )
        self._announced: set[Worker] = set()
        self._default: ModelFile | None = None
        self._error: str | None = None
        """Why there is no default model."""
        self._failed: dict[Signature, str] = {}
        """Files that cannot be loaded, until they are others."""
        self._deaths: dict[Signature, int] = {}
        """Times in a row that a model's process has ended soon after it was ready."""
        self._not_before: dict[Signature, float] = {}
        self._patient_until = 0.0
        """When room for the default model is looked for again."""
        self._lost = False
        self._last_sign = clock()
        self._cutting_short = threading.Event()
        # A daemon: nothing may keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        """Begin to load the default model; returns at once."""
        self._thread.start()

    @property
    def health(self) -> Health:
        """Where the engine stands; a model that does not get on is a failure too."""
        if self._health.ready:
            for worker in self._residents.all():
                if is_stuck(worker) and worker.file.id == self._health.model:
                    what = stuck(worker)
                    return Health(HealthStatus.FAILED, model=worker.file.id, error=what)
        return self._health

    def silent_for(self) -> float:
        """Return the seconds since the thread that hands jobs out last moved.

        For ever, while no process can be started for a model: only a new service helps then.
        """
        return math.inf if self._lost else self._clock() - self._last_sign

    def submit(self, *jobs: Job) -> None:
        """Queue the jobs of a request; raises :class:`~llmos_engine.errors.Refused`.

        While a model is loading jobs wait for it.
        """
        for job in jobs:
            if (why := self._failed.get(job.work.model.signature)) is not None:
                raise NotReady(why, code="model_failed")
        self._queue.put(*jobs)

    def drain(self) -> None:
        """Take no more jobs and end the thread after those that wait."""
        self._queue.close()

    def stop(self, timeout: float = 5.0) -> bool:
        """End at once: jobs that run or wait fail. Returns whether the thread ended."""
        self._cutting_short.set()
        self._queue.close()
        for job in self._queue.clear():
            job.emit(Failed(_stopping()))
        self._queue.nudge()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    # What follows runs on the engine's own thread.

    def _run(self) -> None:
        while not self._cutting_short.is_set():
            self._last_sign = self._clock()
            try:
                self._look_after()
                if self._queue.finished:
                    if self._residents.idle:
                        break
                    self._queue.pause(IDLE_TICK)
                else:
                    self._take_job()
            except Exception:
                # The thread must outlive a fault: without it nothing answers.
                log.exception("the engine failed in a way that nobody foresaw")
                self._queue.pause(RETRY_TICK)
        self._residents.stop(_stopping())

    def _look_after(self) -> None:
        """See what has become of the models' processes, and what may be loaded."""
        self._residents.kill_stuck()
        self._take_ends()
        self._residents.admit()
        self._announce()
        if not self._health.ready:
            self._want_default()
        self._be(self._state())
        self._spawner.tidy()

    def _take_job(self) -> None:
        """Hand the next job out; wait for one when there is none."""
        resting = any(map(self._rests, self._not_before))
        settled = self._health.ready and self._residents.starting is None and not resting
        job = self._queue.get(IDLE_TICK if settled else RETRY_TICK, self._fits)
        if job is None:
            if settled:
                self._residents.keep_only(
                    {file.signature for file in self.store.scan().models.values()}
                )
        elif not job.cancelled:
            self._hand_out(job)

    def _fits(self, job: Job) -> bool:
        """Whether a job can be handed out now.

        One whose model is not there waits for the one that is just being loaded; and while a model
        waits for room, all others get no more work, or it would wait for ever.
        """
        model = job.work.model
        worker, starting = self._residents.find(model), self._residents.starting
        if starting is not None and starting.state is State.WAITING:
            return worker is starting
        if worker is not None and worker.state is State.ENDING:
            return False  # the next one needs the memory that it gives back
        return worker is not None or (starting is None and not self._rests(model.signature))

    def _hand_out(self, job: Job) -> None:
        model = job.work.model
        self._take_ends()
        try:
            worker = self._residents.find(model) or self._start(model)
        except NoWorkers as error:
            job.emit(Failed(NotReady(str(error), code="model_failed")))
        else:
            worker.submit(job)

    def _start(self, model: ModelFile) -> Worker:
        """Start a worker; raises :class:`NoWorkers`."""
        try:
            worker = self._residents.start(model)
        except NoWorkers as error:
            self._lost = True
            self._fault(str(error))
            raise
        self._lost = False
        return worker

    def _want_default(self) -> None:
        """Load the default model, unless something is on its way or it is of no use."""
        if self._residents.starting is not None:
            return
        try:
            self._default = file = self.store.find(None)
        except ModelError as error:
            self._fault(str(error))
            return
        if self._residents.find(file) is not None:
            self._error = None
        elif (why := self._failed.get(file.signature)) is not None:
            self._error = why
        elif not self._rests(file.signature) and self._patient_until <= self._clock():
            with contextlib.suppress(NoWorkers):  # it is the error then
                self._start(file)
                self._error = None

    def _announce(self) -> None:
        """Count and log the models that have been loaded."""
        ready = {worker for worker in self._residents.all() if worker.state is State.READY}
        for worker in ready - self._announced:
            self.metrics.take("model_loads", 1)
            self._not_before.pop(worker.file.signature, None)
            seconds = worker.ready_since - worker.begun
            log.info("loaded %s on %s in %.2f s", worker.file.id, worker.device, seconds)
        self._announced = ready

    def _take_ends(self) -> None:
        for worker in self._residents.take_ended():
            self._take_end(worker)

    def _take_end(self, worker: Worker) -> None:
        """Draw the conclusions from the end of a process that nobody told to end."""
        signature = worker.file.signature
        why = worker.fault or f"the model {worker.file.id} has failed"
        log.error("%s", why)
        if not worker.usable:
            self._failed[signature] = why
        elif worker.refused:
            # Asked for again it may have found room; by itself it comes back only later.
            if worker.file == self._default:
                self._error, self._patient_until = why, self._clock() + LONGEST_REST
        else:
            self.metrics.take("worker_deaths", 1)
            late = worker.ended_in is State.READY and (self._clock() - worker.ready_since >= SOON)
            deaths = self._deaths[signature] = 0 if late else self._deaths.get(signature, 0) + 1
            # The first time at once.
            self._rest(signature, min(LONGEST_REST, 2.0 ** (deaths - 2)) if deaths > 1 else 0.0)

    def _rest(self, signature: Signature, seconds: float) -> None:
        self._not_before[signature] = self._clock() + seconds

    def _rests(self, signature: Signature) -> bool:
        return self._not_before.get(signature, 0.0) > self._clock()

    def _state(self) -> Health:
        """What there is to say: of the default model, or else of the one loaded last."""
        workers = self._residents.all()
        ready = [worker for worker in workers if worker.state is State.READY]
        if ready:
            main = max(ready, key=lambda one: (one.file == self._default, one.ready_since))
            return Health(HealthStatus.OK, model=main.file.id, device=main.device)
        if (starting := self._residents.starting) is not None:
            return Health(HealthStatus.LOADING, model=starting.file.id)
        if self._error is not None:
            return Health(HealthStatus.FAILED, error=self._error)
        return Health(HealthStatus.LOADING, model=self._default.id if self._default else None)

    def _be(self, health: Health) -> None:
        if health != self._health:
            self._health = health
            self.metrics.take("ready", health.ready)
            self._on_health(health)

    def _fault(self, why: str) -> None:
        if why != self._error:
            log.error("%s", why)
        self._error = why


def _stopping() -> NotReady:
    return NotReady("the engine is stopping", code="stopping")
