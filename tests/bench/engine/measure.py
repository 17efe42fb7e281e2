"""``./build.sh bench engine``: the engine beside llama.cpp's own programs, in one run."""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from llmos_image.archive import host_archive
from llmos_image.cache import Cache, default_root
from llmos_image.local import engine_command, ground_of
from llmos_image.places import SOURCE, spec_path
from llmos_image.run import Log
from llmos_image.spec import load
from tests.bench.comparison import Comparison, Row
from tests.bench.engine import inside, speed, waiting
from tests.bench.engine.bench import Bench, Plan
from tests.bench.engine.rivals import rivals
from tests.bench.engine.servers import BATCH, Launcher, Settings

ROWS: Final[Mapping[str, Callable[[Bench], Iterator[Row]]]] = {
    "decode": speed.decode,
    "prefill": speed.prefill,
    "streams": speed.streams,
    "gap": waiting.gap,
    "urgent": waiting.urgent,
    "prefix": waiting.prefix,
    "park": inside.park,
    "memory": inside.memory,
    "front": inside.front,
}


def measure(rows: Sequence[str], plan: Plan, threads: int, *, passive: bool = False) -> Comparison:
    """Measure ``rows``, all without any.

    Raises:
        BuildFailed: a rival cannot be built, or a server does not start or answer.
    """
    ground, log = ground_of(load(spec_path("vm")).with_archive(host_archive()))
    cache = Cache(default_root())
    found: list[Row] = []
    # Who reads the figures sees whether the machine was quiet.
    busy = os.getloadavg()[0]
    chosen = [name for name in ROWS if name in (rows or ROWS)]
    others = rivals(cache, ground, log)
    files = {model: model.file(cache) for model in plan.models}
    settings = Settings(threads, plan.context, passive)
    with tempfile.TemporaryDirectory(prefix="llmos-bench-") as name:
        folder = Path(name)
        binds = [folder, *(file.parent for file in files.values())]
        binds += [others.packages] if others.packages else []
        code = Log(cache.root / "logs" / "bench.log")
        with engine_command(ground, SOURCE, binds=binds, log=code) as command:
            for at, (model, file) in enumerate(files.items()):
                place = folder / model.name
                place.mkdir()
                with Launcher(ground, others, command, place, settings) as launcher:
                    bench = Bench(model, file, plan, launcher)
                    for number, name_of_row in enumerate(chosen, at * len(chosen) + 1):
                        bench.where = f"[{number}/{len(files) * len(chosen)}] {model.name}"
                        for row in ROWS[name_of_row](bench):
                            # At once: whoever ends it early has what was found so far.
                            bench.say(" | ".join(row.cells()))
                            found.append(row)
    conditions = {
        "threads": str(threads),
        "context": str(plan.context),
        "batch": str(BATCH),
        "KV": "f16",
        "rounds": str(plan.rounds),
        "load before": f"{busy:.1f}",
        "libggml": ground.llama.ggml_version,
        "rivals": "OMP_WAIT_POLICY=passive" if passive else "as they come",
    }
    return Comparison("engine", found, conditions)
