"""The builder with the real mkosi, and real failures."""

import functools
import http.server
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmos_image import mkosi
from llmos_image.archive import Archive, host_archive
from llmos_image.build import Ground
from llmos_image.cache import Cache
from llmos_image.errors import BuildFailed
from llmos_image.places import SPECS
from llmos_image.render import packages_of, render
from llmos_image.run import Log, output
from llmos_image.spec import Debian, ImageSpec, load, parse
from llmos_image.tools import tools_tree

pytestmark = pytest.mark.integration

_CLI = "from llmos_image.cli import main; main()"
_OTHERS = {
    "locale": '[image]\nid = "x"\nversion = "1"\n[system]\nlocale = "de_DE.UTF-8"\nkeymap = "de"\n',
    "least": '[image]\nid = "x"\nversion = "1"\n',
}


def _specs() -> dict[str, ImageSpec]:
    known = {path.stem: load(path) for path in sorted(SPECS.glob("*.toml"))}
    return known | {name: parse(text, path=Path("x.toml")) for name, text in _OTHERS.items()}


@pytest.mark.parametrize("name", _specs())
def test_mkosi_accepts_every_rendered_tree(ground: Ground, tmp_path: Path, name: str) -> None:
    spec = _specs()[name].with_archive(Archive("http://mirror.example/debian", None))
    render(spec).write(tmp_path / "tree")
    (image,) = mkosi.summary(ground.tools, tmp_path / "tree")["Images"]
    (initrd,) = mkosi.summary(ground.tools, tmp_path / "tree" / "initrd")["Images"]
    assert initrd["MakeInitrd"] is True
    assert image["Distribution"] == "debian"
    assert image["Packages"] == list(packages_of(spec))
    assert image["ImageId"] == spec.image.id
    assert image["Bootable"] == "enabled"
    assert [Path(path).name for path in image["RepartDirectories"]] == ["mkosi.repart"]
    assert len(image["PostInstallationScripts"]) == 1


def test_mkosi_refuses_what_it_does_not_know(ground: Ground, tmp_path: Path) -> None:
    (tmp_path / "mkosi.conf").write_text("[Distribution]\nDistribution=nonesuch\n")
    with pytest.raises(BuildFailed, match="nonesuch"):
        mkosi.summary(ground.tools, tmp_path)


def test_programs_of_a_tree_run_with_its_files_and_not_the_hosts(ground: Ground) -> None:
    release = output(ground.tools.sandbox.argv(["cat", "/etc/debian_version"]))
    assert release.startswith("13")
    with pytest.raises(BuildFailed):
        output(ground.tools.sandbox.argv(["ls", str(SPECS)]))


def test_the_runtime_is_the_targets_python_with_llama_and_ggml(
    ground: Ground, tmp_path: Path
) -> None:
    (tmp_path / "usr/lib/llmos").mkdir(parents=True)
    script = "import sys, llama_cpp; print(sys.version_info[:2], llama_cpp.__version__)"
    said = output(ground.runtime.argv(["/usr/lib/llmos/bin/python3", "-c", script], code=tmp_path))
    assert said.strip() == "(3, 13) 0.3.36"


class _Mirror(http.server.SimpleHTTPRequestHandler):
    """A mirror that has nothing: every file is 404."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
        """Quiet."""


@pytest.fixture
def empty_mirror(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "mirror").mkdir()
    handler = functools.partial(_Mirror, directory=str(tmp_path / "mirror"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/debian"
        server.shutdown()
        thread.join()


def test_a_mirror_without_the_suite_is_one_clear_error(empty_mirror: str, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    with pytest.raises(BuildFailed) as caught:
        tools_tree(cache, Debian(mirror=empty_mirror), Log(tmp_path / "x.log"))
    text = str(caught.value)
    assert "debian.mirror" in text
    assert len(text.splitlines()) < 24
    assert list(cache.entries()) == []
    assert not list((tmp_path / "cache/tools").iterdir())


def test_an_interrupted_build_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C while mmdebstrap works: exit 130, no half-made entry, no mount, no process."""
    if host_archive().main is None:
        pytest.skip("this host's apt uses no Debian mirror")
    (tmp_path / "x.toml").write_text(_OTHERS["least"])
    environment = {**os.environ, "LLMOS_CACHE": str(tmp_path / "cache")}
    process = subprocess.Popen(
        [sys.executable, "-c", _CLI, "build", str(tmp_path / "x.toml")],
        env=environment,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("cache/tools/.partial-*/content.tar")):
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert "interrupted" in said
    assert "Traceback" not in said
    assert not list((tmp_path / "cache/tools").iterdir())
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
    assert not _processes_naming(str(tmp_path))


def _processes_naming(text: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in line and str(os.getpid()) != path.parent.name:
            found.append(line)
    return found
