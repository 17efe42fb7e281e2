"""Building images as a person does: by the command line, which says what it did as JSON."""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from llmos_image.errors import BuildFailed

ROOT = Path(__file__).resolve().parent.parent.parent
OUT = ROOT / "build"
_CLI = "from llmos_image.cli import main; main()"


@dataclasses.dataclass(frozen=True)
class Built:
    """An image and how it came to be; sizes in bytes, times in seconds."""

    disk: Path
    seconds: float
    phases: Mapping[str, float]
    sizes: Mapping[str, int]


def build(spec: str, *, checkout: Path = ROOT, out: Path = OUT, cache: Path | None = None) -> Built:
    """Build ``spec`` with the code of ``checkout``.

    Raises:
        BuildFailed: the build failed; it has said why on standard error.
    """
    environment = {**os.environ, "PYTHONPATH": str(checkout / "image")}
    if cache is not None:
        environment["LLMOS_CACHE"] = str(cache)
    ended = subprocess.run(
        [sys.executable, "-c", _CLI, "build", spec, "--json", "--out", str(out)],
        cwd=checkout,
        env=environment,
        check=False,
        stdout=subprocess.PIPE,
    )
    if ended.returncode:
        raise BuildFailed(f"the build of {spec} ended with status {ended.returncode}")
    facts = json.loads(ended.stdout)
    return Built(Path(facts["artifact"]), facts["seconds"], facts["phases"], facts["sizes"])
