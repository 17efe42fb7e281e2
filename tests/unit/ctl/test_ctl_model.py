"""``llmosctl model`` as a person calls it."""

import dataclasses
import fcntl
import hashlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from llmos_ctl.main import _guarded, cli
from llmos_ctl.models import Models
from llmos_models.scan import ADDED
from llmos_models.store import Store
from tests.hub_server import COMMIT, Hub, hub_served
from tests.unit.models.model_files import IN_MEMORY, damage, digest, write_folder, write_gguf


@dataclass
class Answer:
    """What a command has said, and its exit status."""

    status: int
    out: str
    err: str


@dataclass
class Person:
    """Types commands."""

    models: Models

    def __call__(self, *arguments: str | Path) -> Answer:
        def run() -> object:
            return cli.main(["model", *map(str, arguments)], standalone_mode=False, obj=self.models)

        with CliRunner().isolation() as (out, err, _):
            status = _guarded(run)
            sys.stdout.flush()
            return Answer(status, out.getvalue().decode(), err.getvalue().decode())


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder in memory, in the place of pytest's own."""
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        yield Path(folder)


@pytest.fixture
def person(tmp_path: Path) -> Person:
    write_gguf(tmp_path / "shipped/small.gguf", seed=9)
    (tmp_path / "shipped/default.gguf").symlink_to("small.gguf")
    store = Store(tmp_path / "store", shipped=tmp_path / "shipped")
    return Person(Models(store, is_root=True, notices=tmp_path / "notices"))


def test_a_model_comes_answers_and_goes(person: Person, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "poet.gguf")
    answer = person("import", path)
    assert answer.status == 0
    assert "poet: llama Q4_K_M, 28.9 k parameters, 121.4 kB, licence: mit" in answer.out
    assert "sudo llmosctl model default poet" in answer.out
    assert person("default", "poet").out == "poet answers from the next request on.\n"
    lines = person("list").out.splitlines()
    assert lines[0].split() == ["NAME", "SIZE", "PARAMETERS", "FORMAT", "FROM"]
    assert [line.split()[0] for line in lines[1:]] == ["poet", "small"]
    assert lines[1].endswith("default")
    assert person("pin", "poet").status == 0
    refused = person("rm", "poet")
    assert (refused.status, refused.out) == (2, "")
    assert "poet is pinned" in refused.err
    assert "poet is gone: 121.4 kB are free again." in person("rm", "--force", "poet").out
    assert "small" in person("list").out


def test_programs_read_json(person: Person, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "poet.gguf")
    person("import", path)
    listed = json.loads(person("list", "--json").out)
    assert [one["name"] for one in listed["models"]] == ["poet", "small"]
    one = json.loads(person("show", "--json", "poet").out)
    assert one["manifest"]["files"][0]["sha256"] == digest(path)
    assert one["facts"] == {
        "architecture": "llama",
        "parameters": 28928,
        "quantisation": "Q4_K_M",
        "licence": "mit",
    }
    assert digest(path) in person("show", "poet").out
    assert "at each read" in person("show", "small").out


def test_a_folder_says_what_it_leaves_out(person: Person, tmp_path: Path) -> None:
    answer = person("import", write_folder(tmp_path / "mine"), "--name", "my-model")
    assert answer.status == 0
    assert "left out: modeling_custom.py" in answer.err
    assert "my-model: llama F16, 8 parameters" in answer.out
    assert "default" not in answer.out


def test_what_is_no_model_is_told(person: Person) -> None:
    person("verify", "--all")
    (person.models.store.folder / "broken.gguf").write_bytes(b"zip")
    assert "Not a model: " in person("list").out
    assert "broken.gguf" in json.loads(person("list", "--json").out)["faults"][0]


def test_damage_is_named_once_and_the_session_hears_of_it(person: Person, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "poet.gguf")
    person("import", path)
    assert person("verify", "--all", "--notice").status == 0
    damage(person.models.store.blob(digest(path)))
    answer = person("verify", "--all", "--notice")
    assert answer.status == 1
    assert f"poet: poet.gguf (sha256 {digest(path)}) is damaged" in answer.out
    notice = tmp_path / "notices/models.txt"
    assert "damaged the model poet" in notice.read_text()
    assert "damaged, without poet.gguf" in person("list").out
    person("import", path)
    assert person("verify", "poet", "--notice").out == "Sound: poet (121.4 kB read).\n"
    assert not notice.exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["import", "/nowhere/m.gguf"], "/nowhere/m.gguf: there is no such file or folder"),
        (["import", "/etc/passwd"], "/etc/passwd: is not a GGUF file"),
        (["show", "none"], "no model 'none' (there are: small)"),
        (["rm", "none"], "no model 'none'"),
        (["rm", "../../x"], "no model '../../x'"),
        (["rm", "small"], "small is part of the system"),
        (["pin", "none"], "no model 'none'"),
        (["default", "none"], "no model 'none'"),
        (["verify", "none"], "no model 'none'"),
        (["verify"], "name models, or say --all"),
        (["verify", "--all", "small"], "name models, or say --all"),
        (["nothing"], "No such command"),
    ],
)
def test_bad_input_is_one_message_and_exit_2(
    person: Person, arguments: Sequence[str], says: str
) -> None:
    answer = person(*arguments)
    assert answer.status == 2
    assert says in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(
    "arguments",
    [["import", "x"], ["rm", "x"], ["pin", "x"], ["default", "x"], ["verify", "--all"]],
)
def test_who_is_not_root_is_told_what_to_type(arguments: Sequence[str]) -> None:
    answer = Person(Models(Store(ADDED), is_root=False))(*arguments)
    assert answer.status == 2
    assert f"sudo llmosctl model {' '.join(arguments)}" in answer.err


def test_a_second_writer_is_told_who_is_at_work(person: Person, tmp_path: Path) -> None:
    person("import", write_gguf(tmp_path / "poet.gguf"))
    with (person.models.store.folder / ".lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        answer = person("rm", "poet")
    assert answer.status == 1
    assert "another command is changing the models (process" in answer.err


def test_a_folder_that_cannot_be_written_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    person = Person(Models(Store(tmp_path / "file/store"), is_root=True))
    answer = person("import", write_gguf(tmp_path / "m.gguf"))
    assert answer.status == 1
    assert str(tmp_path / "file") in answer.err


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    # A proxy of this machine does not lead to its own loopback interface.
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    data = write_gguf(tmp_path / "source/m.gguf").read_bytes()
    with hub_served(Hub({"poet-Q4_K_M.gguf": data})) as hub:
        yield hub


def test_a_model_comes_from_a_hub(person: Person, hub: Hub) -> None:
    hub.cuts = [1000]
    answer = person("pull", "hf:acme/poet:Q4_K_M", "--endpoint", hub.endpoint, "--name", "poet")
    assert answer.status == 0, answer.err
    assert "poet: llama Q4_K_M" in answer.out
    assert f"hf:acme/poet:poet-Q4_K_M.gguf@{COMMIT}" in person("show", "poet").out


def test_a_model_comes_from_a_url_with_its_digest(person: Person, hub: Hub) -> None:
    url = f"{hub.cdn}/poet-Q4_K_M.gguf"
    sha256 = hashlib.sha256(hub.files["poet-Q4_K_M.gguf"]).hexdigest()
    assert person("pull", url, "--sha256", sha256, "--name", "poet").status == 0
    answer = person("pull", url, "--sha256", "0" * 64, "--name", "other")
    assert answer.status == 1
    assert "is damaged or another file" in answer.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["https://models.example/m.gguf"], "needs --sha256"),
        (["http://models.example/m.gguf"], "needs --sha256"),
        (["https://models.example/m.gguf", "--sha256", "12"], "must be 64 digits"),
        (["hf:acme/poet", "--sha256", "0" * 64], "--sha256: is for URLs"),
        (["hf:acme"], "no reference to the hub"),
        (["hf:acme/none"], "acme/none: there is no such repository"),
        (["acme/poet"], "is no source"),
        (["/media/stick/m.gguf"], "llmosctl model import"),
        (["hf:acme/poet", "--endpoint", "x"], "--endpoint: 'x' is no https or http URL"),
        (["hf:acme/poet", "--name", "a b"], "'a b' is no name"),
        (["hf:acme/\x1b[31mpoet"], "no reference"),
    ],
)
def test_a_pull_that_cannot_be_is_one_message(
    person: Person, hub: Hub, arguments: Sequence[str], says: str
) -> None:
    person.models = dataclasses.replace(person.models, environment={"HF_ENDPOINT": hub.endpoint})
    answer = person("pull", *arguments)
    assert answer.status == 2
    assert says in answer.err
    assert not set(answer.err) & {"\x1b"}


def test_an_interrupted_pull_goes_on_later(person: Person, hub: Hub) -> None:
    store, hub.held = person.models.store, [50_000]
    argv = [sys.executable, "-m", "llmos_ctl.main", "model", "--folder", str(store.folder)]
    argv += ["pull", "hf:acme/poet", "--endpoint", hub.endpoint]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not store.unfinished() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    hub.released.set()
    assert process.returncode == 130, said
    assert "the same command goes on" in said
    assert "Traceback" not in said
    there = store.unfinished()
    assert 0 < there <= 50_000
    assert "Unfinished downloads" in person("list").out
    hub.asked = []
    assert person("pull", "hf:acme/poet", "--endpoint", hub.endpoint).status == 0
    (body,) = hub.bodies()
    assert body.headers["range"] == f"bytes={there}-"


def test_the_command_needs_no_web_libraries_before_it_downloads() -> None:
    code = (
        "import sys; from llmos_ctl.main import cli; "
        "sys.exit(bool({'httpx', 'httpx2', 'huggingface_hub', 'rich'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_command_has_an_example() -> None:
    group = cli.commands["model"]
    assert isinstance(group, click.Group)
    for name, command in group.commands.items():
        assert f"llmosctl model {name}" in (command.help or ""), name
