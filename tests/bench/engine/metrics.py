"""Reads what the engine counts, and what the kernel counts of its threads."""

from pathlib import Path

from llmos_image.errors import BuildFailed
from tests.bench.engine.client import Address, get


async def metric(address: Address, name: str) -> float:
    """One number of ``GET /metrics``.

    Raises:
        BuildFailed: the engine does not have it.
    """
    _, page = await get(address, "/metrics")
    return value_in(page.decode(), name)


def value_in(page: str, name: str) -> float:
    """The number ``name`` without labels in Prometheus' text format."""
    for line in page.splitlines():
        key, _, value = line.rpartition(" ")
        if key == name:
            return float(value)
    raise BuildFailed(f"the engine has no metric {name}")


def seconds_of_thread(process: int, thread: int) -> float:
    """What a thread has had of the processors so far."""
    path = Path(f"/proc/{process}/task/{thread}/schedstat")
    return int(path.read_text("ascii").split()[0]) / 1e9
