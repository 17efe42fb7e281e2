"""The engine: one decode thread that loads the model and answers, one request at a time.

    loading ──► ready ◄──► loading     (another model is asked for)
       │          │
       └► failed ◄┘                    (tried again when the files change)

Everything that touches the model happens on the decode thread. The scheduler of a later
version replaces ``_answer``: it is the only place that knows of one request at a time.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from llmos_api.types import FinishReason, Health, HealthStatus, Usage
from llmos_engine.backends.base import Backend, LoadedModel, Prompt
from llmos_engine.errors import (
    ContextOverflow,
    DecodeFailed,
    ModelError,
    NotReady,
    Refused,
)
from llmos_engine.jobs import Failed, Finished, Job, JobQueue, Text
from llmos_engine.models import ModelFile, ModelStore
from llmos_engine.stops import StopFilter

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
        self._backend = backend
        self._queue = JobQueue(queue_limit)
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

    def submit(self, job: Job) -> None:
        """Queue a job; raises :class:`~llmos_engine.errors.Refused`.

        While a model is loading jobs wait for it.
        """
        health = self._health
        if health.status is HealthStatus.FAILED and not self._files_changed():
            raise NotReady(health.error or "the model could not be loaded", code="model_failed")
        self._queue.put(job)

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

    # What follows runs on the decode thread.

    def _run(self) -> None:
        self._load_default()
        while not (self._queue.finished or self._cutting_short.is_set()):
            self._sign()
            failed = self._health.status is HealthStatus.FAILED
            job = self._queue.get(RETRY_TICK if failed else IDLE_TICK)
            if job is None:
                self._recover()
            elif not job.cancelled:
                self._serve(job)
        self._unload()

    def _sign(self) -> None:
        self._last_sign = self._clock()

    def _serve(self, job: Job) -> None:
        try:
            self._answer(job, self._ensure(job.work.model))
        except Refused as error:
            job.emit(Failed(error))
        except ModelError as error:
            job.emit(Failed(NotReady(str(error), code="model_failed")))
            self._load_default()
        except DecodeFailed as error:
            log.error("%s", error)
            job.emit(Failed(NotReady(f"the model failed: {error}", code="decode_failed")))
            self._unload()
            self._load_default()
        except Exception as error:
            # The thread must outlive a fault of a back end: without it nothing answers.
            log.exception("a request failed in a way that nobody foresaw")
            what = f"the engine failed: {type(error).__name__}"
            job.emit(Failed(NotReady(what, code="engine_fault")))
            self._unload()
            self._load_default()

    def _answer(self, job: Job, model: LoadedModel) -> None:
        started = self._clock()
        work = job.work
        prompt = model.prompt(work.messages)
        room = model.context - len(prompt.tokens)
        if room < 1:
            raise ContextOverflow(prompt=len(prompt.tokens), context=model.context)
        limit = room if work.limit is None else min(room, work.limit)
        made, reason = self._decode(job, model, prompt, limit)
        if reason is None:
            log.info("cancelled after %d tokens", made)
            return
        usage = Usage(len(prompt.tokens), made, len(prompt.tokens) + made)
        job.emit(Finished(reason, usage))
        # Never what was said: the log is readable by more people than the conversation.
        log.info(
            "answered: %d tokens read, %d made, %.2f s, %s",
            len(prompt.tokens),
            made,
            self._clock() - started,
            reason.value,
        )

    def _decode(
        self, job: Job, model: LoadedModel, prompt: Prompt, limit: int
    ) -> tuple[int, FinishReason | None]:
        """Emit the answer; return its tokens and why it ended, None for a cancellation."""
        text = StopFilter((*job.work.stops, *prompt.stops))
        made = 0
        with closing(model.generate(prompt.tokens, job.work.sampling)) as steps:
            for step in steps:
                self._sign()
                if job.cancelled:
                    return made, None
                if self._cutting_short.is_set():
                    raise NotReady("the engine is stopping", code="stopping")
                made += step.tokens
                _emit_text(job, text.feed(step.text))
                if text.stopped:
                    return made, FinishReason.STOP
                if made >= limit:
                    _emit_text(job, text.finish())
                    return made, FinishReason.LENGTH
        _emit_text(job, text.finish())
        return made, FinishReason.STOP

    def _load_default(self) -> None:
        try:
            self._ensure(self.store.find(None))
        except ModelError as error:
            self._fail(error)
        except Exception as error:
            log.exception("loading failed in a way that nobody foresaw")
            self._fail(ModelError(f"the model cannot be loaded: {error}"))

    def _ensure(self, file: ModelFile) -> LoadedModel:
        """Return the model, loaded; unload another one for it."""
        if self._loaded is not None and self._loaded.file.signature == file.signature:
            return self._loaded.model
        self._unload()
        self._be(Health(HealthStatus.LOADING, model=file.id))
        log.info("loading %s", file.path)
        started = self._clock()
        model = self._backend.load(file, self._progress)
        self._loaded = _Loaded(file, model)
        self._be(Health(HealthStatus.OK, model=file.id, device=model.device))
        log.info("loaded %s on %s in %.2f s", file.id, model.device, self._clock() - started)
        return model

    def _be(self, health: Health) -> None:
        self._health = health
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


def _emit_text(job: Job, text: str) -> None:
    if text:
        job.emit(Text(text))
