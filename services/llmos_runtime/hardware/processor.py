"""The CPU and the main memory, as ``/proc`` tells them."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Final

from llmos_api.hardware import Processor

FEATURES: Final = (
    "sse4_2",
    "avx",
    "f16c",
    "fma",
    "bmi2",
    "avx2",
    "avx_vnni",
    "avx512f",
    "avx512bw",
    "avx512vbmi",
    "avx512_vnni",
    "avx512_bf16",
    "amx_tile",
    "amx_int8",
)
"""What ggml's variants of its CPU back end differ in."""


def processor_of(root: Path = Path("/")) -> Processor:
    """The CPU below ``root``/proc; one without a name where that holds nothing."""
    text = _read(root / "proc/cpuinfo")
    name = re.search(r"(?m)^model name\s*:\s*(.+)$", text)
    flags = re.search(r"(?m)^flags\s*:\s*(.+)$", text)
    have = set(flags[1].split()) if flags else set()
    return Processor(
        name=name[1].strip() if name else "unknown",
        threads=len(re.findall(r"(?m)^processor\s*:", text)),
        features=tuple(feature for feature in FEATURES if feature in have),
    )


def memory_of(root: Path = Path("/")) -> int:
    """Bytes of main memory; 0 where ``/proc/meminfo`` does not tell."""
    match = re.search(r"(?m)^MemTotal:\s*(\d+) kB$", _read(root / "proc/meminfo"))
    return int(match[1]) * 1024 if match else 0


def _read(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace")
    return ""
