"""What becomes of the names, paths and sizes in a request, there and back."""

from __future__ import annotations

import os
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos_shell.literals import (
    Kind,
    Literal,
    SlotPlaceError,
    UnknownSlotError,
    encode,
    fill,
    fill_text,
    words_of,
)

if TYPE_CHECKING:
    from pathlib import Path

KNOWN = """how much free disk space is there find files over in a folder called make the of show
last days lines and than older delete directory memory on this computer what's my log weeks top
processes hours for word search photos to copy ending with"""
WORDS = frozenset(KNOWN.split())

# Anything that can be typed on one line and passed as an argument.
typed_text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


def slotted(request: str) -> tuple[str, dict[str, str]]:
    found = encode(request, WORDS)
    return found.text, {name: literal.value for name, literal in found.literals.items()}


def literal(kind: Kind, value: str) -> Literal:
    return Literal(kind, value, value)


def arguments(command: str, where: Path) -> list[str]:
    """Return the arguments that a real bash passes on to a printf that ends each with NUL."""
    done = subprocess.run(
        ["bash", "--norc", "-c", command],
        cwd=where,
        env={"HOME": "/home/somebody", "PATH": os.environ["PATH"]},
        capture_output=True,
        check=True,
        timeout=20,
    )
    return done.stdout.decode("utf-8").split("\0")[:-1]


@pytest.mark.parametrize(
    ("request_", "text", "values"),
    [
        ("How much free disk space is there?", "how much free disk space is there", {}),
        (
            "find files over 10 MB in ~/src",
            "find files over <size1> in <path1> ~ folder",
            {"size1": "10M", "path1": "~/src"},
        ),
        ("what's in /etc?", "what's in <path1> ~ folder", {"path1": "/etc"}),
        ("show notes.txt.", "show <path1>", {"path1": "notes.txt"}),
        ("show .bashrc, please", "show <path1> <str1>", {"path1": ".bashrc", "str1": "please"}),
        ('find "my file"', "find <str1>", {"str1": "my file"}),
        ("find “my file”", "find <str1>", {"str1": "my file"}),
        ("find ‘my file’", "find <str1>", {"str1": "my file"}),
        ("find 'it's'", "find <str1>", {"str1": "it's"}),
        ("find files in '/srv/My Files'", "find files in <path1>", {"path1": "/srv/My Files"}),
        ("find *.py", "find <glob1>", {"glob1": "*.py"}),
        ("find file?.txt", "find <glob1>", {"glob1": "file?.txt"}),
        ("show google.com", "show <host1>", {"host1": "google.com"}),
        (
            "show 10.0.0.1 and ::1",
            "show <host1> and <host2>",
            {"host1": "10.0.0.1", "host2": "::1"},
        ),
        ("show https://debian.org/a?b", "show <host1>", {"host1": "debian.org"}),
        ("show script.sh", "show <path1>", {"path1": "script.sh"}),
        ("older than two weeks", "older than <num1> weeks", {"num1": "2"}),
        ("last 24h", "last <num1> hours", {"num1": "24"}),
        ("top five processes", "top <num1> processes", {"num1": "5"}),
        ("nginx's log", "<str1> log", {"str1": "nginx"}),
        ("find in $HOME/src", "find in <path1> ~ folder", {"path1": "~/src"}),
        ("find .log files", "find <str1> files", {"str1": "log"}),
        ("files ending in .foo", "files ending in <str1>", {"str1": "foo"}),
        ("copy a.txt to b.txt", "copy <path1> to <path2>", {"path1": "a.txt", "path2": "b.txt"}),
        ("copy a.txt to a.txt", "copy <path1> to <path1>", {"path1": "a.txt"}),
    ],
)
def test_literals_become_typed_slots(request_: str, text: str, values: dict[str, str]) -> None:
    assert slotted(request_) == (text, values)


@pytest.mark.parametrize(
    ("typed", "size"),
    [
        ("10MB", "10M"),
        ("10 MB", "10M"),
        ("100 megabytes", "100M"),
        ("2 gigabytes", "2G"),
        ("2gb", "2G"),
        ("a gigabyte", "1G"),
        ("half a gig", "512M"),
        ("1.5 GB", "1536M"),
        ("1,5 GB", "1536M"),
        ("1,500 KB", "1500k"),
        ("500k", "500k"),
        ("1 TB", "1024G"),
        ("300 bytes", "300c"),
        ("0.3 KB", "307c"),
    ],
)
def test_sizes_are_written_as_find_takes_them(typed: str, size: str) -> None:
    assert slotted(f"files over {typed} in /srv")[1] == {"size1": size, "path1": "/srv"}


def test_a_size_to_stay_below_is_written_in_a_finer_unit() -> None:
    for size, below in (("2G", "2048M"), ("1k", "1024c"), ("10k", "10k"), ("300c", "300c")):
        slots = {"size1": literal(Kind.SIZE, size)}
        assert fill("find . -size -<size1>", slots) == f"find . -size -{below}"
        assert fill("find . -size +<size1>", slots) == f"find . -size +{size}"


@pytest.mark.parametrize(
    "request_",
    [
        "remove the directory memory",
        "rename memory to disk",
        "search for memory in /etc",
        "make a memory folder",
    ],
)
def test_a_known_word_where_names_stand_is_given_as_name_and_as_word(request_: str) -> None:
    values = slotted(request_)[1].values()
    assert {"memory", "disk"} & set(values)


def test_a_known_word_after_called_is_a_name() -> None:
    assert slotted("make a folder called photos")[1] == {"str1": "photos"}
    assert slotted("search for the word log in /etc")[1] == {"str1": "log", "path1": "/etc"}


def test_a_lone_capital_in_mid_sentence_is_given_as_name_and_as_word() -> None:
    assert slotted("show the Photos of this") == (
        "show the <str1> ~ photos of this",
        {"str1": "Photos"},
    )
    assert slotted("Show The Photos Of This")[1] == {}


def test_a_typing_error_is_given_as_name_and_as_the_word_it_may_be() -> None:
    assert slotted("make a fodler") == ("make a <str1> ~ folder", {"str1": "fodler"})


def test_hyphenated_known_words_are_given_as_name_and_as_words() -> None:
    assert slotted("how much disk-space")[0] == "how much <str1> ~ disk space"


def test_a_word_that_the_model_marks_is_given_as_name_and_as_word() -> None:
    found = encode("search for Error in a.b.c", WORDS | {"error+"})
    assert found.text == "search for <str1> ~ error in <path1>"
    assert found.literals["str1"].value == "Error"


def test_the_form_of_a_path_tells_files_from_folders() -> None:
    words = WORDS | {"file", "archive+"}
    assert encode("show ~/a.tar.gz", words).text == "show <path1> ~ archive"
    assert encode("show ~/a.txt", words).text == "show <path1> ~ file"
    assert encode("show /srv/a/", words).text == "show <path1> ~ folder"
    assert encode("show /srv/a", words).text == "show <path1>"


def test_plural_and_upper_case_extensions_become_extensions() -> None:
    assert slotted("find pdfs")[1] == {"str1": "pdf"}
    assert slotted("find PDF files")[1] == {"str1": "pdf"}
    assert slotted("find PDF")[1] == {"str1": "PDF"}


def test_the_fifth_unknown_word_has_no_slot() -> None:
    assert slotted("alpha beta gamma delta epsilon")[0] == "<str1> <str2> <str3> <str4> <other>"


def test_slots_that_a_person_types_are_no_slots() -> None:
    found = encode("show <path1> in /etc", WORDS)
    assert found.text == "show <str1> in <path1> ~ folder"
    assert found.literals["path1"].value == "/etc"


@given(typed_text)
def test_any_request_becomes_known_words_slots_and_marks(request: str) -> None:
    found = encode(request, WORDS)
    for mark in found.text.split():
        name = mark[1:-1]
        assert mark in WORDS or mark in {"~", "<other>"} or name in found.literals
    for slot in found.literals.values():
        assert slot.typed.split()[0] in request


def test_only_a_model_with_slots_has_words() -> None:
    assert words_of({}) is None
    assert words_of({"llmos.plan.slots": "0", "llmos.plan.words": "a b"}) is None
    assert words_of({"llmos.plan.slots": "1", "llmos.plan.words": "a b"}) == frozenset("ab")


@given(typed_text)
@settings(max_examples=150)
def test_bash_gets_exactly_what_was_typed(
    tmp_path_factory: pytest.TempPathFactory, value: str
) -> None:
    empty = tmp_path_factory.mktemp("empty")
    slots = {"str1": literal(Kind.STR, value)}
    places = '-- <str1> \'<str1>\' "<str1>" a<str1>b \'a<str1>b\' "a<str1>b" "$(printf %s <str1>x)"'
    # The last place loses line feeds at the end of a substitution, hence the x.
    expected = [value, value, value, *[f"a{value}b"] * 3]
    printed = arguments(fill(f"printf '%s\\0' {places}", slots), empty)
    dashed = f"./{value}" if value.startswith("-") else value
    assert printed == ["--", *expected, f"{dashed}x"]
    assert not list(empty.iterdir())


@given(typed_text)
def test_shlex_gets_exactly_what_was_typed(value: str) -> None:
    slots = {"str1": literal(Kind.STR, value)}
    assert shlex.split(fill("grep -rn -- '<str1>' .", slots)) == ["grep", "-rn", "--", value, "."]
    assert shlex.split(fill("find . -iname '*<str1>*'", slots))[-1] == f"*{value}*"


@given(st.text("*?[]!^-ab /;$`'\"\\{}~#&|<>()\né ", min_size=1))
@settings(max_examples=150)
def test_a_glob_that_matches_nothing_reaches_the_command_as_typed(
    tmp_path_factory: pytest.TempPathFactory, value: str
) -> None:
    empty = tmp_path_factory.mktemp("empty")
    slots = {"glob1": literal(Kind.GLOB, f"zz{value}")}
    assert arguments(fill("printf '%s\\0' -- <glob1>", slots), empty) == ["--", f"zz{value}"]


def test_a_glob_outside_quotes_stays_a_glob(tmp_path: Path) -> None:
    for name in ("a 1.txt", "b 1.txt", "c.log"):
        (tmp_path / name).touch()
    slots = {"glob1": literal(Kind.GLOB, "[!b] *.txt")}
    assert arguments(fill("printf '%s\\0' <glob1>", slots), tmp_path) == ["a 1.txt"]
    assert arguments(fill("printf '%s\\0' '<glob1>'", slots), tmp_path) == ["[!b] *.txt"]


def test_a_home_directory_stays_one_outside_quotes(tmp_path: Path) -> None:
    slots = {"path1": literal(Kind.PATH, "~/My Files; ls"), "path2": literal(Kind.PATH, "~")}
    command = fill("printf '%s\\0' <path1> <path2>", slots)
    assert arguments(command, tmp_path) == ["/home/somebody/My Files; ls", "/home/somebody"]


def test_a_name_with_a_leading_dash_is_no_option(tmp_path: Path) -> None:
    slots = {"path1": literal(Kind.PATH, "-rf"), "str1": literal(Kind.STR, "-rf")}
    assert fill("rm <path1>", slots) == "rm ./-rf"
    assert fill("rm -r '<str1>'", slots) == "rm -r './-rf'"
    assert fill("grep -rn -- '<str1>' .", slots) == "grep -rn -- '-rf' ."


def test_a_name_can_be_taken_as_debian_writes_names() -> None:
    slots = {"str1": literal(Kind.STR, "Nginx"), "str2": literal(Kind.STR, "NetworkManager")}
    assert fill("systemctl status <str1:lower>", slots) == "systemctl status nginx"
    assert fill("systemctl status <str2:lower>", slots) == "systemctl status NetworkManager"


@pytest.mark.parametrize(
    "command",
    [
        "<str1>",
        "./<str1>",
        "sudo <str1>",
        "sudo -u bob <str1>",
        "timeout 5 <str1>",
        "FOO=bar <str1>",
        "env FOO=bar <str1>",
        "ls; <str1>",
        "ls | <str1>",
        "ls && (<str1>)",
        "if <str1>; then ls; fi",
        "echo `ls <str1>`",
        'echo "`ls <str1>`"',
        "echo $'<str1>'",
        "echo $<str1>",
        'echo "$<str1>"',
        "echo ${<str1>}",
        "echo $((<str1>))",
        "echo \\<str1>",
        "echo # <str1>",
        "cat <<EOF\n<str1>\nEOF",
        "eval echo '<str1>'",
        "bash -c 'ls <str1>'",
        "sudo bash -c 'ls <str1>'",
        "find . -exec sh -c 'ls <str1>' \\;",
        "ls | xargs sh -c '<str1>'",
        "awk '/<str1>/' x",
        "$SHELL -c '<str1>'",
        "ssh example.com '<str1>'",
    ],
)
def test_a_slot_is_refused_where_its_literal_could_be_run(command: str) -> None:
    with pytest.raises(SlotPlaceError, match="<str1>"):
        fill(command, {"str1": literal(Kind.STR, "reboot")})


@pytest.mark.parametrize(
    ("command", "filled"),
    [
        ("sudo systemctl restart <str1>", "sudo systemctl restart 'a b'"),
        ("find . -name '<str1>'", "find . -name 'a b'"),
        ("du -sh <str1> | sort -hr", "du -sh 'a b' | sort -hr"),
        ('x=<str1>; ls "$x"', "x='a b'; ls \"$x\""),
        ("ls > <str1>", "ls > 'a b'"),
        ("> <str1>", "> 'a b'"),
        ("ls 2> <str1>", "ls 2> 'a b'"),
        ("diff <(ls <str1>) x", "diff <(ls 'a b') x"),
        ("nice -n 10 find <str1>", "nice -n 10 find 'a b'"),
        ("ls # a comment\ncat <str1>", "ls # a comment\ncat 'a b'"),
    ],
)
def test_a_slot_is_filled_wherever_it_is_an_argument(command: str, filled: str) -> None:
    assert fill(command, {"str1": literal(Kind.STR, "a b")}) == filled


def test_an_unknown_slot_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(UnknownSlotError, match=r"<path2>.*it has: <path1>"):
        fill("cat <path2>", {"path1": literal(Kind.PATH, "x")})


@given(typed_text, st.text("<>str1 '\"\\$`(){};|&#ab\n", max_size=40))
@settings(max_examples=400)
def test_whatever_the_model_writes_no_slot_is_left_over(value: str, command: str) -> None:
    try:
        filled = fill(command, {"str1": literal(Kind.STR, "v")})
    except (SlotPlaceError, UnknownSlotError):
        return
    assert "<str1>" not in filled


def test_a_sentence_shows_literals_as_typed() -> None:
    slots = {"size1": Literal(Kind.SIZE, "10M", "10 MB")}
    assert fill_text("Find files over <size1> in <path1>", slots) == "Find files over 10 MB in …"
