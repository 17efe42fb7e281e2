"""The grammar files of the data generator."""

import random
from pathlib import Path

import pytest

from model.grammar import Grammar, GrammarError, load
from model.intents import INTENTS


def written(folder: Path, text: str) -> Grammar:
    (folder / "one.txt").write_text(text)
    return load(folder)


def drawn(grammar: Grammar, intent: str) -> set[str]:
    rng = random.Random(0)  # noqa: S311 (reproducible, not secret)
    return {" ".join(grammar.sample(intent, rng).parts) for _ in range(300)}


def test_alternatives_and_optional_parts_are_all_drawn(tmp_path: Path) -> None:
    grammar = written(tmp_path, "= greet\n(hello|good day) [dear] world\n")
    assert drawn(grammar, "greet") == {
        "hello world",
        "hello dear world",
        "good day world",
        "good day dear world",
    }


def test_classes_stand_for_their_alternatives(tmp_path: Path) -> None:
    grammar = written(tmp_path, "@animal =\n  (cat\n  | dog)\n= see\na @animal\n")
    assert drawn(grammar, "see") == {"a cat", "a dog"}


def test_words_carry_values_and_lines_may_be_orders(tmp_path: Path) -> None:
    grammar = written(tmp_path, "= go\n! go home<path=~>\n")
    phrase = grammar.sample("go", random.Random(0))  # noqa: S311 (see above)
    assert phrase.parts == ["go", "home"]
    assert phrase.values == {"path": "~"}
    assert phrase.is_order


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("= a\nb (c\n", r"one.txt:2: '\(' is never closed"),
        ("= a\nb (c]\n", r"'\(' is closed by '\]'"),
        ("= a\nb )\n", r"unexpected '\)'"),
        ("b\n", "before the first heading"),
        ("= a\n@nowhere\n", "@nowhere is used but never defined"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(GrammarError, match=message):
        written(tmp_path, text)


def test_the_grammar_and_the_table_have_the_same_intents() -> None:
    assert set(load().patterns) == set(INTENTS)


def test_every_intent_has_very_many_phrasings() -> None:
    grammar = load()
    few = {
        name: ways
        for name, patterns in grammar.patterns.items()
        if (ways := sum(grammar.expansions(one.nodes) for one in patterns)) < 1000
    }
    assert not few
