"""Which models there are, and which of them is the default."""

from pathlib import Path

import pytest

from llmos_engine.errors import ModelNotFound
from llmos_engine.models import ModelStore
from llmos_models.errors import ModelError
from tests.unit.models.gguf_file import tiny_model


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    (tmp_path / "shipped").mkdir()
    return tmp_path / "shipped"


@pytest.fixture
def added(tmp_path: Path) -> Path:
    (tmp_path / "added").mkdir()
    return tmp_path / "added"


def test_the_file_called_default_is_the_default(shipped: Path, added: Path) -> None:
    tiny_model().write(shipped / "default.gguf")
    tiny_model().write(added / "other.gguf")
    store = ModelStore([shipped, added])
    assert sorted(store.scan().models) == ["default", "other"]
    assert store.find(None).path == store.find("default").path == shipped / "default.gguf"
    assert store.find("other").path == added / "other.gguf"


def test_an_added_default_wins_over_the_shipped_one(shipped: Path, added: Path) -> None:
    tiny_model().write(shipped / "default.gguf")
    tiny_model().write(added / "default.gguf")
    assert ModelStore([shipped, added]).find(None).path == added / "default.gguf"


def test_a_damaged_added_default_leaves_the_shipped_one(shipped: Path, added: Path) -> None:
    tiny_model().write(shipped / "default.gguf")
    (added / "default.gguf").write_bytes(b"GGUF")
    store = ModelStore([shipped, added])
    assert store.find(None).path == shipped / "default.gguf"
    assert str(added / "default.gguf") in str(store.scan().faults[0])


def test_a_link_names_the_default_and_is_no_second_model(added: Path) -> None:
    tiny_model().write(added / "coder.gguf")
    tiny_model().write(added / "poet.gguf")
    (added / "default.gguf").symlink_to("poet.gguf")
    store = ModelStore([added])
    assert sorted(store.scan().models) == ["coder", "poet"]
    assert store.find("default").id == "poet"


def test_a_link_out_of_the_directories_keeps_its_own_name(tmp_path: Path, added: Path) -> None:
    tiny_model().write(tmp_path / "elsewhere.gguf")
    (added / "default.gguf").symlink_to(tmp_path / "elsewhere.gguf")
    assert ModelStore([added]).find(None).id == "default"


def test_a_link_to_a_blob_without_a_name_is_called_as_the_link(shipped: Path, added: Path) -> None:
    (added / "blobs").mkdir()
    tiny_model().write(added / "blobs/sha256-00")
    (added / "poet.gguf").symlink_to("blobs/sha256-00")
    (added / "default.gguf").symlink_to("poet.gguf")
    store = ModelStore([shipped, added])
    assert list(store.scan().models) == ["poet"]
    assert store.find(None).id == "poet"
    (added / "default.gguf").unlink()
    tiny_model().write(shipped / "shipped.gguf")
    (added / "default.gguf").symlink_to(shipped / "shipped.gguf")
    assert store.find(None).id == "shipped"


def test_a_default_whose_model_is_gone_leaves_the_shipped_one(shipped: Path, added: Path) -> None:
    tiny_model().write(shipped / "shipped.gguf")
    (shipped / "default.gguf").symlink_to("shipped.gguf")
    (added / "default.gguf").symlink_to("gone.gguf")
    assert ModelStore([shipped, added]).find(None).id == "shipped"


def test_a_single_model_is_the_default_by_itself(added: Path) -> None:
    tiny_model().write(added / "only.gguf")
    assert ModelStore([added]).find(None).id == "only"


def test_several_models_without_a_default_are_a_question(added: Path) -> None:
    tiny_model().write(added / "a.gguf")
    tiny_model().write(added / "b.gguf")
    with pytest.raises(ModelError, match=r"available: a, b.*default\.gguf"):
        ModelStore([added]).find(None)


def test_an_empty_or_missing_directory_says_where_a_model_goes(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=str(tmp_path / "none" / "default.gguf")):
        ModelStore([tmp_path / "none"]).find(None)


def test_a_damaged_file_alone_is_told_as_the_reason(added: Path) -> None:
    (added / "default.gguf").write_bytes(b"zip")
    with pytest.raises(ModelError, match="not a GGUF file"):
        ModelStore([added]).find(None)


def test_an_unknown_name_lists_the_known_ones(added: Path) -> None:
    tiny_model().write(added / "only.gguf")
    with pytest.raises(ModelNotFound, match=r"'gpt-4' \(available: only\)"):
        ModelStore([added]).find("gpt-4")


def test_other_files_are_no_models(added: Path) -> None:
    (added / "model.bin").write_bytes(b"x")
    (added / "dir.gguf").mkdir()
    (added / "dangling.gguf").symlink_to("nowhere")
    assert not ModelStore([added]).scan().models


def test_a_model_shows_its_own_keys(added: Path) -> None:
    tiny_model(extra={"llmos.plan.words": "list disk"}).write(added / "only.gguf")
    wire = ModelStore([added]).find(None).wire
    assert wire.meta == {"llmos.plan.slots": "1", "llmos.plan.words": "list disk"}
    assert wire.created > 0


def test_a_file_that_was_replaced_is_read_again(added: Path) -> None:
    store = ModelStore([added])
    (added / "m.gguf").write_bytes(b"broken")
    assert store.scan().faults
    tiny_model().write(added / "new")
    (added / "new").rename(added / "m.gguf")
    assert store.find("m").id == "m"


@pytest.mark.parametrize(
    ("key", "value"),
    [("tokenizer.chat_template", "x" * 300_000), ("general.architecture", 3)],
)
def test_a_header_with_impossible_values_is_no_model(
    added: Path, key: str, value: str | int
) -> None:
    tiny_model(extra={key: value}).write(added / "m.gguf")
    assert key in str(ModelStore([added]).scan().faults[0])
