"""Reads the header of a GGUF file and distrusts all of it.

llama.cpp has had memory errors in this parser more than once, so a file is checked here,
in Python, before llama.cpp sees it. The format:
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO, Final

from llmos_models.errors import GgufError

MAX_KEYS: Final = 10_000
MAX_TENSORS: Final = 100_000
MAX_STRING: Final = 16 * 1024 * 1024
MAX_ARRAY: Final = 4_000_000
MAX_NAME: Final = 65_535
MAX_TENSOR_NAME: Final = 64
MAX_DIMS: Final = 4
MAX_ELEMENTS: Final = 2**63 - 1
DEFAULT_ALIGNMENT: Final = 32

# Bytes of a block by number of a tensor type: (elements in a block, bytes of a block).
# From GGML_QUANT_SIZES of llama.cpp's gguf-py. A type that is missing here is left to
# llama.cpp, which knows newer ones.
BLOCKS: Final[Mapping[int, tuple[int, int]]] = {
    0: (1, 4),  # F32
    1: (1, 2),  # F16
    2: (32, 18),  # Q4_0
    3: (32, 20),  # Q4_1
    6: (32, 22),  # Q5_0
    7: (32, 24),  # Q5_1
    8: (32, 34),  # Q8_0
    9: (32, 36),  # Q8_1
    10: (256, 84),  # Q2_K
    11: (256, 110),  # Q3_K
    12: (256, 144),  # Q4_K
    13: (256, 176),  # Q5_K
    14: (256, 210),  # Q6_K
    15: (256, 292),  # Q8_K
    16: (256, 66),  # IQ2_XXS
    17: (256, 74),  # IQ2_XS
    18: (256, 98),  # IQ3_XXS
    19: (256, 50),  # IQ1_S
    20: (32, 18),  # IQ4_NL
    21: (256, 110),  # IQ3_S
    22: (256, 82),  # IQ2_S
    23: (256, 136),  # IQ4_XS
    24: (1, 1),  # I8
    25: (1, 2),  # I16
    26: (1, 4),  # I32
    27: (1, 8),  # I64
    28: (1, 8),  # F64
    29: (256, 56),  # IQ1_M
    30: (1, 2),  # BF16
    34: (256, 54),  # TQ1_0
    35: (256, 66),  # TQ2_0
    39: (32, 17),  # MXFP4
    40: (64, 36),  # NVFP4
    41: (128, 18),  # Q1_0
    42: (64, 18),  # Q2_0
}

# Types whose matrices ggml's CPU back end keeps a second time, in an order for its instructions:
# Q4_0, Q2_K, Q4_K, IQ4_NL (ggml-cpu/repack.cpp, ggml_repack_get_optimal_repack_type).
REPACKED: Final = frozenset({2, 10, 12, 20})

Value = bool | int | float | str | tuple[bool | int | float | str, ...]


class ValueType(IntEnum):
    """The types of a value in the metadata."""

    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12

    @property
    def layout(self) -> str:
        """The type's code for :mod:`struct`; strings and arrays have none."""
        return {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B"}.get(self.value) or {
            10: "Q",
            11: "q",
            12: "d",
        }[self.value]

    @property
    def is_scalar(self) -> bool:
        """Whether a value has a fixed size."""
        return self not in {ValueType.STRING, ValueType.ARRAY}


@dataclass(frozen=True)
class Header:
    """What the engine wants to know of a file; values of other keys are only checked.

    ``tensors`` is how many there are, ``parameters`` how many numbers are in all of them.
    """

    version: int
    values: Mapping[str, Value]
    tensors: int
    parameters: int = 0
    repacked: int = 0
    """Bytes of the layers' matrices that a CPU may want in another order."""

    def text(self, key: str) -> str | None:
        """Return a value that is a string."""
        value = self.values.get(key)
        return value if isinstance(value, str) else None

    def as_text(self, key: str) -> str:
        """Return a value of any type as a string; arrays as JSON."""
        value = self.values[key]
        if isinstance(value, bool):
            return "true" if value else "false"
        return json.dumps(value, ensure_ascii=False) if isinstance(value, tuple) else str(value)


def read_header(path: Path) -> Header:
    """Read and check the header of the file at ``path``.

    Keeps the values of ``general.*``, ``llmos.*`` and ``tokenizer.chat_template``.
    Raises :class:`~llmos_models.errors.GgufError`, also when the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return _Reader(file, path).header()
    except OSError as error:
        raise GgufError(f"cannot be read: {error.strerror}", path=path) from error


def _kept(key: str) -> bool:
    return key.startswith(("llmos.", "general.")) or key == "tokenizer.chat_template"


class _Reader:
    """One pass over the header; every size is checked before anything is read by it."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._path = path
        self._size = file.seek(0, 2)
        self._repacked = 0
        self._at = file.seek(0)

    def header(self) -> Header:
        if self._bytes(min(4, self._size), "the magic number") != b"GGUF":
            raise self._error("is not a GGUF file (it does not begin with 'GGUF')")
        (version,) = self._unpack("I", "the version")
        if version not in {2, 3}:
            raise self._error(f"has GGUF version {version} (one of: 2, 3, little-endian)")
        tensors, keys = self._unpack("QQ", "the counts")
        if not 0 < tensors <= MAX_TENSORS:
            raise self._error(f"claims {tensors} tensors (1 to {MAX_TENSORS})")
        if keys > MAX_KEYS:
            raise self._error(f"claims {keys} keys (at most {MAX_KEYS})")
        values = self._keys(keys)
        parameters = self._tensors(tensors, self._alignment(values))
        return Header(version, values, tensors, parameters, self._repacked)

    def _keys(self, count: int) -> dict[str, Value]:
        kept: dict[str, Value] = {}
        seen: set[str] = set()
        for _ in range(count):
            key = self._string("a key", limit=MAX_NAME)
            if not key or key in seen:
                raise self._error(f"has the key {key!r} twice" if key else "has an empty key")
            seen.add(key)
            value = self._value(key, keep=_kept(key))
            if value is not None:
                kept[key] = value
        return kept

    def _value(self, key: str, *, keep: bool) -> Value | None:
        kind = self._kind(key)
        if kind is ValueType.ARRAY:
            return self._array(key, keep=keep)
        if keep:
            return self._single(kind, key)
        self._skip(kind, 1, key)
        return None

    def _array(self, key: str, *, keep: bool) -> Value | None:
        kind = self._kind(key)
        if kind is ValueType.ARRAY:
            raise self._error(f"{key}: arrays of arrays are not supported")
        (length,) = self._unpack("Q", f"{key}'s length")
        if length > MAX_ARRAY:
            raise self._error(f"{key} claims {length} items (at most {MAX_ARRAY})")
        if keep:
            return tuple(self._single(kind, key) for _ in range(length))
        self._skip(kind, length, key)
        return None

    def _kind(self, key: str) -> ValueType:
        (number,) = self._unpack("I", f"{key}'s type")
        try:
            return ValueType(number)
        except ValueError:
            raise self._error(f"{key} has the unknown type {number}") from None

    def _single(self, kind: ValueType, key: str) -> bool | int | float | str:
        if kind is ValueType.STRING:
            return self._string(key)
        value: int | float = self._unpack(kind.layout, key)[0]
        return bool(value) if kind is ValueType.BOOL else value

    def _skip(self, kind: ValueType, count: int, key: str) -> None:
        if kind.is_scalar:
            self._advance(struct.calcsize(f"<{kind.layout}") * count, key)
            return
        for _ in range(count):
            self._advance(self._length(key, MAX_STRING), key)

    def _alignment(self, values: Mapping[str, Value]) -> int:
        value = values.get("general.alignment", DEFAULT_ALIGNMENT)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._error("general.alignment is not a number")
        if not 1 <= value <= 2**20 or value & (value - 1):
            raise self._error(f"general.alignment is {value}, no power of 2")
        return value

    def _tensors(self, count: int, alignment: int) -> int:
        """Check the entries; return how many numbers they have together."""
        ends = parameters = 0
        seen: set[str] = set()
        for _ in range(count):
            name = self._string("a tensor's name", limit=MAX_TENSOR_NAME - 1)
            if name in seen:
                raise self._error(f"has the tensor {name!r} twice")
            seen.add(name)
            end, elements = self._tensor(name, alignment)
            ends = max(ends, end)
            parameters += elements
        start = -(-self._at // alignment) * alignment
        if start + ends > self._size:
            raise self._error(
                f"is cut off: its tensors end at byte {start + ends}, the file at {self._size}"
            )
        return parameters

    def _tensor(self, name: str, alignment: int) -> tuple[int, int]:
        """Check one entry; return where its data ends, from the start of all, and its numbers."""
        (dims,) = self._unpack("I", name)
        if not 1 <= dims <= MAX_DIMS:
            raise self._error(f"{name} has {dims} dimensions (1 to {MAX_DIMS})")
        shape = self._unpack(f"{dims}Q", name)
        kind, offset = self._unpack("IQ", name)
        elements = 1
        for length in shape:
            elements *= length
        if not 0 < elements <= MAX_ELEMENTS:
            raise self._error(f"{name} has an impossible shape {list(shape)}")
        if offset % alignment:
            raise self._error(f"{name} begins at {offset}, which {alignment} does not divide")
        block, size = BLOCKS.get(kind, (1, 0))
        if shape[0] % block:
            raise self._error(f"{name} has rows of {shape[0]}, which {block} does not divide")
        taken = elements // block * size
        if kind in REPACKED and dims > 1 and name.startswith("blk."):
            self._repacked += taken
        return offset + taken, elements

    def _string(self, what: str, *, limit: int = MAX_STRING) -> str:
        data = self._bytes(self._length(what, limit), what)
        # Keys of one tokenizer may be cut in the middle of a character: not a fault.
        return data.decode(errors="replace")

    def _length(self, what: str, limit: int) -> int:
        length: int = self._unpack("Q", what)[0]
        if length > limit:
            raise self._error(f"{what[:80]!r} claims {length} bytes (at most {limit})")
        return length

    def _unpack(self, layout: str, what: str) -> tuple[int, ...]:
        layout = f"<{layout}"
        return struct.unpack(layout, self._bytes(struct.calcsize(layout), what))

    def _bytes(self, count: int, what: str) -> bytes:
        self._check(count, what)
        data = self._file.read(count)
        if len(data) != count:  # somebody shortens the file while it is read
            raise self._error("changes while it is read")
        self._at += count
        return data

    def _advance(self, count: int, what: str) -> None:
        self._check(count, what)
        self._file.seek(count, 1)
        self._at += count

    def _check(self, count: int, what: str) -> None:
        if count > self._size - self._at:
            raise self._error(f"ends at byte {self._size}, in the middle of {what[:80]!r}")

    def _error(self, what: str) -> GgufError:
        return GgufError(what, path=self._path)
