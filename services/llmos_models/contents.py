"""What files a model may have, and what is in them.

Only data formats are ever kept: a pickle is a program that runs when it is opened, whatever it
is called.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Final

from msgspec import Struct

from llmos_models.errors import FormatError, GgufError
from llmos_models.gguf import Header
from llmos_models.safetensors import SafetensorsHeader, read_safetensors
from llmos_models.scan import read_model_header

COMPANIONS: Final = frozenset(
    {
        "LICENSE",
        "LICENSE.md",
        "LICENSE.txt",
        "NOTICE",
        "added_tokens.json",
        "chat_template.jinja",
        "chat_template.json",
        "config.json",
        "generation_config.json",
        "merges.txt",
        "model.safetensors.index.json",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
        "vocab.json",
        "vocab.txt",
    }
)
"""What is kept beside ``*.safetensors``. Never code: a repository may bring its own."""

PICKLES: Final = frozenset({".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth"})
_PICKLE_MAGIC: Final = re.compile(rb"PK\x03\x04|\x80[\x02-\x05]")
_MAX_CONFIG: Final = 1024 * 1024
_PART: Final = re.compile(r"-\d{5}-of-\d{5}\.gguf$")

# LlamaFileType of llama.cpp's gguf-py.
# fmt: off
_FILE_TYPES: Final = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K",
    11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S",
    17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS",
    23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S",
    29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0",
    38: "MXFP4", 39: "NVFP4", 40: "Q1_0",
}
# fmt: on


class Kind(StrEnum):
    """The two formats that are opened."""

    GGUF = "gguf"
    SAFETENSORS = "safetensors"


class Facts(Struct, frozen=True, forbid_unknown_fields=True):
    """What a model says of itself; None where it does not say. ``parameters`` is a count."""

    architecture: str | None = None
    parameters: int | None = None
    quantisation: str | None = None
    licence: str | None = None


def is_kept(path: str) -> bool:
    """Whether a file of a folder or repository belongs to a safetensors model."""
    return path in COMPANIONS or ("/" not in path and path.endswith(".safetensors"))


def pickles(paths: Iterable[str]) -> list[str]:
    """Those that are pickles by their names."""
    return sorted(path for path in paths if PurePosixPath(path).suffix.lower() in PICKLES)


def refuse_pickle(name: str) -> None:
    """Raise FormatError when ``name`` is that of a pickle."""
    if pickles([name]):
        raise FormatError(
            f"{name}: is a pickle, which can run anything when it is opened, and is never opened",
            hint="Accepted: GGUF files, and folders with safetensors files.",
        )


def refuse_part(name: str) -> None:
    """Raise GgufError when ``name`` is that of a part of a model."""
    if _PART.search(name):
        raise GgufError(
            f"{name}: is one part of a model in several files, which the engine does not load",
            hint="Take one that is in one file, or merge the parts: llama-gguf-split --merge",
        )


def gguf_facts(path: Path, name: str) -> Facts:
    """Check a GGUF file; ``name`` is what errors call it.

    Raises:
        GgufError: the engine would not take it.
    """
    refuse_part(name)
    refuse_pickle_inside(path, name)
    try:
        header = read_model_header(path)
    except GgufError as error:
        raise GgufError(f"{name}: {error.what}") from error
    return header_facts(header)


def header_facts(header: Header) -> Facts:
    """What a GGUF file says of itself."""
    return Facts(
        architecture=_said(header, "general.architecture"),
        parameters=header.parameters,
        quantisation=_quantisation(header),
        licence=_said(header, "general.license"),
    )


def folder_facts(files: Mapping[str, Path]) -> Facts:
    """Check the files of a safetensors model, by their names in the model.

    Raises:
        FormatError: one of them is not what its name says.
    """
    types: Counter[str] = Counter()
    for name, path in files.items():
        refuse_pickle_inside(path, name)
        if name.endswith(".safetensors"):
            types.update(_safetensors(path, name).parameters)
    return Facts(
        architecture=_architecture(files["config.json"]) if "config.json" in files else None,
        parameters=types.total(),
        quantisation=types.most_common(1)[0][0] if types else None,
    )


def refuse_pickle_inside(path: Path, name: str) -> None:
    """Raise FormatError when the file begins as pickles and PyTorch's archives do."""
    with path.open("rb") as file:
        if _PICKLE_MAGIC.match(file.read(4)):
            raise FormatError(f"{name}: is a pickle or a zip archive inside, and is never opened")


def _safetensors(path: Path, name: str) -> SafetensorsHeader:
    try:
        return read_safetensors(path)
    except FormatError as error:
        raise type(error)(f"{name}: {error.what}") from error


def _architecture(path: Path) -> str | None:
    with path.open("rb") as file:
        raw = file.read(_MAX_CONFIG + 1)
    try:
        config = json.loads(raw)
        if len(raw) > _MAX_CONFIG or not isinstance(config, dict):
            raise ValueError
    except (ValueError, RecursionError):
        raise FormatError("config.json: is no JSON object of a sensible size") from None
    kind = config.get("model_type")
    return plain(kind)[:200] if isinstance(kind, str) else None


def plain(text: str) -> str:
    """A word that somebody else has written, without what a terminal would obey."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _said(header: Header, key: str) -> str | None:
    text = header.text(key)
    return plain(text)[:200] if text else None


def _quantisation(header: Header) -> str | None:
    number = header.values.get("general.file_type")
    if isinstance(number, int) and number in _FILE_TYPES:
        return _FILE_TYPES[number]
    return None
