"""Models come from a hub and from URLs: whole and right, or not at all."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from llmos_models.change import changing
from llmos_models.errors import BadAsk, FormatError, ModelError, TransferFailed
from llmos_models.hub import Hub as HubClient
from llmos_models.hub import Reference
from llmos_models.manifest import Manifest
from llmos_models.meter import Silent
from llmos_models.patience import TRIES, Patience, retry_after
from llmos_models.scan import Scanner
from llmos_models.settings import HubSettings, Token, hub_settings
from llmos_models.store import Store
from llmos_models.web import Web, check_confidential, url_offer
from tests.hub_server import COMMIT, Hub, hub_served
from tests.unit.models.model_files import safetensors, write_folder, write_gguf

SECRET = "hf_secret"  # noqa: S105 - of a server that lives as long as a test
FILE = "poet-Q4_K_M.gguf"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    # A proxy of this machine does not lead to its own loopback interface.
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    data = write_gguf(tmp_path / "source/m.gguf").read_bytes()
    with hub_served(Hub({FILE: data, "README.md": b"# Poet\n"})) as hub:
        yield hub


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", shipped=tmp_path / "shipped")


class Naps:
    """How long somebody has waited, without waiting."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)


@pytest.fixture
def naps() -> Naps:
    return Naps()


def pull(
    store: Store,
    hub: Hub,
    what: str = "hf:acme/poet",
    *,
    naps: Naps | None = None,
    token: str | None = None,
    name: str | None = None,
) -> Manifest:
    settings = HubSettings(hub.endpoint, Token(token) if token else None)
    client = HubClient(settings, patience=Patience(naps or Naps()))
    with changing(store) as change:
        return change.add(client.offer(Reference.parse(what), name=name), Silent())


def seen(store: Store) -> list[str]:
    return sorted(Scanner([store.folder]).scan().models)


def test_a_model_of_the_hub_says_where_it_is_from(store: Store, hub: Hub) -> None:
    manifest = pull(store, hub)
    assert seen(store) == ["poet-Q4_K_M"]
    assert manifest.source == f"hf:acme/poet:{FILE}@{COMMIT}"
    assert manifest.facts.licence == "mit"  # the file's own word comes before the page's
    assert store.blob(manifest.files[0].sha256).read_bytes() == hub.files[FILE]
    assert not list(store.partial.iterdir())


def test_nobody_hears_more_than_is_asked_for(store: Store, hub: Hub) -> None:
    pull(store, hub)
    assert [one.path.partition("?")[0] for one in hub.asked] == [
        "/api/models/acme/poet",
        f"/acme/poet/resolve/{COMMIT}/{FILE}",
        f"/{FILE}",
    ]
    assert not any("authorization" in one.headers for one in hub.asked)
    assert not any("torch" in one.headers["user-agent"] for one in hub.asked)


@pytest.mark.parametrize("cuts", [[1000], [0, 5000, 1, 90_000], [121_439]])
def test_a_broken_line_goes_on_where_it_was(
    store: Store, hub: Hub, naps: Naps, cuts: list[int]
) -> None:
    hub.cuts = list(cuts)
    pull(store, hub, naps=naps)
    assert seen(store) == ["poet-Q4_K_M"]
    ranges = [one.headers.get("range") for one in hub.bodies()]
    expected = [sum(cuts[: n + 1]) for n in range(len(cuts))]
    assert ranges == [None, *(f"bytes={at}-" if at else None for at in expected)]
    assert len(naps.taken) == len(cuts)


def test_a_pull_that_gave_up_goes_on_with_the_next(store: Store, hub: Hub, naps: Naps) -> None:
    hub.cuts = [70_000] + [0] * TRIES
    with pytest.raises(TransferFailed, match=f"{TRIES} times in a row"):
        pull(store, hub, naps=naps)
    assert naps.taken == [1, 2, 4, 8]
    assert store.unfinished() == 70_000
    assert not seen(store)
    hub.cuts, hub.asked = [], []
    pull(store, hub)
    assert [one.headers.get("range") for one in hub.bodies()] == ["bytes=70000-"]
    assert seen(store) == ["poet-Q4_K_M"]


def test_a_server_without_ranges_sends_all_of_it_again(store: Store, hub: Hub) -> None:
    hub.cuts, hub.knows_ranges = [50_000], False
    pull(store, hub)
    assert seen(store) == ["poet-Q4_K_M"]


def test_damage_on_the_way_is_never_kept(store: Store, hub: Hub) -> None:
    hub.damaged = [60_000]
    with pytest.raises(TransferFailed, match=f"{FILE}: is damaged or another file: sha256"):
        pull(store, hub)
    assert not [*store.partial.iterdir(), *store.blobs.iterdir(), *store.manifests.iterdir()]
    pull(store, hub)
    assert seen(store) == ["poet-Q4_K_M"]


def test_damage_before_an_interruption_costs_a_second_download_and_no_more(
    store: Store, hub: Hub
) -> None:
    hub.cuts, hub.damaged = [70_000] + [0] * TRIES, [100]
    with pytest.raises(TransferFailed, match="in a row"):
        pull(store, hub)
    hub.cuts, hub.asked = [], []
    pull(store, hub)
    assert [one.headers.get("range") for one in hub.bodies()] == ["bytes=70000-", None]
    assert seen(store) == ["poet-Q4_K_M"]


def test_what_is_left_of_a_power_cut_is_read_again(store: Store, hub: Hub) -> None:
    """A file that has its length and not its content, as file systems leave it."""
    with changing(store):
        pass
    sha256 = hashlib.sha256(hub.files[FILE]).hexdigest()
    for size in (len(hub.files[FILE]), len(hub.files[FILE]) + 1, 0):
        (store.partial / f"sha256-{sha256}").write_bytes(bytes(size))
        pull(store, hub, name=f"m{size}")
    assert len(seen(store)) == 3


def test_more_than_was_announced_is_refused(store: Store, hub: Hub) -> None:
    hub.lies[FILE] = "0" * 64
    with pytest.raises(TransferFailed, match=f"not {'0' * 64}"):
        pull(store, hub)
    small = hub.info
    small["siblings"][0]["lfs"] |= {"size": 10, "sha256": "1" * 64}
    hub.answer = json.dumps(small).encode()
    with pytest.raises(TransferFailed, match="more than the announced 10 bytes"):
        pull(store, hub)


def test_a_busy_server_is_asked_again_when_it_wants(store: Store, hub: Hub, naps: Naps) -> None:
    hub.statuses = [
        (503, {}),
        (429, {"Retry-After": "7"}),
        (500, {}),
        (429, {"Retry-After": "9999"}),
    ]
    pull(store, hub, naps=naps)
    assert naps.taken == [1, 7, 4, 60]
    hub.statuses = [(503, {})] * TRIES
    with pytest.raises(TransferFailed, match="the hub answered 503, 5 times in a row"):
        pull(store, hub, naps=naps, name="other")


def test_who_waits_hears_why(store: Store, hub: Hub, naps: Naps) -> None:
    said: list[str] = []
    hub.statuses = [(429, {"Retry-After": "7"})]
    client = HubClient(
        HubSettings(hub.endpoint, None), patience=Patience(naps, on_wait=said.append)
    )
    client.repository(Reference.parse("hf:acme/poet"))
    assert said == ["acme/poet: the hub answered 429; again in 7 s"]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("soon", None),
        ("-1", None),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
    ],
)
def test_a_server_says_when_in_seconds_or_by_a_date(
    value: str | None, seconds: float | None
) -> None:
    assert retry_after(value, now=lambda: 10.0) == seconds


def test_a_token_is_for_the_hub_and_for_nobody_else(store: Store, hub: Hub) -> None:
    hub.token = SECRET
    with pytest.raises(BadAsk, match="no such repository, or it is private"):
        pull(store, hub)
    hub.asked = []
    pull(store, hub, token=SECRET)
    assert all(("authorization" in one.headers) == (one.server == "hub") for one in hub.asked)
    assert SECRET not in repr(HubSettings(None, Token(SECRET)))
    assert SECRET not in store.manifest_path("poet-Q4_K_M").read_text()
    with pytest.raises(BadAsk, match="not sent unencrypted"):
        check_confidential("http://hub.example/x")


def test_a_gated_repository_says_what_to_do(store: Store, hub: Hub) -> None:
    hub.token, hub.gated = SECRET, True
    with pytest.raises(TransferFailed, match="wants to know who uses it") as caught:
        pull(store, hub)
    assert "Accept the terms" in str(caught.value.hint)


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_file_that_is_refused_is_not_asked_for_twice(
    store: Store, hub: Hub, naps: Naps, status: int
) -> None:
    settings = HubSettings(hub.endpoint, None)
    offer = HubClient(settings, patience=Patience(naps)).offer(Reference.parse("hf:acme/poet"))
    hub.statuses = [(status, {})]
    with changing(store) as change, pytest.raises(TransferFailed, match=str(status)):
        change.add(offer, Silent())
    assert not naps.taken


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("hf:acme/none", "no such repository"),
        ("hf:acme/poet@v9", "no revision 'v9'"),
        ("hf:acme/poet:Q8_0", "has no 'Q8_0'"),
        ("hf:acme/poet:Q4_K", "has no 'Q4_K'"),
        ("hf:acme/poet:other.gguf", "has no 'other.gguf'"),
        ("hf:acme/..", "no such repository|no reference|acme"),
        ("hf:acme", "no reference"),
        ("hf:", "no reference"),
        ("hf:acme/poet:", "no reference"),
        ("hf:../../etc/passwd", "no reference"),
    ],
)
def test_what_is_not_there_is_said(store: Store, hub: Hub, what: str, says: str) -> None:
    with pytest.raises(BadAsk, match=says):
        pull(store, hub, what)


def test_one_of_several_is_chosen_by_its_name_or_quantisation(store: Store, hub: Hub) -> None:
    data = hub.files[FILE]
    hub.files |= {"poet-Q4_K_S.gguf": data, "sub/poet-f16.gguf": data, "mmproj-f16.gguf": data}
    with pytest.raises(BadAsk, match="has 3 GGUF files") as caught:
        pull(store, hub)
    assert "poet-Q4_K_S.gguf" in str(caught.value.hint)
    for what, name in (("q4_k_s", "poet-Q4_K_S"), ("sub/poet-f16.gguf", "poet-f16")):
        assert pull(store, hub, f"hf:acme/poet:{what}@main").name == name
    hub.files["poet-Q8_0-00001-of-00002.gguf"] = data
    with pytest.raises(FormatError, match="one part of a model"):
        pull(store, hub, "hf:acme/poet:Q8_0")
    with pytest.raises(FormatError, match="is a pickle"):
        pull(store, hub, "hf:acme/poet:pytorch_model.bin")


def test_a_safetensors_repository_is_taken_without_its_code(
    store: Store, hub: Hub, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path / "remote")
    hub.files = {path.name: path.read_bytes() for path in folder.iterdir()}
    hub.files |= {"pytorch_model.bin": b"x", "onnx/model.safetensors": b"x"}
    hub.cuts = [10]
    manifest = pull(store, hub)
    assert manifest.name == "poet"
    assert sorted(path.name for path in (store.folder / "poet").iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ]
    assert manifest.facts.licence == "apache-2.0"
    asked = {one.path.partition("?")[0].rpartition("/")[2] for one in hub.asked}
    assert not asked & {"modeling_custom.py", "pytorch_model.bin"}


def test_a_small_file_is_compared_too(store: Store, hub: Hub, tmp_path: Path) -> None:
    """The hub has no SHA-256 of it, only git's name."""
    hub.files = {"config.json": b"{}", "model.safetensors": safetensors()}
    hub.damaged = [1]
    with pytest.raises(TransferFailed, match=r"config\.json: is damaged or another file: git"):
        pull(store, hub)


def test_what_is_finished_of_many_files_is_not_fetched_again(store: Store, hub: Hub) -> None:
    hub.files = {"config.json": b"{}"} | {
        f"model-{n}.safetensors": safetensors(data=bytes([n]) * 16) for n in range(3)
    }
    hub.damaged = [-1, -1, -1, 60]
    with pytest.raises(TransferFailed, match=r"model-2\.safetensors"):
        pull(store, hub)
    hub.asked = []
    pull(store, hub)
    assert [one.path.partition("?")[0] for one in hub.bodies()] == ["/model-2.safetensors"]


def test_only_pickles_are_refused_by_name(store: Store, hub: Hub) -> None:
    hub.files = {"pytorch_model.bin": b"x", "config.json": b"{}"}
    with pytest.raises(FormatError, match=r"only pickles \(pytorch_model\.bin\)"):
        pull(store, hub)
    hub.files = {"model.safetensors": safetensors()}
    with pytest.raises(FormatError, match=r"no config\.json"):
        pull(store, hub)


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>Sign in</html>",
        b"[]",
        b"{}",
        b'{"sha": "x"}',
        b"\xff",
        b'{"id": "a", "siblings": 3}',
    ],
)
def test_a_server_that_is_no_hub_is_told(store: Store, hub: Hub, answer: bytes) -> None:
    hub.answer = answer
    with pytest.raises(TransferFailed, match="does not answer as the hub does"):
        pull(store, hub)


@pytest.mark.parametrize(
    ("path", "sha256"), [("m.gguf", "../../../etc/x"), ("../../m.gguf", "0" * 63), ("m.gguf", None)]
)
def test_a_hub_cannot_lead_out_of_the_store(
    store: Store, hub: Hub, path: str, sha256: str | None
) -> None:
    info = hub.info
    info["siblings"] = [
        {"rfilename": path, "size": 1, "lfs": {"size": 1, "sha256": sha256, "pointerSize": 1}}
    ]
    hub.answer = json.dumps(info).encode()
    with pytest.raises(ModelError):
        pull(store, hub)
    assert sorted(path.name for path in store.folder.iterdir()) == [
        ".lock",
        "blobs",
        "manifests",
        "partial",
        "quarantine",
    ]


def test_a_server_that_is_not_there_is_given_up(store: Store, hub: Hub, naps: Naps) -> None:
    hub.endpoint = "http://127.0.0.1:9"
    with pytest.raises(TransferFailed, match="times in a row"):
        pull(store, hub, naps=naps)
    assert len(naps.taken) == TRIES - 1


def test_a_damaged_blob_is_fetched_again(store: Store, hub: Hub) -> None:
    manifest = pull(store, hub)
    blob = store.blob(manifest.files[0].sha256)
    hub.asked = []
    pull(store, hub)
    assert not hub.bodies()  # it was there, and it was right
    blob.chmod(0o644)
    blob.write_bytes(bytes(manifest.size))
    pull(store, hub)
    assert len(hub.bodies()) == 1
    assert blob.read_bytes() == hub.files[FILE]


def url_pull(store: Store, url: str, sha256: str, name: str | None = None) -> Manifest:
    with changing(store) as change:
        return change.add(
            url_offer(Web(patience=Patience(Naps())), url, sha256, name=name), Silent()
        )


def test_a_file_of_a_url_must_have_its_digest(store: Store, hub: Hub) -> None:
    url = f"{hub.cdn}/{FILE}"
    right = hashlib.sha256(hub.files[FILE]).hexdigest()
    hub.cuts = [1000]
    manifest = url_pull(store, f"{url}?signature=secret", right.upper())
    assert manifest.source == url
    assert seen(store) == ["poet-Q4_K_M"]
    with pytest.raises(TransferFailed, match="damaged or another file"):
        url_pull(store, url, "0" * 64, "other")
    hub.statuses = [(500, {})] * TRIES
    with pytest.raises(TransferFailed, match="500, 5 times"):
        url_pull(store, url, "1" * 64, "other")


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("ftp://x/m.gguf", BadAsk),
        ("https://", BadAsk),
        ("https://[x/m.gguf", BadAsk),
        ("https://x/m.bin", FormatError),
        ("https://x/m-00001-of-00002.gguf", FormatError),
    ],
)
def test_a_url_that_cannot_be_is_refused(url: str, error: type[ModelError]) -> None:
    with pytest.raises(error):
        url_offer(Web(), url, "0" * 64)


def test_the_hub_and_the_token_are_found_in_their_order(tmp_path: Path) -> None:
    file, own, system = tmp_path / "models.toml", tmp_path / "own", tmp_path / "system"
    for folder in (own, system):
        folder.mkdir()

    def found(
        option: str | None = None, env: Mapping[str, str] = {}
    ) -> tuple[str | None, str | None]:
        settings = hub_settings(option, env, file=file, folders=(system, tmp_path / "none"))
        return settings.endpoint, settings.token.secret if settings.token else None

    assert found() == (None, None)
    file.write_text('hub_endpoint = "https://file.example/"\n')
    assert found(env={"HF_TOKEN": " t0 "}) == ("https://file.example", "t0")
    (system / "llmos.hf-token").write_text("t1\n")
    assert found(env={"HF_ENDPOINT": "https://env.example", "HF_TOKEN": "t0"}) == (
        "https://env.example",
        "t1",
    )
    (own / "llmos.hf-token").write_text("t2\n")
    assert found("https://o.example", {"HF_ENDPOINT": "x", "CREDENTIALS_DIRECTORY": str(own)}) == (
        "https://o.example",
        "t2",
    )
    for wrong in ("x", "ftp://x", "https://", "https://u@x", "https://[x"):
        with pytest.raises(BadAsk, match="--endpoint"):
            found(wrong)
    for text, says in (
        ("x = 1", "unknown 'x'"),
        ("hub_endpoint = 1", "should be a URL"),
        ("=", "models.toml"),
    ):
        file.write_text(text)
        with pytest.raises(BadAsk, match=says):
            found()
    (own / "llmos.hf-token").write_text("two words")
    with pytest.raises(BadAsk, match="is no token") as caught:
        found("https://o.example", {"CREDENTIALS_DIRECTORY": str(own)})
    assert "two words" not in str(caught.value)


def test_the_library_keeps_quiet_about_this_machine(store: Store, hub: Hub) -> None:
    pull(store, hub)
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"
