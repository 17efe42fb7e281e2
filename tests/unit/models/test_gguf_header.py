"""The header of a model file is read with distrust."""

import contextlib
import random
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos_models.errors import GgufError
from llmos_models.gguf import read_header
from tests.unit.models.gguf_file import GgufFile, Metadata, tiny_model

SOUND = tiny_model().header()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gguf") / "model.gguf"


def test_a_sound_file_tells_its_keys(tmp_path: Path) -> None:
    extra: dict[str, Metadata] = {
        "llmos.a": 3,
        "llmos.b": True,
        "llmos.c": ["x", "ü"],
        "llmos.d": 1.5,
    }
    path = tiny_model(extra=extra).write(tmp_path / "m.gguf")
    header = read_header(path)
    assert header.text("general.name") == "tiny"
    assert [header.as_text(f"llmos.{key}") for key in "abcd"] == ["3", "true", '["x", "ü"]', "1.5"]
    assert "tokenizer.ggml.tokens" not in header.values


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "not a GGUF file"),
        (b"GG", "not a GGUF file"),
        (b"PK\x03\x04" + bytes(100), "not a GGUF file"),
        (b"GGUF" + struct.pack("<I", 1), "version 1"),
        (b"GGUF" + struct.pack(">I", 3), "version 50331648"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**63, 0), "tensors"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "tensors"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 2**63), "keys"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 1, 1, 2**62), "bytes"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 1, 1, 5) + b"ab", "in the middle of"),
        (SOUND[:-40], "in the middle of"),
        (SOUND, "is cut off"),
    ],
)
def test_a_damaged_file_is_refused_with_a_reason(tmp_path: Path, raw: bytes, says: str) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(raw)
    with pytest.raises(GgufError, match=says) as caught:
        read_header(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_key_twice_an_unknown_type_and_a_huge_array_are_refused(tmp_path: Path) -> None:
    start = b"GGUF" + struct.pack("<IQQ", 3, 1, 2)
    key = struct.pack("<Q", 1) + b"k"
    for rest, says in (
        ((key + struct.pack("<II", 4, 1)) * 2, "twice"),
        (key + struct.pack("<I", 99), "unknown type 99"),
        (key + struct.pack("<IIQ", 9, 4, 2**60), "items"),
        (key + struct.pack("<IIQ", 9, 9, 1), "arrays of arrays"),
    ):
        (tmp_path / "m.gguf").write_bytes(start + rest)
        with pytest.raises(GgufError, match=says):
            read_header(tmp_path / "m.gguf")


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ((0,), "impossible shape"),
        ((2**62, 8), "impossible shape"),
        ((1, 1, 1, 1, 1), "dimensions"),
        ((), "dimensions"),
        ((2**40,), "is cut off"),
    ],
)
def test_tensors_that_cannot_be_are_refused(
    tmp_path: Path, shape: tuple[int, ...], says: str
) -> None:
    file = GgufFile({"general.architecture": "llama"}, {"t": (shape, b"1234")})
    with pytest.raises(GgufError, match=says):
        read_header(file.write(tmp_path / "m.gguf"))


def test_a_strange_alignment_is_refused(tmp_path: Path) -> None:
    for value in (0, 3, 2**30, "32"):
        file = GgufFile({"general.alignment": value}, {"t": ((1,), b"1234")})
        with pytest.raises(GgufError, match="alignment"):
            read_header(file.write(tmp_path / "m.gguf"))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GgufError, match="No such file"):
        read_header(tmp_path / "none.gguf")
    with pytest.raises(GgufError, match="Is a directory"):
        read_header(tmp_path)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused_and_nothing_else_happens(scratch: Path, raw: bytes) -> None:
    scratch.write_bytes(b"GGUF" + raw)
    with pytest.raises(GgufError):
        read_header(scratch)


@settings(max_examples=150)
@given(st.integers(0, 2**32), st.integers(1, 6))
def test_a_mutated_header_is_read_or_refused(scratch: Path, seed: int, changes: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - a choice of bytes, not a secret
    raw = bytearray(SOUND)
    for _ in range(changes):
        # Most of the header is the vocabulary: aim at the structure as often as at that.
        at = rng.randrange(len(raw)) if rng.random() < 0.5 else rng.randrange(600)
        raw[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
    scratch.write_bytes(raw + bytes(200_000))
    with contextlib.suppress(GgufError):
        read_header(scratch)
