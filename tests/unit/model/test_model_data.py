"""What the built-in model is trained on."""

import itertools
import subprocess
from pathlib import Path

import pytest

from llmos_shell.literals import fill
from model import evaluate
from model.data import Example, Generator, normal
from model.intents import INTENTS

MODEL = Path(__file__).parents[3] / "image" / "model"


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    return list(itertools.islice(Generator(7).examples(), 8000))


def test_the_same_seed_gives_the_same_data() -> None:
    one, other = Generator(3).examples(), Generator(3).examples()
    assert list(itertools.islice(one, 200)) == list(itertools.islice(other, 200))


def test_every_command_can_be_filled_and_bash_accepts_it(examples: list[Example]) -> None:
    commands = [fill(one.command, one.slotted.literals) for one in examples]
    # One bash reads them all: a command that opens a quote would swallow the ones after it.
    script = "".join(f"{command}\n:\n" for command in commands)
    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_slot_of_a_command_is_in_the_request(examples: list[Example]) -> None:
    for one in examples:
        for name in one.slotted.literals:
            used = f"<{name}>" in one.command or f"<{name}:lower>" in one.command
            assert not used or f"<{name}>" in one.slotted.text.split()


def test_every_form_of_every_intent_is_taught(examples: list[Example]) -> None:
    taught = {(one.intent, one.say, one.command.split(" ")[0]) for one in examples}
    forms = [(name, form) for name, intent in INTENTS.items() for form in intent.forms]
    missing = [
        (name, form.command)
        for name, form in forms
        if (name, form.say, form.command.split(" ")[0]) not in taught
    ]
    assert not missing


def test_what_the_model_says_is_short() -> None:
    for intent in INTENTS.values():
        for form in intent.forms:
            assert len(form.say.split()) <= 8


def test_no_held_out_request_is_ever_generated() -> None:
    held_out = {normal(item.request) for item in evaluate.read(MODEL / "heldout.jsonl")}
    generator = Generator(1, excluded=frozenset(held_out))
    drawn = itertools.islice(generator.examples(), 8000)
    assert not held_out & {normal(one.request) for one in drawn}


def test_development_and_held_out_requests_are_different_ones() -> None:
    held_out = {normal(item.request) for item in evaluate.read(MODEL / "heldout.jsonl")}
    tuned_on = {normal(item.request) for item in evaluate.read(MODEL / "dev.jsonl")}
    assert not held_out & tuned_on


def test_orders_that_are_taken_back_are_taught_as_nothing_to_run(examples: list[Example]) -> None:
    negated = [one for one in examples if one.slotted.text.startswith(("do not ", "never "))]
    assert negated
    assert {one.command for one in negated} == {""}
