"""Runs models with llama.cpp, through the C functions that llama-cpp-python binds.

The classes of llama-cpp-python are left alone: they hold one sequence and one sampler,
and the engine wants the batch and the memory in its own hands.
"""

import ctypes
import logging
import os
from collections import deque
from collections.abc import Generator, Sequence
from typing import Any, Final

from llmos_api.types import ChatMessage
from llmos_engine.backends.base import BackendOptions, Progress, Prompt, Sampling, Step
from llmos_engine.backends.llama_devices import CPU, offload_devices
from llmos_engine.backends.llama_sampler import Sampler
from llmos_engine.backends.llama_vocab import Vocab
from llmos_engine.errors import ContextOverflow, DecodeFailed, ModelError
from llmos_engine.models import ModelFile
from llmos_engine.template import ChatTemplate

log = logging.getLogger(__name__)

DEFAULT_CONTEXT: Final = 8192
"""Tokens, where the model allows more: a context of 128 k takes gigabytes of KV cache."""

BATCH: Final = 256
"""Tokens of the prompt in one step: short enough to cancel, long enough for full speed."""

ALL_LAYERS: Final = -1

GGML_LEVELS: Final = {1: logging.DEBUG, 2: logging.DEBUG, 3: logging.WARNING, 4: logging.ERROR}


class LlamaModel:
    """A model with one context and one sequence in it."""

    def __init__(self, lib: Any, model: Any, context: Any, file: ModelFile, device: str) -> None:
        self.device = device
        self._lib = lib
        self._model = model
        self._ctx = context
        self._memory = lib.llama_get_memory(context)
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
        self._cached: list[int] = []
        self.context = int(lib.llama_n_ctx(context))

    def prompt(self, messages: Sequence[ChatMessage]) -> Prompt:
        """Render the chat template and cut the text into tokens."""
        text = self._template.render(messages).encode(errors="replace")
        # The tokenizer takes seconds for megabytes, and its regular expressions recurse:
        # what cannot fit however it is cut is refused before.
        at_least = len(text) // self._vocab.longest
        if at_least >= self.context:
            raise ContextOverflow(prompt=at_least, context=self.context)
        return Prompt(self._vocab.tokenize(text), self._template.stops)

    def generate(self, tokens: Sequence[int], sampling: Sampling) -> Generator[Step]:
        """Read what of the prompt is not in the KV cache yet, then make tokens."""
        with Sampler(self._lib, self._vocab, sampling) as sampler:
            start = self._reuse(tokens)
            for begin in range(start, len(tokens), BATCH):
                self._decode(tokens[begin : begin + BATCH])
                yield Step(b"", 0)
            while (token := sampler.next(self._ctx)) is not None:
                yield Step(self._vocab.piece(token), 1)
                self._decode([token])

    def close(self) -> None:
        """Free the context and the model."""
        self._template.close()
        self._lib.llama_batch_free(self._batch)
        self._lib.llama_free(self._ctx)
        self._lib.llama_model_free(self._model)

    def _reuse(self, tokens: Sequence[int]) -> int:
        """Keep what the KV cache shares with ``tokens``; return how many that are.

        The last token is always read anew: its logits are what the answer starts from.
        """
        pairs = zip(self._cached, tokens[:-1], strict=False)
        shared = next((n for n, (old, new) in enumerate(pairs) if old != new), None)
        if shared is None:
            shared = min(len(self._cached), len(tokens) - 1)
        # Recurrent models cannot forget a part, and say so by false.
        if not self._lib.llama_memory_seq_rm(self._memory, 0, shared, -1):
            self._lib.llama_memory_clear(self._memory, True)
            shared = 0
        del self._cached[shared:]
        return shared

    def _decode(self, tokens: Sequence[int]) -> None:
        batch, start = self._batch, len(self._cached)
        batch.n_tokens = len(tokens)
        for index, token in enumerate(tokens):
            batch.token[index] = token
            batch.pos[index] = start + index
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = 0
            batch.logits[index] = 0
        batch.logits[len(tokens) - 1] = 1
        status = self._lib.llama_decode(self._ctx, batch)
        if status:
            raise DecodeFailed(f"llama_decode returned {status} at token {start}")
        self._cached.extend(tokens)


class LlamaBackend:
    """Loads GGUF files; llama.cpp itself is loaded with the first of them."""

    def __init__(self, options: BackendOptions) -> None:
        self._threads = options.threads or len(os.sched_getaffinity(0))
        self._context = options.context or DEFAULT_CONTEXT
        self._offload = options.offload
        self._lib: Any = None
        self._errors: deque[str] = deque(maxlen=5)
        self._log_callback: Any = None

    def load(self, file: ModelFile, progress: Progress) -> LlamaModel:
        """Load a model; raises :class:`~llmos_engine.errors.ModelError` with llama.cpp's reason.

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
        params.n_ctx = min(self._context, trained) if trained > 0 else self._context
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
                import llama_cpp.llama_cpp as lib  # noqa: PLC0415 - takes 0.2 s, on the decode thread
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
        if not line or kind is None:  # dots of progress, and continued lines
            return
        if kind == logging.ERROR:
            self._errors.append(line)
        log.log(kind, "%s", line)
