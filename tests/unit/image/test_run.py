"""The gate to other programs: logs, failures, interruptions."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from llmos_image.errors import BuildFailed
from llmos_image.run import Log, output, run, telling


def test_everything_printed_is_in_the_log_and_seen_line_by_line(tmp_path: Path) -> None:
    seen: list[str] = []
    log = Log(tmp_path / "logs" / "x.log", on_line=seen.append)
    run(["sh", "-c", "echo one; echo two >&2"], log=log)
    assert sorted(seen) == ["one", "two"]
    assert log.path.read_text().splitlines()[0] == "$ sh -c 'echo one; echo two >&2'"


def test_a_failure_shows_the_lines_that_say_why_and_the_log(tmp_path: Path) -> None:
    script = "for i in $(seq 500); do echo line $i; done; echo 'E: broken'; echo after; exit 3"
    with pytest.raises(BuildFailed) as caught:
        run(["sh", "-c", script], log=Log(tmp_path / "x.log"))
    text = str(caught.value)
    assert "sh ended with status 3" in text
    assert "E: broken" in text
    assert "line 499" not in text
    assert str(tmp_path / "x.log") in text


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match="no-such-program: no such program"):
        run(["no-such-program"], log=Log(tmp_path / "x.log"))


def test_output_raises_with_what_was_said() -> None:
    assert output(["echo", "hi"]) == "hi\n"
    with pytest.raises(BuildFailed, match="sorry"):
        output(["sh", "-c", "echo sorry >&2; exit 1"])


def test_without_a_known_error_the_last_lines_are_shown() -> None:
    assert telling([f"line {i}" for i in range(100)]) == [f"line {i}" for i in range(88, 100)]


def test_an_interruption_ends_the_program_and_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"sleep 100 & echo $! > {pids}.part; mv {pids}.part {pids}; wait"

    def interrupt() -> None:
        deadline = time.monotonic() + 10
        while not pids.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run([sys.executable, "-c", f"import subprocess; subprocess.run(['sh', '-c', {script!r}])"],
            log=Log(tmp_path / "x.log"))  # fmt: skip
    thread.join()
    child = int(pids.read_text())
    deadline = time.monotonic() + 10
    while _runs(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _runs(child)


def _runs(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
