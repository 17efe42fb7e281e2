"""The examples of the reference page, run as a reader would."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.engine_process import Launcher

pytestmark = pytest.mark.integration

PAGE = Path(__file__).parents[2] / "docs/reference/engine-api.md"
EXAMPLES = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
async def test_an_example_gives_an_answer(tmp_path: Path, example: str) -> None:
    echo = Launcher(
        [sys.executable, "-m", "llmos_engine.main", "--backend", "echo"], tmp_path, "echo"
    )
    async with echo.running() as service:
        script = example.replace("/run/llmos/engine.sock", str(service.socket))
        script = script.replace("curl ", "curl --silent --show-error --max-time 60 ")
        done = subprocess.run(  # noqa: ASYNC221 - nothing else runs meanwhile
            ["bash", "-euc", script], capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    if "/metrics" in example:
        assert "\nllmos_engine_ready " in done.stdout
    elif "-N" in example:
        assert done.stdout.endswith("data: [DONE]\n\n")
    else:
        assert not json.loads(done.stdout).get("error")
