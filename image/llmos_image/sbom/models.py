"""Models of an image: GGUF files, which may say themselves under which licence they are."""

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from llmos_image.sbom.inventory import Component, Kind, Licensing
from llmos_image.sbom.licences import spdx_id
from llmos_image.spec import ModelFile

# github.com/ggml-org/ggml/blob/master/docs/gguf.md: bytes of the fixed-size value types.
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING = 8
_LONGEST = 1 << 20
_KEYS = {"general.license", "general.version", "general.name"}


def components(models: Sequence[ModelFile]) -> Iterator[Component]:
    """The models as components."""
    for model in models:
        said = metadata(model.path)
        licence = said.get("general.license", "")
        expression = spdx_id(licence) if licence else None
        note = None if expression else f"The file says: {licence or 'nothing'}"
        yield Component(
            Kind.MODEL,
            model.target_name.removesuffix(".gguf"),
            said.get("general.version") or model.sha256[:12],
            Licensing(expression, note=note),
            sha256=model.sha256,
        )


def metadata(path: Path) -> dict[str, str]:
    """The name, version and licence in a GGUF file; nothing when it is another file.

    They are read up to the first list, which is the vocabulary: it comes after them.
    """
    found: dict[str, str] = {}
    with path.open("rb") as file:
        try:
            magic, _version, _tensors, pairs = struct.unpack("<4sIQQ", file.read(24))
            if magic != b"GGUF":
                return {}
            for _ in range(pairs):
                key = _string(file)
                (kind,) = struct.unpack("<I", file.read(4))
                if kind == _STRING:
                    value = _string(file)
                    found |= {key: value} if key in _KEYS else {}
                elif kind in _SIZES:
                    file.seek(_SIZES[kind], 1)
                else:
                    break
        except (struct.error, ValueError):
            return {}
    return found


def _string(file: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", file.read(8))
    if length > _LONGEST:
        raise ValueError("not a string")
    return file.read(length).decode("utf-8", "replace")
