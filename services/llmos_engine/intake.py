"""From the body of a request to work: everything is checked here that needs no model."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Final, TypeVar

import msgspec

from llmos_api.completions import USUAL_TOKENS, CompletionRequest
from llmos_api.types import (
    ChatRequest,
    GenerationRequest,
    JsonObjectFormat,
    JsonSchemaFormat,
    ResponseFormat,
    ServiceTier,
)
from llmos_engine.backends.base import Constraint, Conversation, Plain, Sampling
from llmos_engine.errors import InvalidRequest, NotReady
from llmos_engine.jobs import Task, Work
from llmos_engine.models import ModelStore
from llmos_engine.scheduling.request import Priority
from llmos_engine.schema import compile_schema
from llmos_engine.tokens import Question
from llmos_engine.tools.asked import Offer
from llmos_engine.tools.grammar import constraint_of
from llmos_engine.tools.parser import MARKERS
from llmos_models.errors import ModelError
from llmos_models.scan import ModelFile

_PRIORITIES: Final[Mapping[ServiceTier | None, Priority]] = {
    ServiceTier.DEFAULT: Priority.SERVICE,
    ServiceTier.FLEX: Priority.BATCH,
}
S = TypeVar("S", bound=msgspec.Struct)
T = TypeVar("T")


def decode(body: bytes, shape: type[S]) -> S:
    """Decode a body; raises :class:`~llmos_engine.errors.InvalidRequest` with the path."""
    try:
        found: S = _decoder(shape).decode(body)
    except msgspec.ValidationError as error:
        raise explained(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"the body is not JSON: {error}", code="invalid_json") from None
    except RecursionError:
        raise InvalidRequest("the body is nested too deep", code="invalid_json") from None
    return found


def explained(error: msgspec.ValidationError, within: str = "") -> InvalidRequest:
    """Say which value is wrong, by its path, which begins ``within`` the body."""
    what, _, place = str(error).partition(" - at ")
    # A value is at `$.a.b`, and a wrong name of a member at `key` in `$.a`.
    path = within + place.rpartition("`$")[2].removesuffix("`")
    path = path.removeprefix(".")
    where = f"{path}: " if path else ""
    return InvalidRequest(f"{where}{what}", param=path or None, code="invalid_value")


@cache
def _decoder(shape: type[S]) -> msgspec.json.Decoder[S]:
    return msgspec.json.Decoder(shape)


def chat_works(ask: ChatRequest, offer: Offer | None, store: ModelStore) -> list[Work]:
    """Make the work of each choice; raises :class:`~llmos_engine.errors.Refused`."""
    if ask.top_logprobs is not None and not ask.logprobs:
        raise InvalidRequest(
            "top_logprobs: only with logprobs", param="top_logprobs", code="invalid_value"
        )
    logprobs = (ask.top_logprobs or 0) if ask.logprobs else None
    model, constraint = _model(store, ask.model), _constraint(ask.response_format)
    if offer is not None:
        if constraint is not None:
            raise InvalidRequest(
                "response_format: not together with tools, unless tool_choice is none",
                param="response_format",
                code="invalid_value",
            )
        constraint = constraint_of(offer, model.chat_template)
    task = Task(
        asked=Conversation(ask.messages, offer.for_template if offer else ()),
        sampling=replace(
            _sampling(ask),
            constraint=constraint,
            logprobs=logprobs,
            markers=MARKERS if offer else frozenset(),
        ),
        stops=ask.stops,
        limit=ask.token_limit,
        priority=_priority(ask),
    )
    return [Work(model, one) for one in _choices(task, ask)]


def completion_works(ask: CompletionRequest, store: ModelStore) -> list[Work]:
    """Make the work of each choice, those of a prompt side by side.

    Raises:
        Refused: a value is wrong, or there is no such model.
    """
    try:
        prompts = ask.prompts
    except ValueError as error:
        raise InvalidRequest(f"prompt: {error}", param="prompt", code="invalid_value") from None
    suffix = ask.suffix or None
    if suffix is not None and (ask.echo or not all(isinstance(p, str) for p in prompts)):
        raise InvalidRequest(
            "suffix: only with a prompt that is a text, and without echo",
            param="suffix",
            code="invalid_value",
        )
    model = _model(store, ask.model)
    sampling = replace(_sampling(ask), logprobs=ask.logprobs)
    works: list[Work] = []
    for number, prompt in enumerate(prompts):
        task = Task(
            asked=Plain(prompt, suffix),
            sampling=sampling,
            stops=ask.stops,
            limit=USUAL_TOKENS if ask.max_tokens is None else ask.max_tokens,
            echo=bool(ask.echo),
            prompt=number,
            priority=_priority(ask),
        )
        works += [Work(model, one) for one in _choices(task, ask)]
    return works


def lookup(question: Question, store: ModelStore) -> Work:
    """Make a question to a model that computes nothing."""
    return Work(_model(store, question.ask.model), question)


def _model(store: ModelStore, name: str | None) -> ModelFile:
    try:
        return store.find(name)
    except ModelError as error:
        raise NotReady(str(error), code="model_failed") from error


def _priority(ask: GenerationRequest) -> Priority:
    return _PRIORITIES.get(ask.service_tier, Priority.INTERACTIVE)


def _choices(task: Task, ask: GenerationRequest) -> list[Task]:
    """The same task as often as wanted; with a seed each has its own."""
    seed, number = task.sampling.seed, ask.n or 1
    if seed is None:
        return [task] * number
    seeds = (replace(task.sampling, seed=seed + index) for index in range(number))
    return [msgspec.structs.replace(task, sampling=sampling) for sampling in seeds]


def _sampling(ask: GenerationRequest) -> Sampling:
    usual = Sampling()
    return Sampling(
        temperature=_or(ask.temperature, usual.temperature),
        top_p=_or(ask.top_p, usual.top_p),
        top_k=_or(ask.top_k, usual.top_k),
        min_p=_or(ask.min_p, usual.min_p),
        frequency_penalty=_or(ask.frequency_penalty, usual.frequency_penalty),
        presence_penalty=_or(ask.presence_penalty, usual.presence_penalty),
        bias=ask.logit_bias or {},
        seed=ask.seed,
    )


def _or(said: T | None, usual: T) -> T:
    return usual if said is None else said


def _constraint(wanted: ResponseFormat | None) -> Constraint | None:
    match wanted:
        case JsonSchemaFormat(json_schema=one):
            return Constraint(one.schema, compile_schema(one.schema))
        case JsonObjectFormat():
            schema: dict[str, Any] = {"type": "object"}
            return Constraint(schema, compile_schema(schema))
        case _:
            return None
