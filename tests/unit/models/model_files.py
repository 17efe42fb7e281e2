"""Files of models for tests, and a look at a store from outside."""

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.unit.models.gguf_file import Metadata, tiny_model

IN_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where folders for tests are made: the store waits for a disk at each change."""


def write_gguf(path: Path, *, seed: int = 1) -> Path:
    """A whole little model; another seed gives other bytes."""
    extra: dict[str, Metadata] = {"general.file_type": 15, "general.license": "mit"}
    path.parent.mkdir(parents=True, exist_ok=True)
    return tiny_model(seed=seed, extra=extra).write(path)


def safetensors(entries: Mapping[str, Any] | None = None, *, data: bytes = bytes(16)) -> bytes:
    """A file; without ``entries`` one tensor of 8 half-precision numbers."""
    usual = {"w": {"dtype": "F16", "shape": [2, 4], "data_offsets": [0, 16]}}
    header = json.dumps(usual if entries is None else entries).encode()
    return struct.pack("<Q", len(header)) + header + data


def write_folder(folder: Path, *, data: bytes = bytes(16)) -> Path:
    """A safetensors model as repositories have it, with files that are not taken."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(safetensors(data=data))
    (folder / "config.json").write_text('{"model_type": "llama", "architectures": ["X"]}')
    (folder / "tokenizer.json").write_text("{}")
    (folder / "modeling_custom.py").write_text("raise SystemExit")
    return folder


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def damage(path: Path) -> None:
    """Turn one bit in the middle of a file, as a disk would: the times stay."""
    times, data = path.stat(), bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(0o444)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
