"""Reads the header of a safetensors file and distrusts all of it.

The format: 8 bytes that tell the header's length (little-endian), the header in JSON, the data;
https://huggingface.co/docs/safetensors has it, and the rules of the reference implementation,
which hold here too: tensors follow each other without holes and without overlap, to the end.
"""

import json
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from llmos_models.errors import SafetensorsError

MAX_HEADER: Final = 32 * 1024 * 1024
"""Bytes; a shard of the largest models has under one MiB."""
MAX_DIMS: Final = 32
MAX_ELEMENTS: Final = 2**63 - 1

BITS: Final[Mapping[str, int]] = {
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "F8_E4M3": 8,
    "F8_E5M2": 8,
    "F8_E8M0": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}
"""Bits of a number, by its type's name."""


@dataclass(frozen=True)
class SafetensorsHeader:
    """How many numbers a file has, and of which types: numbers by name of the type."""

    parameters: Mapping[str, int]
    tensors: int


def read_safetensors(path: Path) -> SafetensorsHeader:
    """Read and check the header of the file at ``path``.

    Raises :class:`~llmos_models.errors.SafetensorsError`, also when the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return _header(file)
    except OSError as error:
        raise SafetensorsError(f"cannot be read: {error.strerror}", path=path) from error
    except _Fault as fault:
        raise SafetensorsError(str(fault), path=path) from None


class _Fault(Exception):
    """What is wrong, before it is known with which file."""


def _header(file: BinaryIO) -> SafetensorsHeader:
    size = file.seek(0, 2)
    file.seek(0)
    if size < 8:
        raise _Fault(f"is no safetensors file: it has {size} bytes")
    (length,) = struct.unpack("<Q", file.read(8))
    if length > MAX_HEADER:
        raise _Fault(f"is no safetensors file: its header claims {length} bytes")
    if length > size - 8:
        raise _Fault(f"is cut off: its header ends at byte {length + 8}, the file at {size}")
    entries = _parsed(file.read(length))
    _check_metadata(entries.pop("__metadata__", {}))
    return _tensors(entries, size - 8 - length)


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        entries = json.loads(raw, object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError) as error:
        raise _Fault(f"has a header that is no JSON: {str(error)[:80]}") from None
    if not isinstance(entries, dict):
        raise _Fault("has a header that is no JSON object")
    return entries


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise _Fault("has a name twice in its header")
    return result


def _check_metadata(metadata: object) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise _Fault("has __metadata__ that are not all text")


def _tensors(entries: Mapping[str, Any], room: int) -> SafetensorsHeader:
    if not entries:
        raise _Fault("has no tensors")
    parameters: Counter[str] = Counter()
    spans = []
    for name, entry in entries.items():
        kind, elements, begin, end = _tensor(name[:80], entry)
        parameters[kind] += elements
        spans.append((begin, end, name[:80]))
    at = 0
    for begin, end, name in sorted(spans):
        if begin != at:
            word = "overlaps the one before" if begin < at else "leaves a hole before it"
            raise _Fault(f"{name}: {word}, at byte {begin} of the data")
        at = end
    if at != room:
        word = "is cut off" if at > room else "has data that belong to no tensor"
        raise _Fault(f"{word}: its tensors end at byte {at} of the data, the file at {room}")
    return SafetensorsHeader(dict(parameters), len(entries))


def _tensor(name: str, entry: object) -> tuple[str, int, int, int]:
    """Type, count of numbers, and the span of bytes of one tensor."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise _Fault(f"{name}: is not described by dtype, shape and data_offsets")
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in BITS:
        raise _Fault(f"{name}: has the unknown type {str(kind)[:20]!r}")
    if not _are_counts(shape) or len(shape) > MAX_DIMS:
        raise _Fault(f"{name}: has an impossible shape")
    if not _are_counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise _Fault(f"{name}: has impossible data_offsets")
    elements = 1
    for length in shape:
        elements *= length
        if elements > MAX_ELEMENTS:
            raise _Fault(f"{name}: has an impossible shape")
    if elements * BITS[kind] != (offsets[1] - offsets[0]) * 8:
        raise _Fault(f"{name}: its shape and its data_offsets do not fit")
    return kind, elements, offsets[0], offsets[1]


def _are_counts(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, int) and not isinstance(item, bool) and 0 <= item <= MAX_ELEMENTS
        for item in value
    )
