"""Writes GGUF files for tests: whole small models with random weights, and broken ones.

The format is written out here a second time, on purpose: the reader must not be tested
against itself.
"""

import random
import struct
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ALIGNMENT = 32
U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9

Metadata = str | int | float | bool | Sequence[str] | Sequence[int]

BYTE_CHARS = {
    byte: chr(byte) for byte in (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
}
BYTE_CHARS |= {
    byte: chr(0x100 + index)
    for index, byte in enumerate(b for b in range(256) if b not in BYTE_CHARS)
}
"""How byte-level tokenizers write the bytes (GPT-2's table)."""

CONTROL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{{ message.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)


@dataclass
class GgufFile:
    """A file to be: change what you like before :meth:`write`."""

    metadata: dict[str, Metadata]
    tensors: dict[str, tuple[tuple[int, ...], bytes]] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)
    """The numbers of the tensors' types; those that are not named are F32."""
    magic: bytes = b"GGUF"
    version: int = 3

    def header(self) -> bytes:
        """Return everything before the tensors' data."""
        out = [self.magic, struct.pack("<IQQ", self.version, len(self.tensors), len(self.metadata))]
        for key, value in self.metadata.items():
            out += [_string(key), _value(value)]
        offset = 0
        for name, (shape, data) in self.tensors.items():
            out += [_string(name), struct.pack("<I", len(shape))]
            out += [
                struct.pack(f"<{len(shape)}Q", *shape),
                struct.pack("<IQ", self.kinds.get(name, 0), offset),
            ]
            offset += _padded(len(data))
        header = b"".join(out)
        return header.ljust(_padded(len(header)), b"\0")

    def write(self, path: Path) -> Path:
        """Write the file; return its path."""
        with path.open("wb") as file:
            file.write(self.header())
            for _, data in self.tensors.values():
                file.write(data.ljust(_padded(len(data)), b"\0"))
        return path


def tiny_model(
    *, seed: int = 1, context: int = 512, extra: Mapping[str, Metadata] = {}
) -> GgufFile:
    """Return a whole llama model of 30 k parameters that llama.cpp loads."""
    width, hidden, layers = 32, 64, 2
    tokens = [*(BYTE_CHARS[byte] for byte in range(256)), *CONTROL_TOKENS]
    metadata: dict[str, Metadata] = {
        "general.architecture": "llama",
        "general.name": "tiny",
        "llama.context_length": context,
        "llama.embedding_length": width,
        "llama.block_count": layers,
        "llama.feed_forward_length": hidden,
        "llama.attention.head_count": 2,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.dimension_count": 16,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [1] * 256 + [3] * len(CONTROL_TOKENS),
        # Without a merge each byte is a token; one that never applies fills the list.
        "tokenizer.ggml.merges": ["\u0100 \u0100"],
        "tokenizer.ggml.bos_token_id": 256,
        "tokenizer.ggml.eos_token_id": 258,
        "tokenizer.chat_template": TEMPLATE,
        "llmos.plan.slots": "1",
        **extra,
    }
    rng = random.Random(seed)  # noqa: S311 - the same weights each time, not secrets
    tensors = {
        "token_embd.weight": _random(rng, width, len(tokens)),
        "output_norm.weight": _ones(width),
    }
    for layer in range(layers):
        block = f"blk.{layer}"
        tensors |= {
            f"{block}.attn_norm.weight": _ones(width),
            **{
                f"{block}.attn_{part}.weight": _random(rng, width, width)
                for part in ("q", "k", "v", "output")
            },
            f"{block}.ffn_norm.weight": _ones(width),
            f"{block}.ffn_gate.weight": _random(rng, width, hidden),
            f"{block}.ffn_up.weight": _random(rng, width, hidden),
            f"{block}.ffn_down.weight": _random(rng, hidden, width),
        }
    return GgufFile(metadata, tensors)


def chain_model(following: Mapping[str, str], otherwise: str, *, added: Sequence[str]) -> GgufFile:
    """Return a model that follows each token with the same other one.

    ``following`` is by the text of tokens, which are single bytes, control tokens, and those that
    are ``added``. The rest of the model does nothing: what a token means is its own number, and
    what comes next is written in the output layer.
    """
    width, hidden = 288, 32
    model = tiny_model(context=2048)
    names = [*map(chr, range(256)), *CONTROL_TOKENS, *added]
    model.metadata |= {
        "llama.block_count": 1,
        "llama.embedding_length": width,
        "llama.feed_forward_length": hidden,
        "llama.attention.head_count": 9,
        "llama.rope.dimension_count": 32,
        "tokenizer.ggml.tokens": [*(BYTE_CHARS[byte] for byte in range(256)), *names[256:]],
        "tokenizer.ggml.token_type": [1] * 256 + [3] * len(CONTROL_TOKENS) + [4] * len(added),
    }
    embedding = array("f", [0.0]) * (width * len(names))
    output = array("f", [0.0]) * (width * len(names))
    for number, name in enumerate(names):
        embedding[number * width + number] = 1.0
        output[names.index(following.get(name, otherwise)) * width + number] = 1.0
    model.tensors = {
        "token_embd.weight": ((width, len(names)), embedding.tobytes()),
        "output.weight": ((width, len(names)), output.tobytes()),
        "output_norm.weight": _ones(width),
        "blk.0.attn_norm.weight": _ones(width),
        **{f"blk.0.attn_{part}.weight": _zeros(width, width) for part in ("q", "k", "v", "output")},
        "blk.0.ffn_norm.weight": _ones(width),
        "blk.0.ffn_gate.weight": _zeros(width, hidden),
        "blk.0.ffn_up.weight": _zeros(width, hidden),
        "blk.0.ffn_down.weight": _zeros(hidden, width),
    }
    return model


def _zeros(*shape: int) -> tuple[tuple[int, ...], bytes]:
    return shape, bytes(4 * shape[0] * shape[1])


def _random(rng: random.Random, *shape: int) -> tuple[tuple[int, ...], bytes]:
    count = shape[0] * shape[1]
    return shape, array("f", (rng.gauss(0, 0.3) for _ in range(count))).tobytes()


def _ones(count: int) -> tuple[tuple[int, ...], bytes]:
    return (count,), array("f", [1.0] * count).tobytes()


def _padded(count: int) -> int:
    return -(-count // ALIGNMENT) * ALIGNMENT


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: Metadata) -> bytes:
    match value:
        case bool():
            return struct.pack("<IB", BOOL, value)
        case int():
            return struct.pack("<II", U32, value)
        case float():
            return struct.pack("<If", F32, value)
        case str():
            return struct.pack("<I", STRING) + _string(value)
        case _:
            texts = bool(value) and isinstance(value[0], str)
            items = b"".join(
                _string(item) if isinstance(item, str) else struct.pack("<i", item)
                for item in value
            )
            return struct.pack("<IIQ", ARRAY, STRING if texts else I32, len(value)) + items
