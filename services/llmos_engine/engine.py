"""The engine: which model's process answers what, and what happens when one ends.

    loading ──► ready ◄──► loading     (another model is asked for, or its process has ended)
       │          │
       └► failed ◄┘                    (tried again when the files change)

One thread hands the jobs out. What touches a model happens in its own process: ``workers``.
"""

import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Final

from llmos_api.types import Health, HealthStatus
from llmos_engine.errors import NotReady, Refused
from llmos_engine.jobs import Failed, Job, JobQueue
from llmos_engine.metrics import Metrics
from llmos_engine.models import ModelStore
from llmos_engine.workers.handle import NoWorkers, Spawner, State, Worker
from llmos_models.errors import ModelError
from llmos_models.scan import ModelFile

log = logging.getLogger(__name__)

QUEUE_LIMIT: Final = 32
STUCK_AFTER: Final = 120.0
"""Seconds in which one step must end: a batch of a large model on a slow machine takes long."""
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
        clock: Callable[[], float] = time.monotonic,
        on_health: Callable[[Health], None] = lambda _: None,
    ) -> None:
        self.store = store
        self.metrics = Metrics()
        self._spawner = spawner
        self._queue = JobQueue(queue_limit, elsewhere=self._without_slot)
        self._clock = clock
        self._on_health = on_health
        self._health = Health(HealthStatus.LOADING)
        self._worker: Worker | None = None
        self._deaths = 0
        """Times in a row that a worker ended soon after it was ready."""
        self._ready_since = 0.0
        self._failed_files: object = None
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
        worker = self._worker
        if self._health.ready and worker is not None and worker.silent_for() > STUCK_AFTER:
            what = _stuck(worker)
            return Health(HealthStatus.FAILED, model=self._health.model, error=what)
        return self._health

    def silent_for(self) -> float:
        """Return the seconds since the thread that hands jobs out last moved.

        For ever, once no model can be loaded any more: only a new service helps then.
        """
        return math.inf if self._lost else self._clock() - self._last_sign

    def submit(self, *jobs: Job) -> None:
        """Queue the jobs of a request; raises :class:`~llmos_engine.errors.Refused`.

        While a model is loading jobs wait for it.
        """
        health = self._health
        if health.status is HealthStatus.FAILED and not self._files_changed():
            raise NotReady(health.error or "the model could not be loaded", code="model_failed")
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

    def _without_slot(self) -> int:
        """How many jobs were taken out of the queue and wait for their turn with the model."""
        worker = self._worker
        return worker.waiting if worker else 0

    # What follows runs on the engine's own thread.

    def _run(self) -> None:
        self._load_default()
        while not self._cutting_short.is_set():
            self._sign()
            self._look_after_worker()
            self._spawner.tidy()
            if self._queue.finished:
                if self._idle:
                    break
                self._queue.pause(IDLE_TICK)
            else:
                self._take_job()
        self._unload(_stopping())

    def _sign(self) -> None:
        self._last_sign = self._clock()

    @property
    def _idle(self) -> bool:
        return self._worker is None or self._worker.idle

    def _take_job(self) -> None:
        """Hand the next job out; wait for one when there is none."""
        failed = self._health.status is HealthStatus.FAILED
        job = self._queue.get(RETRY_TICK if failed else IDLE_TICK, self._fits)
        if job is None:
            self._recover()
        elif not job.cancelled:
            self._take(job)

    def _fits(self, job: Job) -> bool:
        """Whether a job can be worked on now: one for another model waits for those that run."""
        worker = self._worker
        return worker is None or worker.idle or _has(worker, job.work.model)

    def _take(self, job: Job) -> None:
        try:
            self._look_after_worker()
            self._ensure(job.work.model).submit(job)
        except ModelError as error:
            job.emit(Failed(NotReady(str(error), code="model_failed")))
            self._load_default()
        except Exception as error:
            # The thread must outlive a fault: without it nothing answers.
            log.exception("a request failed in a way that nobody foresaw")
            what = f"the engine failed: {type(error).__name__}"
            job.emit(Failed(NotReady(what, code="engine_fault")))

    def _look_after_worker(self) -> None:
        """Load the model again when its process has ended, and end one that does not get on."""
        worker = self._worker
        if worker is None:
            return
        if worker.silent_for() > STUCK_AFTER:
            worker.kill(_stuck(worker))
            self._wait_for(lambda: worker.state is State.ENDED)
        if worker.state is State.ENDED and not self._cutting_short.is_set():
            log.error("%s", worker.fault or f"the model {worker.file.id} has failed")
            self.metrics.take("worker_deaths", 1)
            self._worker = None
            self._be(Health(HealthStatus.LOADING, model=worker.file.id))
            soon = self._clock() - self._ready_since < SOON
            self._deaths = self._deaths + 1 if soon else 0
            self._rest(min(LONGEST_REST, 2.0 ** (self._deaths - 2)) if self._deaths > 1 else 0.0)
            self._load_default()

    def _rest(self, seconds: float) -> None:
        """Wait before a model is loaded again that has ended again and again."""
        until = self._clock() + seconds
        while (left := until - self._clock()) > 0 and not self._cutting_short.is_set():
            self._sign()
            self._queue.pause(min(left, RETRY_TICK))

    def _load_default(self) -> None:
        try:
            self._ensure(self.store.find(None))
        except ModelError as error:
            self._fail(error)
        except Exception as error:
            log.exception("loading failed in a way that nobody foresaw")
            self._fail(ModelError(f"the model cannot be loaded: {error}"))

    def _ensure(self, file: ModelFile) -> Worker:
        """Return a worker that has the model loaded; end one that has another.

        Raises:
            ModelError: it cannot be loaded.
        """
        worker = self._worker
        if worker is not None and worker.state is State.READY and _has(worker, file):
            return worker
        # Nobody waits for anything from it: see _fits.
        self._unload(NotReady("another model was asked for", code="model_failed"))
        self._be(Health(HealthStatus.LOADING, model=file.id))
        log.info("loading %s", file.path)
        started = self._clock()
        worker = Worker(
            file,
            self._spawner,
            meter=self.metrics,
            on_change=self._queue.nudge,
            clock=self._clock,
        )
        self._worker = worker
        self._wait_for(lambda: worker.state is not State.LOADING, worker)
        if worker.state is not State.READY:
            raise ModelError(worker.fault or "stopped while it was loading")
        self._ready_since = self._clock()
        self.metrics.take("model_loads", 1)
        self._be(Health(HealthStatus.OK, model=file.id, device=worker.device))
        log.info("loaded %s on %s in %.2f s", file.id, worker.device, self._clock() - started)
        return worker

    def _wait_for(self, reached: Callable[[], bool], loading: Worker | None = None) -> None:
        """Wait for a worker's next state, or until all is to end."""
        while not reached() and not self._cutting_short.is_set():
            if loading is not None and loading.silent_for() > STUCK_AFTER:
                loading.kill(_stuck(loading))
            self._sign()
            self._queue.pause(RETRY_TICK)

    def _be(self, health: Health) -> None:
        self._health = health
        self.metrics.take("ready", health.ready)
        self._on_health(health)

    def _unload(self, error: Refused) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop(error)

    def _fail(self, error: ModelError) -> None:
        self._lost = isinstance(error, NoWorkers)
        if self._cutting_short.is_set():
            log.info("stopped while a model was loading")
            return
        log.error("%s", error)
        self._unload(NotReady(str(error), code="model_failed"))
        self._failed_files = self._files()
        self._be(Health(HealthStatus.FAILED, error=str(error)))
        for job in self._queue.clear():
            job.emit(Failed(NotReady(str(error), code="model_failed")))

    def _recover(self) -> None:
        """Try again after a failure, once somebody has changed the files."""
        if self._health.status is HealthStatus.FAILED and self._files_changed():
            log.info("the model files have changed: trying again")
            self._load_default()

    def _files_changed(self) -> bool:
        return self._files() != self._failed_files

    def _files(self) -> object:
        catalogue = self.store.scan()
        sound = tuple((name, file.signature) for name, file in sorted(catalogue.models.items()))
        return sound, catalogue.default, tuple(str(fault) for fault in catalogue.faults)


def _has(worker: Worker, file: ModelFile) -> bool:
    return worker.file.signature == file.signature


def _stopping() -> NotReady:
    return NotReady("the engine is stopping", code="stopping")


def _stuck(worker: Worker) -> str:
    return f"the model {worker.file.id} has not moved for {worker.silent_for():.0f} seconds"
