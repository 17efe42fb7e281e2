"""The engine: one decode thread that loads the model and answers many requests side by side.

    loading ──► ready ◄──► loading     (another model is asked for)
       │          │
       └► failed ◄┘                    (tried again when the files change)

Everything that touches the model happens on the decode thread; what it does with a model that is
loaded is in ``decoding.py``.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from llmos_api.types import Health, HealthStatus
from llmos_engine.backends.base import Backend, LoadedModel
from llmos_engine.decoding import Decoding
from llmos_engine.errors import DecodeFailed, NotReady, Refused
from llmos_engine.jobs import Failed, Found, Job, JobQueue, Lookup
from llmos_engine.metrics import Metrics
from llmos_engine.models import ModelStore
from llmos_models.errors import ModelError
from llmos_models.scan import ModelFile

log = logging.getLogger(__name__)

QUEUE_LIMIT: Final = 32
STUCK_AFTER: Final = 120.0
"""Seconds in which one step must end: a batch of a large model on a slow machine takes long."""
IDLE_TICK: Final = 5.0
"""Seconds between two signs of life of an idle decode thread."""
RETRY_TICK: Final = 1.0
"""Seconds between two looks at the files of a model that could not be loaded."""


@dataclass(frozen=True)
class _Loaded:
    file: ModelFile
    model: LoadedModel
    decoding: Decoding


class Engine:
    """Give it a back end and the models, :meth:`start` it, and :meth:`submit` jobs."""

    def __init__(
        self,
        backend: Backend,
        store: ModelStore,
        *,
        queue_limit: int = QUEUE_LIMIT,
        clock: Callable[[], float] = time.monotonic,
        on_health: Callable[[Health], None] = lambda _: None,
    ) -> None:
        self.store = store
        self.metrics = Metrics()
        self._backend = backend
        self._queue = JobQueue(queue_limit, elsewhere=self._without_slot)
        self._clock = clock
        self._on_health = on_health
        self._health = Health(HealthStatus.LOADING)
        self._loaded: _Loaded | None = None
        self._failed_files: object = None
        self._last_sign = clock()
        self._cutting_short = threading.Event()
        # A daemon: a back end that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="decode", daemon=True)

    def start(self) -> None:
        """Begin to load the default model; returns at once."""
        self._thread.start()

    @property
    def health(self) -> Health:
        """Where the engine stands; a decode thread that hangs is a failure too."""
        silent = self.silent_for()
        if self._health.ready and silent > STUCK_AFTER:
            what = f"the decode thread has not moved for {silent:.0f} seconds"
            return Health(HealthStatus.FAILED, model=self._health.model, error=what)
        return self._health

    def silent_for(self) -> float:
        """Return the seconds since the decode thread last moved."""
        return self._clock() - self._last_sign

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
            job.emit(Failed(NotReady("the engine is stopping", code="stopping")))
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _without_slot(self) -> int:
        """How many jobs were taken out of the queue and wait for their turn with the model."""
        loaded = self._loaded
        return loaded.decoding.waiting if loaded else 0

    # What follows runs on the decode thread.

    def _run(self) -> None:
        self._load_default()
        while not self._cutting_short.is_set():
            self._sign()
            self._take_jobs()
            if self._busy:
                self._turn()
            elif self._queue.finished:
                break
        if self._loaded is not None:
            self._loaded.decoding.stop()
        self._unload()

    def _sign(self) -> None:
        self._last_sign = self._clock()

    @property
    def _busy(self) -> bool:
        return self._loaded is not None and not self._loaded.decoding.idle

    def _take_jobs(self) -> None:
        """Take what waits; wait for something when there is nothing to do."""
        failed = self._health.status is HealthStatus.FAILED
        patience = 0.0 if self._busy else (RETRY_TICK if failed else IDLE_TICK)
        while (job := self._queue.get(patience, self._fits)) is not None:
            patience = 0.0
            if not job.cancelled:
                self._take(job)
        if patience and not self._queue.finished:
            self._recover()

    def _fits(self, job: Job) -> bool:
        """Whether a job can be worked on now: one for another model waits for those that run."""
        loaded = self._loaded
        return not self._busy or (
            loaded is not None and loaded.file.signature == job.work.model.signature
        )

    def _take(self, job: Job) -> None:
        with self._mishaps(job):
            loaded = self._ensure(job.work.model)
            if isinstance(job.work, Lookup):
                job.emit(Found(job.work.find(loaded.model)))
            else:
                loaded.decoding.add(job, job.work)

    def _turn(self) -> None:
        """Compute one batch for all who are worked on."""
        with self._mishaps():
            if self._loaded is not None:
                self._loaded.decoding.turn()

    @contextlib.contextmanager
    def _mishaps(self, job: Job | None = None) -> Iterator[None]:
        """Answer ``job`` with what goes wrong, and load the model again where that may help."""
        try:
            yield
        except Refused as error:
            self._refuse(job, error)
        except ModelError as error:
            self._refuse(job, NotReady(str(error), code="model_failed"))
            self._load_default()
        except DecodeFailed as error:
            log.error("%s", error)
            self._begin_anew(job, f"the model failed: {error}", code="decode_failed")
        except Exception as error:
            # The thread must outlive a fault of a back end: without it nothing answers.
            log.exception("a request failed in a way that nobody foresaw")
            what = f"the engine failed: {type(error).__name__}"
            self._begin_anew(job, what, code="engine_fault")

    def _refuse(self, job: Job | None, error: Refused) -> None:
        if job is not None:
            job.emit(Failed(error))

    def _begin_anew(self, job: Job | None, what: str, *, code: str) -> None:
        """Fail all that the model works on, and load it again: its state is not known."""
        error = NotReady(what, code=code)
        self._refuse(job, error)
        if self._loaded is not None:
            self._loaded.decoding.fail(error)
        self._unload()
        self._load_default()

    def _load_default(self) -> None:
        try:
            self._ensure(self.store.find(None))
        except ModelError as error:
            self._fail(error)
        except Exception as error:
            log.exception("loading failed in a way that nobody foresaw")
            self._fail(ModelError(f"the model cannot be loaded: {error}"))

    def _ensure(self, file: ModelFile) -> _Loaded:
        """Return the model, loaded; unload another one for it."""
        if self._loaded is not None and self._loaded.file.signature == file.signature:
            return self._loaded
        self._unload()
        self._be(Health(HealthStatus.LOADING, model=file.id))
        log.info("loading %s", file.path)
        started = self._clock()
        model = self._backend.load(file, self._progress)
        loaded = self._loaded = _Loaded(
            file, model, Decoding(model, metrics=self.metrics, clock=self._clock)
        )
        self.metrics.loads.inc()
        self._be(Health(HealthStatus.OK, model=file.id, device=model.device))
        log.info("loaded %s on %s in %.2f s", file.id, model.device, self._clock() - started)
        return loaded

    def _be(self, health: Health) -> None:
        self._health = health
        self.metrics.ready.set(health.ready)
        self._on_health(health)

    def _progress(self, share: float) -> bool:
        del share
        self._sign()
        return not self._cutting_short.is_set()

    def _unload(self) -> None:
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            loaded.model.close()

    def _fail(self, error: ModelError) -> None:
        if self._cutting_short.is_set():
            log.info("stopped while a model was loading")
            return
        log.error("%s", error)
        self._unload()
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
