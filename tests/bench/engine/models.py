"""Models in the shapes of real ones, with random weights: what they say is noise, not their cost.

Each byte of a prompt is one token, and each token of an answer five bytes: both can be counted
without asking the server. No answer ends before its limit: the tokens that would end it have
no weight at all.
"""

import itertools
import random
import string
import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from llmos_image.cache import Cache
from tests.unit.models.gguf_file import BYTE_CHARS, CONTROL_TOKENS, GgufFile, Metadata

TOKEN_BYTES: Final = 5
"""What a token of an answer adds to its text: a space and four letters."""
TEMPLATE: Final = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEMPLATE_TOKENS: Final = 19
"""What the template adds to one message of the user."""
CONTEXT: Final = 32_768
_SPREAD: Final = 0.02
"""The standard deviation of the weights."""
_STRENGTHS: Final = {"attn_output": 0.1, "ffn_down": 3.0}
"""What some of them are multiplied by: otherwise the answer is one word again and again."""
_QUIET: Final = 0.1
"""What a byte's row of the embedding is multiplied by: it is never the most probable token."""
_RECIPE: Final = 2
"""Counts when the same shape would be written in another way."""


class Quantization(Enum):
    """How weights are stored: the type's number, and bytes of a block of 32 after its scale."""

    Q8_0 = (8, 32, 73.9)
    Q4_0 = (2, 16, 4.6)

    @property
    def number(self) -> int:
        """The type of the tensor in the file."""
        return int(self.value[0])

    @property
    def block(self) -> int:
        """Bytes of a block, its scale (a half-precision number) included."""
        return 2 + int(self.value[1])

    def scale(self, spread: float) -> bytes:
        """The scale with which random bytes have the standard deviation ``spread``."""
        return struct.pack("<e", spread / self.value[2])


@dataclass(frozen=True)
class Shape:
    """The sizes of a model with tied embeddings."""

    name: str
    architecture: str
    tokenizer: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    feed_forward: int
    vocabulary: int

    @property
    def kv_width(self) -> int:
        """Columns of the keys, and of the values."""
        return self.hidden // self.heads * self.kv_heads


SMOLLM2_135M: Final = Shape("135m", "llama", "smollm", 30, 576, 9, 3, 1536, 49_152)
"""SmolLM2-135M."""
QWEN2_HALF_B: Final = Shape("0.5b", "qwen2", "qwen2", 24, 896, 14, 2, 4864, 151_936)
"""Qwen2.5-0.5B."""


@dataclass(frozen=True)
class Model:
    """A shape and how its weights are stored."""

    shape: Shape
    quantization: Quantization

    @property
    def name(self) -> str:
        """For people and files."""
        return f"{self.shape.name}-{self.quantization.name.lower()}"

    def file(self, cache: Cache) -> Path:
        """The GGUF file, written when the cache has none; it is alone in its folder."""
        parts = {"shape": self.shape, "stored": self.quantization.name, "recipe": _RECIPE}
        entry = cache.get(
            "bench-model",
            parts,
            what=f"random weights in the shape {self.name}",
            make=lambda folder: self.write(folder / "default.gguf"),
        )
        return entry.content / "default.gguf"

    def write(self, path: Path) -> None:
        """Write the file; the same bytes each time."""
        file = GgufFile(_metadata(self.shape))
        rng = random.Random(1)  # noqa: S311 - the same weights each time, not secrets
        for name, rows, columns in _matrices(self.shape):
            strength = _STRENGTHS.get(name.split(".")[-2], 1.0)
            data = _random(rng, rows * columns, self.quantization, strength)
            if name == "token_embd.weight":
                _hush(data, self.shape, self.quantization)
            file.tensors[name] = (columns, rows), bytes(data)
            file.kinds[name] = self.quantization.number
        for name, size, value in _vectors(self.shape):
            file.tensors[name] = (size,), array("f", [value]).tobytes() * size
        file.write(path)


MODELS: Final = tuple(
    Model(shape, stored) for shape in (SMOLLM2_135M, QWEN2_HALF_B) for stored in Quantization
)


def prompt(tokens: int, seed: int) -> str:
    """Words that make a prompt of ``tokens`` with the template; others for each seed."""
    rng = random.Random(seed)  # noqa: S311 - words to read, not secrets
    size = tokens - TEMPLATE_TOKENS
    words = ("".join(rng.choices(string.ascii_lowercase, k=4)) for _ in range(size // 5 + 1))
    return " ".join(words)[:size].ljust(size, "x")


def _tokens(shape: Shape) -> list[str]:
    special = [*(BYTE_CHARS[byte] for byte in range(256)), *CONTROL_TOKENS]
    words = itertools.product(string.ascii_lowercase, repeat=TOKEN_BYTES - 1)
    space = BYTE_CHARS[ord(" ")]
    rest = itertools.islice(words, shape.vocabulary - len(special))
    return [*special, *(space + "".join(letters) for letters in rest)]


def _metadata(shape: Shape) -> dict[str, Metadata]:
    tokens, kind = _tokens(shape), shape.architecture
    plain = len(tokens) - 256 - len(CONTROL_TOKENS)
    return {
        "general.architecture": kind,
        "general.name": f"random weights, {shape.name}",
        f"{kind}.context_length": CONTEXT,
        f"{kind}.embedding_length": shape.hidden,
        f"{kind}.block_count": shape.layers,
        f"{kind}.feed_forward_length": shape.feed_forward,
        f"{kind}.attention.head_count": shape.heads,
        f"{kind}.attention.head_count_kv": shape.kv_heads,
        f"{kind}.attention.layer_norm_rms_epsilon": 1e-5,
        f"{kind}.rope.freq_base": 100_000.0,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": shape.tokenizer,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [1] * 256 + [3] * len(CONTROL_TOKENS) + [1] * plain,
        # Without a merge each byte is a token; one that never applies fills the list.
        "tokenizer.ggml.merges": ["\u0100 \u0100"],
        "tokenizer.ggml.bos_token_id": 256,
        "tokenizer.ggml.eos_token_id": 258,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": TEMPLATE,
    }


def _matrices(shape: Shape) -> Iterator[tuple[str, int, int]]:
    """Names, rows and columns of what is multiplied with."""
    yield "token_embd.weight", shape.vocabulary, shape.hidden
    for layer in range(shape.layers):
        block = f"blk.{layer}"
        yield f"{block}.attn_q.weight", shape.hidden, shape.hidden
        yield f"{block}.attn_k.weight", shape.kv_width, shape.hidden
        yield f"{block}.attn_v.weight", shape.kv_width, shape.hidden
        yield f"{block}.attn_output.weight", shape.hidden, shape.hidden
        yield f"{block}.ffn_gate.weight", shape.feed_forward, shape.hidden
        yield f"{block}.ffn_up.weight", shape.feed_forward, shape.hidden
        yield f"{block}.ffn_down.weight", shape.hidden, shape.feed_forward


def _vectors(shape: Shape) -> Iterator[tuple[str, int, float]]:
    """Names, sizes and values of norms and biases."""
    yield "output_norm.weight", shape.hidden, 1.0
    for layer in range(shape.layers):
        block = f"blk.{layer}"
        yield f"{block}.attn_norm.weight", shape.hidden, 1.0
        yield f"{block}.ffn_norm.weight", shape.hidden, 1.0
        if shape.architecture == "qwen2":
            yield f"{block}.attn_q.bias", shape.hidden, 0.0
            yield f"{block}.attn_k.bias", shape.kv_width, 0.0
            yield f"{block}.attn_v.bias", shape.kv_width, 0.0


def _random(rng: random.Random, weights: int, stored: Quantization, strength: float) -> bytearray:
    size = stored.block
    data = bytearray(rng.randbytes(weights // 32 * size))
    _set_scale(data, stored, stored.scale(_SPREAD * strength))
    return data


def _set_scale(data: bytearray, stored: Quantization, scale: bytes) -> None:
    """Set the scale of all blocks, of every second one with the other sign.

    Random blocks are below zero on average: each row would say the same.
    """
    size, blocks = stored.block, len(data) // stored.block
    low, high = scale
    data[0::size] = bytes([low]) * blocks
    data[1::size] = (bytes([high, high | 0x80]) * blocks)[:blocks]


def _hush(data: bytearray, shape: Shape, stored: Quantization) -> None:
    """Let nothing but words be said."""
    row = shape.hidden // 32 * stored.block
    for token in range(256 + len(CONTROL_TOKENS)):
        part = data[token * row : (token + 1) * row]
        letters = token < 0x80
        _set_scale(part, stored, stored.scale(_SPREAD * _QUIET) if letters else bytes(2))
        data[token * row : (token + 1) * row] = part
