"""Training and export, on networks so small that they take seconds."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
gguf = pytest.importorskip("gguf", reason="needs the train extra")

from llmos_shell.literals import words_of  # noqa: E402 (after the skip)
from model import export, tokenizer, train  # noqa: E402
from model.data import Generator  # noqa: E402
from model.network import Network, Shape  # noqa: E402
from model.tokenizer import PlanTokenizer  # noqa: E402

RECIPE = train.Recipe(steps=20, batch=32, pool=2, warm_up=5)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def plans() -> PlanTokenizer:
    examples = itertools.islice(Generator(5).examples(), 500)
    return tokenizer.train((one.slotted.text for one in examples), 1024)


def small(plans: PlanTokenizer) -> Shape:
    return Shape(len(plans.tokens), width=64, layers=2, heads=2, inner=96)


def trained(plans: PlanTokenizer) -> tuple[Network, list[train.Progress]]:
    reports: list[train.Progress] = []
    network = train.train(small(plans), RECIPE, Generator(5), plans, reports.append)
    return network, reports


def test_the_loss_falls_and_the_same_seed_gives_the_same_weights(plans: PlanTokenizer) -> None:
    batch = next(train.batches(Generator(6), plans, RECIPE))
    torch.manual_seed(RECIPE.seed)
    untrained = train.loss_of(Network(small(plans)), batch).item()
    one, reports = trained(plans)
    assert train.loss_of(one, batch).item() < untrained - 1
    assert reports[-1].step == RECIPE.steps
    assert reports[-1].tokens_per_second > 0
    other, _ = trained(plans)
    for name, weights in one.state_dict().items():
        assert torch.equal(weights, other.state_dict()[name]), name


def test_only_the_answer_counts_in_full(plans: PlanTokenizer) -> None:
    batch = next(train.batches(Generator(6), plans, RECIPE))
    end = plans.encode(tokenizer.END)[0]
    for targets, weights in zip(batch.targets, batch.weights, strict=True):
        counted = targets[weights == 1.0].tolist()
        assert counted[-1] == end
        assert plans.decode(counted[:-1]).startswith('{"say": "')


def test_weights_survive_being_written(plans: PlanTokenizer, tmp_path: Path) -> None:
    network = Network(small(plans))
    train.save(network, tmp_path / "weights.pt")
    prompt = plans.encode(tokenizer.prompt_text("how much free space is there"))
    read = train.load(tmp_path / "weights.pt")
    assert read.complete(prompt, end=1, limit=5) == network.complete(prompt, end=1, limit=5)


def test_the_gguf_has_everything_that_the_network_has(plans: PlanTokenizer, tmp_path: Path) -> None:
    network, words = Network(small(plans)), frozenset(["free", "space", "error+"])
    path = tmp_path / "model.gguf"
    export.export(network, plans, words, "test", path)
    assert words_of(export.metadata(path)) == words
    reader = gguf.GGUFReader(path)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    assert fields["general.architecture"] == "llama"
    assert fields["general.license"] == "MIT"
    assert tuple(fields["tokenizer.ggml.tokens"]) == plans.tokens
    assert fields["tokenizer.ggml.merges"] == [" ".join(pair) for pair in plans.bpe.merges]
    assert fields["tokenizer.chat_template"] == tokenizer.CHAT_TEMPLATE
    assert len(reader.tensors) == len(network.state_dict())
    for tensor in reader.tensors:
        restored = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        original = dict(export.tensors(network))[tensor.name]
        # Q8_0 keeps eight bits of every 32 weights.
        assert abs(restored - original).max() <= abs(original).max() / 127
