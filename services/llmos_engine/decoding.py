"""Answering with one loaded model: many requests side by side, a batch at a time.

Connects what is asked (tasks) with who computes next (``scheduling``) and what computes (a back
end). All of it happens on one thread of the model's process.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from llmos_api.types import FinishReason, Usage
from llmos_engine.backends.base import Feed, LoadedModel, Made, Place, Plain, Prompt
from llmos_engine.errors import ContextOverflow, InvalidRequest, NotReady, Refused
from llmos_engine.jobs import Event, Failed, Finished, Task, Text
from llmos_engine.metrics import Meter, Recorder, label
from llmos_engine.scheduling.request import Request
from llmos_engine.scheduling.scheduler import Kind, Move, Piece, Scheduler
from llmos_engine.spoken import Spoken

log = logging.getLogger(__name__)


class Asker(Protocol):
    """Who asked, as far as an answer must know."""

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the answer any more."""

    def emit(self, event: Event) -> None:
        """Tell what there is of it."""


@dataclass
class _Answer:
    """A job, and how far its answer has come."""

    job: Asker
    task: Task
    tokens: list[int]
    """Of the prompt, and then those that were made."""
    prompt: Prompt
    limit: int
    text: Spoken
    begun: float
    last: float
    """When its last token was made, or it was taken on."""
    made: int = 0
    parked: object = None
    slot: int | None = None
    judged: list[Place] = field(default_factory=list)
    """The tokens of the prompt but the first, when it is wanted how probable they are."""
    end: FinishReason | None = None
    fault: Refused | None = None

    @property
    def judging(self) -> bool:
        """Whether it is wanted how probable the prompt is."""
        return self.task.echo and self.task.sampling.logprobs is not None


class Decoding:
    """The answers that one model works on."""

    def __init__(
        self,
        model: LoadedModel,
        *,
        name: str = "",
        metrics: Meter | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._name = name
        self._metrics = metrics or Recorder()
        self._clock = clock
        shape = model.shape
        self._scheduler = Scheduler(slots=shape.slots, capacity=shape.capacity, batch=shape.batch)
        self._answers: dict[int, _Answer] = {}
        self._number = 0
        self.waiting = 0
        """How many answers have no slot."""

    @property
    def idle(self) -> bool:
        """Whether no answer is being worked on."""
        return not self._answers

    @property
    def answers(self) -> int:
        """How many answers are being worked on."""
        return len(self._answers)

    def add(self, job: Asker, task: Task) -> None:
        """Take on a task.

        Raises:
            Refused: its prompt cannot be read, or leaves no room for an answer.
        """
        prompt = self._model.prompt(task.asked)
        if not prompt.tokens:
            raise InvalidRequest(
                "there is nothing to read: the prompt is empty",
                param=task.asked.param,
                code="empty_prompt",
            )
        room = self._model.context - len(prompt.tokens)
        if room < 1:
            raise ContextOverflow(
                prompt=len(prompt.tokens), context=self._model.context, param=task.asked.param
            )
        limit = room if task.limit is None else min(room, task.limit)
        self._number += 1
        self._answers[self._number] = _Answer(
            job=job,
            task=task,
            tokens=list(prompt.tokens),
            prompt=prompt,
            limit=limit,
            text=Spoken((*task.stops, *prompt.stops)),
            begun=self._clock(),
            last=self._clock(),
        )
        self._scheduler.submit(
            Request(
                id=self._number,
                priority=task.priority,
                prompt=len(prompt.tokens),
                limit=max(1, limit),
                arrived=self._clock(),
            )
        )

    def turn(self) -> None:
        """Compute one batch.

        Raises:
            DecodeFailed: the model has to be loaded again; the answers are still there to fail.
        """
        self._drop_cancelled()
        now = self._clock()
        self._carry_out(self._scheduler.place(now))
        moves, step = self._scheduler.step(now)
        self._carry_out(moves)
        self._count(now)
        pieces = [piece for piece in step.pieces if piece.request in self._answers]
        if not pieces:
            return
        begun = self._clock()
        outcomes = self._model.run([self._feed(piece) for piece in pieces])
        seconds = self._clock() - begun
        self._metrics.take("step_seconds", seconds)
        self._metrics.take("tokens", step.read, "read")
        for piece, outcome in zip(pieces, outcomes, strict=True):
            answer = self._answers[piece.request]
            answer.judged.extend(outcome.judged)
            if piece.makes:
                self._take(answer, outcome.made)
        ended = [n for n, answer in self._answers.items() if answer.end or answer.fault]
        for number in {*self._scheduler.finished(step, ended, seconds), *ended}:
            self._finish(number)
        if self.idle:
            self._count(now)

    def _count(self, now: float) -> None:
        self.waiting = len(self._scheduler.queue(now))
        self._metrics.take("waiting", self.waiting, self._name)
        self._metrics.take("running", len(self._answers) - self.waiting, self._name)

    def fail(self, error: Refused) -> None:
        """End all answers with ``error``; the model computes nothing more."""
        answers, self._answers = self._answers, {}
        for number, answer in answers.items():
            self._scheduler.cancel(number)
            self._forget_parked(answer)
            answer.job.emit(Failed(error))

    def stop(self) -> None:
        """End all answers: the engine goes."""
        self.fail(NotReady("the engine is stopping", code="stopping"))

    # How it works

    def _drop_cancelled(self) -> None:
        for number in [n for n, answer in self._answers.items() if answer.job.cancelled]:
            answer = self._answers.pop(number)
            self._scheduler.cancel(number)
            self._release(answer)
            self._metrics.take("requests", 1, _label(answer), "cancelled")
            log.info("cancelled after %d tokens", answer.made)

    def _carry_out(self, moves: Sequence[Move]) -> None:
        for move in moves:
            answer = self._answers[move.request]
            match move.kind:
                case Kind.PARK:
                    self._metrics.take("parked", 1)
                    answer.parked, answer.slot = self._model.park(move.slot), None
                case Kind.RESUME:
                    parked, answer.parked, answer.slot = answer.parked, None, move.slot
                    self._model.resume(move.slot, parked)
                case Kind.ADMIT:
                    self._admit(move, answer)

    def _admit(self, move: Move, answer: _Answer) -> None:
        self._forget_parked(answer)  # it had begun, and had nothing in the cache yet
        answer.slot = move.slot
        try:
            reused = self._model.open(
                move.slot, answer.tokens, answer.task.sampling, anew=answer.judging
            )
        except Refused as error:
            answer.fault = error
            self._finish(move.request)
            self._scheduler.cancel(move.request)
        else:
            self._scheduler.reused(move.request, reused)
            self._metrics.take("tokens", reused, "found")

    def _feed(self, piece: Piece) -> Feed:
        answer = self._answers[piece.request]
        tokens, end = answer.tokens, piece.start + piece.count
        feed = Feed(piece.slot, tokens[piece.start : end], piece.start, piece.makes)
        if not answer.judging or answer.made:
            return feed
        top = answer.task.sampling.logprobs or 0
        return feed._replace(judged=tokens[piece.start + 1 : end + 1], top=top)

    def _take(self, answer: _Answer, made: Made) -> None:
        if answer.job.cancelled:
            return  # nobody listens; it goes before the next batch
        if isinstance(made, Refused):
            answer.fault = made
            return
        if answer.task.echo and not answer.made:
            _emit_text(answer.job, self._echo(answer))
        if answer.limit == 0:
            answer.end = FinishReason.LENGTH
        elif made is None:
            answer.end = FinishReason.STOP
            _emit_text(answer.job, answer.text.finish())
        else:
            answer.tokens.append(made.number)
            answer.made += 1
            self._time(answer)
            _emit_text(answer.job, answer.text.feed(made))
            if answer.text.stopped:
                answer.end = FinishReason.STOP
            elif answer.made >= answer.limit:
                answer.end = FinishReason.LENGTH
                _emit_text(answer.job, answer.text.finish())

    def _echo(self, answer: _Answer) -> Text:
        """The prompt, as the beginning of the answer; its first token follows nothing."""
        tokens = answer.prompt.tokens[answer.prompt.added :]
        pieces = self._model.pieces(tokens)
        asked = answer.task.asked
        if isinstance(asked, Plain) and isinstance(asked.content, str):
            text = asked.content
        else:
            text = b"".join(pieces).decode(errors="replace")
        if not answer.judging:
            return Text(text)
        first = () if answer.prompt.added else (Place(tokens[0], pieces[0], None),)
        return Text(text, (*first, *answer.judged))

    def _time(self, answer: _Answer) -> None:
        now = self._clock()
        waits = "first_token_seconds" if answer.made == 1 else "token_gap_seconds"
        self._metrics.take(waits, now - answer.last, _label(answer))
        answer.last = now
        self._metrics.take("tokens", 1, "made")

    def _finish(self, number: int) -> None:
        answer = self._answers.pop(number)
        self._release(answer)
        reason = answer.end or FinishReason.LENGTH
        how = "refused" if answer.fault is not None else reason.value
        self._metrics.take("requests", 1, _label(answer), how)
        if answer.fault is not None:
            answer.job.emit(Failed(answer.fault))
            return
        read = len(answer.prompt.tokens)
        usage = Usage(read, answer.made, read + answer.made)
        answer.job.emit(Finished(reason, usage, answer.task.prompt))
        # Never what was said: the log is readable by more people than the conversation.
        log.info(
            "answered: %d tokens read, %d made, %.2f s, %s",
            read,
            answer.made,
            self._clock() - answer.begun,
            reason.value,
        )

    def _release(self, answer: _Answer) -> None:
        self._forget_parked(answer)
        if answer.slot is not None:
            self._model.end(answer.slot)

    def _forget_parked(self, answer: _Answer) -> None:
        if answer.parked is not None:
            self._model.drop(answer.parked)
            answer.parked = None


def _label(answer: _Answer) -> str:
    return label(answer.task.priority)


def _emit_text(job: Asker, text: Text) -> None:
    if text.text or text.places:
        job.emit(text)
