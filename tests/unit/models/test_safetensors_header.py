"""The header of a safetensors file is read with distrust."""

import contextlib
import json
import random
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmos_models.errors import SafetensorsError
from llmos_models.safetensors import MAX_HEADER, read_safetensors
from tests.unit.models.model_files import safetensors


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("safetensors") / "m.safetensors"


def entry(begin: int, end: int, *, shape: Any = None, kind: Any = "U8") -> dict[str, Any]:
    return {
        "dtype": kind,
        "shape": [end - begin] if shape is None else shape,
        "data_offsets": [begin, end],
    }


def test_a_sound_file_tells_its_numbers(scratch: Path) -> None:
    scratch.write_bytes(
        safetensors(
            {
                "__metadata__": {"format": "pt"},
                "b": entry(8, 16, kind="F16", shape=[2, 2]),
                "a": entry(0, 8, kind="F64", shape=[]),
                "empty": entry(16, 16, shape=[0, 5]),
            }
        )
    )
    header = read_safetensors(scratch)
    assert header.parameters == {"F16": 4, "F64": 1, "U8": 0}
    assert header.tensors == 3


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "no safetensors file"),
        (struct.pack("<Q", MAX_HEADER + 1) + b"{}", "claims"),
        (struct.pack("<Q", 100) + b"{}", "cut off"),
        (struct.pack("<Q", 2) + b"[]", "no JSON object"),
        (struct.pack("<Q", 2) + b"{!", "no JSON"),
        (struct.pack("<Q", 2) + b"\xff\xff", "no JSON"),
        (struct.pack("<Q", 200_000) + b"[" * 200_000, "no JSON"),
        (struct.pack("<Q", 6000) + b"[" + b"9" * 5998 + b"]", "no JSON"),
        (struct.pack("<Q", 16) + b'{"a": 1, "a": 2}', "twice"),
        (safetensors({}), "no tensors"),
        (safetensors({"__metadata__": {"a": 1}}), "not all text"),
        (safetensors({"w": 3}), "not described"),
        (safetensors({"w": {**entry(0, 16), "more": 1}}), "not described"),
        (safetensors({"w": entry(0, 16, kind="PICKLE")}), "unknown type"),
        (safetensors({"w": entry(0, 16, kind=["U8"])}), "unknown type"),
        (safetensors({"w": entry(0, 16, shape=[-16])}), "impossible shape"),
        (safetensors({"w": entry(0, 16, shape=[True, 16])}), "impossible shape"),
        (safetensors({"w": entry(0, 16, shape=[2**62, 2**62])}), "impossible shape"),
        (safetensors({"w": entry(0, 16, shape=[1] * 33)}), "impossible shape"),
        (safetensors({"w": entry(0, 16, shape=[15])}), "do not fit"),
        (safetensors({"w": entry(16, 0, shape=[16])}), "impossible data_offsets"),
        (safetensors({"w": {**entry(0, 16), "data_offsets": [0, 1, 2]}}), "data_offsets"),
        (safetensors({"a": entry(0, 10), "b": entry(8, 16)}), "b: overlaps"),
        (safetensors({"a": entry(0, 4), "b": entry(8, 16)}), "b: leaves a hole"),
        (safetensors({"a": entry(0, 32)}), "is cut off"),
        (safetensors({"a": entry(0, 8)}), "belong to no tensor"),
    ],
)
def test_a_damaged_file_is_refused_with_a_reason(scratch: Path, raw: bytes, says: str) -> None:
    scratch.write_bytes(raw)
    with pytest.raises(SafetensorsError, match=says) as caught:
        read_safetensors(scratch)
    assert str(caught.value).startswith(f"{scratch}: ")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SafetensorsError, match="No such file"):
        read_safetensors(tmp_path / "none")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32), st.integers(1, 4))
def test_a_mutated_file_is_read_or_refused(scratch: Path, seed: int, changes: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - a choice of bytes, not a secret
    raw = bytearray(safetensors({"a": entry(0, 8), "b": entry(8, 16, kind="F32", shape=[2])}))
    for _ in range(changes):
        raw[rng.randrange(len(raw))] = rng.choice([0, 1, 0x22, 0x39, 0x5B, 0x7B, 0xFF])
    scratch.write_bytes(raw)
    with contextlib.suppress(SafetensorsError):
        read_safetensors(scratch)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.text(max_size=5) | st.just("__metadata__"),
        st.fixed_dictionaries(
            {
                "dtype": st.sampled_from(["F16", "U8", "F4"]) | json_values,
                "shape": st.lists(st.integers(-1, 9)) | json_values,
                "data_offsets": st.lists(st.integers(-1, 20), max_size=3) | json_values,
            }
        )
        | json_values,
        max_size=4,
    )
)
def test_any_json_is_read_or_refused(scratch: Path, entries: dict[str, Any]) -> None:
    header = json.dumps(entries).encode()
    scratch.write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))
    with contextlib.suppress(SafetensorsError):
        assert sum(read_safetensors(scratch).parameters.values()) >= 0
