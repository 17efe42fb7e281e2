"""Runs models with llama.cpp, through the C functions that llama-cpp-python binds.

The classes of llama-cpp-python are left alone: they hold one sequence and one sampler,
and the engine wants the batch and the memory in its own hands.
"""

import contextlib
import ctypes
import logging
import os
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final, cast

from llmos_engine.backends.base import (
    Asked,
    BackendOptions,
    Conversation,
    Feed,
    Made,
    Needs,
    Outcome,
    Place,
    Plain,
    Progress,
    Prompt,
    Sampling,
    Shape,
    Token,
)
from llmos_engine.backends.llama_cache import LlamaCache, Parked
from llmos_engine.backends.llama_devices import CPU, offload_devices
from llmos_engine.backends.llama_needs import buffers
from llmos_engine.backends.llama_sampler import Sampler
from llmos_engine.backends.llama_scores import judge
from llmos_engine.backends.llama_vocab import Vocab
from llmos_engine.errors import (
    ContextOverflow,
    DecodeFailed,
    InvalidRequest,
    Refused,
)
from llmos_engine.memory import resident_bytes
from llmos_engine.template import ChatTemplate
from llmos_models.errors import ModelError
from llmos_models.scan import ModelFile

log = logging.getLogger(__name__)

DEFAULT_CONTEXT: Final = 8192
"""Tokens, where the model allows more: a context of 128 k takes gigabytes of KV cache."""

BATCH: Final = 256
"""Tokens of the prompt in one step: short enough to cancel, long enough for full speed."""

SLOTS: Final = 16
"""Answers side by side."""

SEQUENCES: Final = 2
"""Sequences of the KV cache for each of these: it holds those too that are put aside, and that
have ended."""

SHARED: Final = 4096
"""Tokens of KV cache that several short conversations share."""

NO_ROOM: Final = 1
"""``llama_decode`` found no place in the KV cache; nothing was computed."""

ALL_LAYERS: Final = -1

GGML_LEVELS: Final = {1: logging.DEBUG, 2: logging.DEBUG, 3: logging.WARNING, 4: logging.ERROR}


class LlamaModel:
    """A model with one context, in which several sequences are computed side by side."""

    def __init__(self, lib: Any, model: Any, context: Any, file: ModelFile, device: str) -> None:
        self.device = device
        self._lib = lib
        self._model = model
        self._ctx = context
        self._vocab = Vocab(lib, lib.llama_model_get_vocab(model))
        self._batch = lib.llama_batch_init(BATCH, 0, 1)
        self._template = ChatTemplate(
            file.chat_template,
            bos=self._vocab.text(self._vocab.bos),
            eos=self._vocab.text(self._vocab.eos),
            control_tokens=self._vocab.hidden_texts,
        )
        # Now, while nobody waits: a slow machine takes seconds to start a Python.
        self._template.start()
        capacity = int(lib.llama_n_ctx(context))
        sequences = int(lib.llama_n_seq_max(context))
        self.shape = Shape(slots=sequences // SEQUENCES, capacity=capacity, batch=BATCH)
        trained = int(lib.llama_model_n_ctx_train(model))
        self.context = min(capacity, trained) if trained > 0 else capacity
        recurrent = lib.llama_model_is_recurrent(model) or lib.llama_model_is_hybrid(model)
        self.cache = LlamaCache(
            lib, context, sequences=sequences, capacity=capacity, divisible=not recurrent
        )
        self._samplers: dict[int, Sampler] = {}

    def prompt(self, asked: Asked) -> Prompt:
        """Render the chat template, if it is a chat, and cut the text into tokens."""
        if isinstance(asked, Conversation):
            text = self._template.render(asked.messages, asked.tools)
            tokens = self._vocab.begun(self._cut(text, asked))
            return Prompt(tokens, self._template.stops)
        if isinstance(asked.content, str):
            return self._plain(asked.content, asked)
        self._check(asked.content, asked.param)
        return Prompt(asked.content)

    def tokenize(self, text: str, *, special: bool = True, begin: bool = False) -> Sequence[int]:
        """Cut a text into tokens."""
        tokens = self._vocab.tokenize(text.encode(errors="replace"), special=special)
        return self._vocab.begun(tokens) if begin else tokens

    def pieces(self, tokens: Sequence[int]) -> Sequence[bytes]:
        """Return the bytes of tokens."""
        self._check(tokens, "tokens")
        return [self._vocab.written(token) for token in tokens]

    def open(
        self, slot: int, tokens: Sequence[int], sampling: Sampling, *, anew: bool = False
    ) -> int:
        """Begin a sequence with what of it the KV cache has already."""
        self._samplers[slot] = Sampler(self._lib, self._vocab, sampling)
        return self.cache.open(slot, tokens, anew=anew)

    def run(self, feeds: Sequence[Feed]) -> Sequence[Outcome]:
        """Compute one batch; choose a token for each feed that ``makes``, judge the others."""
        self.cache.make_room(sum(len(feed.tokens) for feed in feeds))
        places = self._fill(feeds)
        status = self._lib.llama_decode(self._ctx, self._batch)
        if status == NO_ROOM:
            self.cache.make_all_room()
            status = self._lib.llama_decode(self._ctx, self._batch)
        if status:
            raise DecodeFailed(f"llama_decode returned {status} for {len(feeds)} sequences")
        for feed in feeds:
            self.cache.extend(feed.slot, feed.tokens)
        return [self._outcome(feed, place) for feed, place in zip(feeds, places, strict=True)]

    def park(self, slot: int) -> object:
        """Put a sequence aside, with its sampler."""
        return self.cache.park(slot), self._samplers.pop(slot)

    def resume(self, slot: int, parked: object) -> None:
        """Bring a sequence back."""
        sequence, sampler = cast("tuple[Parked, Sampler]", parked)
        self._samplers[slot] = sampler
        self.cache.resume(slot, sequence)

    def drop(self, parked: object) -> None:
        """Give up a sequence that was put aside."""
        sequence, sampler = cast("tuple[Parked, Sampler]", parked)
        self.cache.drop(sequence)
        sampler.close()

    def end(self, slot: int) -> None:
        """End a sequence; its tokens stay in the KV cache while there is room."""
        if (sampler := self._samplers.pop(slot, None)) is not None:
            sampler.close()
        self.cache.end(slot)

    def close(self) -> None:
        """Free the context and the model."""
        for sampler in self._samplers.values():
            sampler.close()
        self._template.close()
        self._lib.llama_batch_free(self._batch)
        self._lib.llama_free(self._ctx)
        self._lib.llama_model_free(self._model)

    def _fill(self, feeds: Sequence[Feed]) -> list[int]:
        """Write the batch; return where in it each feed begins."""
        batch, place, begins = self._batch, 0, []
        for feed in feeds:
            begins.append(place)
            sequence = self.cache.sequence(feed.slot)
            for index, token in enumerate(feed.tokens):
                batch.token[place] = token
                batch.pos[place] = feed.start + index
                batch.n_seq_id[place] = 1
                batch.seq_id[place][0] = sequence
                batch.logits[place] = index < len(feed.judged)
                place += 1
            if feed.makes:
                batch.logits[place - 1] = 1
        batch.n_tokens = place
        return begins

    def _outcome(self, feed: Feed, place: int) -> Outcome:
        """Choose and judge; the feed begins at ``place`` of the batch."""
        made = self._choose(feed.slot, place + len(feed.tokens) - 1) if feed.makes else None
        return Outcome(
            made, [self._judge(at, token, feed.top) for at, token in enumerate(feed.judged, place)]
        )

    def _judge(self, place: int, token: int, top: int) -> Place:
        return judge(self._vocab, self._lib.llama_get_logits_ith(self._ctx, place), token, top)

    def _choose(self, slot: int, place: int) -> Made:
        sampler = self._samplers[slot]
        try:
            token = sampler.next(self._ctx, place)
        except Refused as error:
            return error
        if token is None:
            return None
        text = self._vocab.piece(token)
        if not text and (written := self._vocab.text(token)) in sampler.markers:
            text = written.encode()
        if sampler.logprobs is None:
            return Token(token, text)
        return Token(token, text, self._judge(place, token, sampler.logprobs))

    def _plain(self, text: str, asked: Plain) -> Prompt:
        if asked.suffix is None:
            tokens = self._cut(text, asked)
            begun = self._vocab.begun(tokens)
            return Prompt(begun, added=len(begun) - len(tokens))
        before, after, middle = self._vocab.infill
        if min(self._vocab.infill) < 0:
            raise InvalidRequest(
                "the model was not made to fill in between two texts",
                param="suffix",
                code="unsupported_suffix",
            )
        tokens = [before, *self._cut(text, asked), after, *self._cut(asked.suffix, asked), middle]
        return Prompt(self._vocab.begun(tokens))

    def _cut(self, text: str, asked: Asked) -> list[int]:
        raw = text.encode(errors="replace")
        # The tokenizer takes seconds for megabytes, and its regular expressions recurse:
        # what cannot fit however it is cut is refused before.
        at_least = len(raw) // self._vocab.longest
        if at_least >= self.context:
            raise ContextOverflow(prompt=at_least, context=self.context, param=asked.param)
        # What a person wrote in a chat is without control tokens by now; a plain text has none.
        return self._vocab.tokenize(raw, special=isinstance(asked, Conversation))

    def _check(self, tokens: Sequence[int], param: str) -> None:
        if (highest := max(tokens, default=0)) >= self._vocab.size:
            raise InvalidRequest(
                f"there is no token {highest}: the model has {self._vocab.size}",
                param=param,
                code="invalid_value",
            )


class LlamaBackend:
    """Loads GGUF files; llama.cpp itself is loaded with the first of them."""

    def __init__(self, options: BackendOptions) -> None:
        self._threads = options.threads or len(os.sched_getaffinity(0))
        self._context = options.context or DEFAULT_CONTEXT
        self._slots = options.slots or SLOTS
        self._offload = options.offload
        self._lib: Any = None
        self._errors: deque[str] = deque(maxlen=5)
        self._said: list[str] | None = None
        """What llama.cpp says, while somebody wants to know."""
        self._log_callback: Any = None

    def needs(self, file: ModelFile) -> Needs:
        """Load the file's facts and its vocabulary, and pretend to allocate the rest.

        Raises :class:`~llmos_models.errors.ModelError`.
        """
        before = resident_bytes()
        lib = self._library()
        offloaded = bool(self._offload and offload_devices())
        self._errors.clear()
        params = lib.llama_model_default_params()
        params.n_gpu_layers = ALL_LAYERS if offloaded else 0
        params.no_alloc, params.load_mode = True, lib.LLAMA_LOAD_MODE_NONE
        with self._listening() as said:
            model = lib.llama_model_load_from_file(os.fsencode(file.path), params)
            if not model:
                raise self._refused(file, "llama.cpp cannot load it")
            try:
                context = self._make_context(lib, model, file)
                rest = buffers(said, offloaded=offloaded) + max(0, resident_bytes() - before)
                lib.llama_free(context)
                if offloaded:
                    return Needs(0, rest)
                # What is packed again is told only when it is done.
                return Needs(int(lib.llama_model_size(model)), rest + file.header.repacked)
            finally:
                lib.llama_model_free(model)

    @contextlib.contextmanager
    def _listening(self) -> Iterator[list[str]]:
        """What llama.cpp says meanwhile."""
        self._said = said = list[str]()
        try:
            yield said
        finally:
            self._said = None

    def load(self, file: ModelFile, progress: Progress) -> LlamaModel:
        """Load a model; raises :class:`~llmos_models.errors.ModelError` with llama.cpp's reason.

        A model that a graphics processor has no room for is loaded for the CPU.
        """
        lib = self._library()
        names = offload_devices() if self._offload else ()
        if names:
            try:
                return self._load(lib, file, progress, ALL_LAYERS, " + ".join(names))
            except ModelError as error:
                log.warning("%s: not on %s: %s", file.id, " + ".join(names), error)
        return self._load(lib, file, progress, 0, CPU)

    def _load(
        self, lib: Any, file: ModelFile, progress: Progress, layers: int, device: str
    ) -> LlamaModel:
        self._errors.clear()
        params = lib.llama_model_default_params()
        params.n_gpu_layers = layers
        # Weights that are not numbers are found now, not as nonsense in an answer.
        params.check_tensors = True
        # The reference must live as long as the call: C holds none.
        callback = lib.llama_progress_callback(lambda share, _: progress(share))
        params.progress_callback = callback
        model = lib.llama_model_load_from_file(os.fsencode(file.path), params)
        if not model:
            raise self._refused(file, "llama.cpp cannot load it")
        try:
            context = self._make_context(lib, model, file)
        except ModelError:
            lib.llama_model_free(model)
            raise
        return LlamaModel(lib, model, context, file, device)

    def _make_context(self, lib: Any, model: Any, file: ModelFile) -> Any:
        if lib.llama_model_has_encoder(model) or not lib.llama_model_has_decoder(model):
            raise ModelError("is no chat model: it has an encoder", path=file.path)
        vocab = lib.llama_model_get_vocab(model)
        if lib.llama_vocab_type(vocab) == lib.LLAMA_VOCAB_TYPE_NONE:
            raise ModelError("has no tokenizer", path=file.path)
        trained = lib.llama_model_n_ctx_train(model)
        params = lib.llama_context_default_params()
        own = min(self._context, trained) if trained > 0 else self._context
        # Sequences share it. A model for short conversations gets room for several.
        params.n_ctx = max(own, min(self._slots * own, SHARED, self._context))
        params.n_seq_max, params.kv_unified = SEQUENCES * self._slots, True
        params.n_batch = params.n_ubatch = BATCH
        params.n_threads = params.n_threads_batch = self._threads
        params.no_perf = True
        context = lib.llama_init_from_model(model, params)
        if not context:
            raise self._refused(file, f"no room for a context of {params.n_ctx} tokens")
        return context

    def _refused(self, file: ModelFile, what: str) -> ModelError:
        reason = "; ".join(self._errors)
        return ModelError(f"{what}: {reason}" if reason else what, path=file.path)

    def _library(self) -> Any:
        if self._lib is None:
            # Has to be there before the library is. By default OpenMP's threads wait for each
            # other by spinning, several hundred times a token; when anything else wants a
            # CPU, that is the end of it: 2 tokens/s on a busy machine of two CPUs, against
            # 350 when they sleep (a model of 5 M parameters).
            os.environ.setdefault("OMP_WAIT_POLICY", "passive")
            try:
                import llama_cpp.llama_cpp as lib  # noqa: PLC0415 - takes 0.2 s, in the worker
            except (ImportError, OSError, RuntimeError) as error:
                raise ModelError(f"llama.cpp cannot be loaded: {error}") from error
            self._log_callback = lib.llama_log_callback(self._log)
            lib.llama_log_set(self._log_callback, None)
            # Looks for back ends in the working directory too: main.py has gone to /.
            lib.llama_backend_init()
            self._lib = lib
        return self._lib

    def _log(self, level: int, text: bytes, _: ctypes.c_void_p) -> None:
        """Take a line of llama.cpp; it comes from any of its threads."""
        line = text.decode(errors="replace").strip()
        kind = GGML_LEVELS.get(level)
        if self._said is not None:
            self._said.append(line)
        if not line or kind is None:  # dots of progress, and continued lines
            return
        if kind == logging.ERROR:
            self._errors.append(line)
        if self._said is None:  # what it says while it pretends it says again when it does
            log.log(kind, "%s", line)
