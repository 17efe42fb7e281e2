"""The tokenizer of the built-in model."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model import bpe, tokenizer
from model.bpe import Bpe
from model.data import plan_text
from model.intents import INTENTS

BYTES = tuple(bpe.alphabet()[byte] for byte in range(256))
MERGES = (("Ġ", "f"), ("i", "l"), ("il", "e"), ("Ġf", "ile"))
SMALL = Bpe((*BYTES, *("".join(pair) for pair in MERGES)), MERGES)
ADDED = (*tokenizer.CONTROL, *tokenizer.slot_tokens(), *tokenizer.plan_parts())
PLANS = tokenizer.PlanTokenizer(ADDED, SMALL)

any_text = st.text(st.characters(exclude_categories=["Cs"]))


@given(any_text)
def test_decoding_gives_back_what_was_encoded(text: str) -> None:
    assert SMALL.decode(SMALL.encode(text)) == text
    if not any(control in text for control in tokenizer.CONTROL):
        assert PLANS.decode(PLANS.encode(text)) == text


@given(any_text)
def test_pieces_are_the_text_and_never_empty(text: str) -> None:
    found = list(bpe.pieces(text))
    assert "".join(found) == text
    assert all(found)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("what's in it", ["what", "'s", " in", " it"]),
        (" a  b", [" a", " ", " b"]),
        ("x_1 é!\n", ["x", "_", "1", " é", "!", "\n"]),
        ("  ", ["  "]),
        ("a\n b", ["a", "\n", " b"]),
        ("", []),
    ],
)
def test_texts_are_split_as_gpt_2_does(text: str, pieces: list[str]) -> None:
    assert list(bpe.pieces(text)) == pieces


def test_merges_are_applied_best_first() -> None:
    assert [SMALL.vocabulary[one] for one in SMALL.encode(" file fil")] == ["Ġfile", "Ġf", "il"]


def test_a_tokenizer_survives_being_written(tmp_path: Path) -> None:
    PLANS.save(tmp_path / "tokenizer.json")
    assert tokenizer.load(tmp_path / "tokenizer.json") == PLANS


def test_slots_are_one_token_each_with_and_without_a_space() -> None:
    for slot in ("<path1>", " <path1>", "<str4:lower>", " <other>"):
        assert len(PLANS.encode(slot)) == 1


def test_a_plan_is_a_handful_of_tokens() -> None:
    plan = '{"say": "Show free space on every file system", "command": "df -h"}'
    assert len(PLANS.encode(plan)) == 2
    for name, intent in INTENTS.items():
        for form in intent.forms:
            slots = dict.fromkeys(form.roles, "<path1>")
            answer = plan_text(form.say, form.filled(slots))
            assert len(PLANS.encode(answer)) <= 9, name


def test_parts_of_plans_never_take_a_request_apart() -> None:
    # A request holds words, slots and tildes only; a part without other signs would match there.
    for part in tokenizer.plan_parts():
        assert set(part) - set("abcdefghijklmnopqrstuvwxyz' ~"), part


def test_training_learns_what_the_plain_encoder_applies() -> None:
    tokenizers = pytest.importorskip("tokenizers", reason="needs the train extra")
    texts = ["find all files in it", "what's the free space", "list files"] * 5
    learnt = bpe.train(texts, 300)
    reference = tokenizers.Tokenizer(
        tokenizers.models.BPE(
            vocab={token: index for index, token in enumerate(learnt.vocabulary)},
            merges=list(learnt.merges),
        )
    )
    reference.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    for text in (*texts, "What's  new?\n ünï x_1 'll", json.dumps({"a": [1, None]})):
        assert learnt.encode(text) == reference.encode(text).ids
