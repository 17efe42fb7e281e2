"""How answers of the built-in model are graded."""

import json

import pytest

from llmos_shell.literals import encode
from model.evaluate import Item, command_of, evaluate, same_command

WORDS = frozenset(["show", "free", "space"])


class Parrot:
    """A model that always gives one answer."""

    def __init__(self, answer: str) -> None:
        self.words = WORDS
        self._answer = answer

    async def answer(self, text: str) -> str:
        return self._answer


async def test_the_report_counts_right_answers_by_intent() -> None:
    items = [
        Item("free space", "disk_free", ("df -h", "df")),
        Item("show /etc/hosts", "view", ("cat /etc/hosts",)),
        Item("hello", "none", ("",)),
    ]
    report = await evaluate(items, Parrot(json.dumps({"say": "x", "command": "cat <path1>"})))
    assert report.by_intent() == {"disk_free": (0, 1), "view": (1, 1), "none": (0, 1)}
    assert report.accuracy == pytest.approx(1 / 3)
    assert json.loads(report.as_json())["right"] == 1
    assert "right: 1 of 3 (33.3 %)" in report.as_text(show_wrong=True)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("ls -l 'a b'", 'ls -l "a b"', True),
        ("df -h", "df  -h", True),
        ("find . -name '*.py'", "find . -name \\*.py", True),
        ("ls -l a b", "ls -l 'a b'", False),
        ("df", "df -h", False),
        ("", "", True),
        ("", "df", False),
        ("echo 'a", "echo 'a", True),
    ],
)
def test_commands_are_compared_without_their_quoting(one: str, other: str, same: bool) -> None:
    assert same_command(one, other) is same


@pytest.mark.parametrize(
    "answer", ["no json", "[]", "{}", '{"command": 3}', '{"command": "cat <path9>"}']
)
def test_an_answer_without_a_command_is_wrong_and_no_crash(answer: str) -> None:
    assert command_of(answer, encode("show x", WORDS)).startswith("# no command")
