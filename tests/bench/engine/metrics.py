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
    """The number ``name`` in Prometheus' text format, of all labels together if it has some."""
    found = []
    for line in page.splitlines():
        key, _, value = line.rpartition(" ")
        if key == name or key.startswith(name + "{"):
            found.append(float(value))
    if not found:
        raise BuildFailed(f"the engine has no metric {name}")
    return sum(found)


def seconds_of(process: int) -> float:
    """What the threads of a process have had of the processors so far."""
    files = Path(f"/proc/{process}/task").glob("*/schedstat")
    return sum(int(path.read_text("ascii").split()[0]) for path in files) / 1e9
