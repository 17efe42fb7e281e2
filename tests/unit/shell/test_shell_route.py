"""Where a typed line goes."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos_shell.route import Kind, route

NAMES = """
ls find make kill cat which time sudo reboot echo grep git systemctl ip free who date df man cd rm
mv cp touch mkdir top less head tail sort ps wc test [ watch env yes apt install python3 du last
open ping chmod history type sleep
"""
PROGRAMS = frozenset(NAMES.split())
FILES = frozenset({"docs", "README.md", "notes", "Makefile.txt"})


@dataclass
class World:
    """A machine with some programs and some files."""

    programs: frozenset[str] = PROGRAMS
    files: frozenset[str] = FILES

    def is_program(self, name: str) -> bool:
        return name.rpartition("/")[2] in self.programs

    def is_path(self, text: str) -> bool:
        return text in self.files


COMMANDS = """
ls
ls -l
ls docs
find . -name x
find / -type f
find docs
free -h
who
kill 123
kill -9 firefox
kill $(pgrep firefox)
cat notes
cat thing
which python3
sudo reboot
time ls
watch df -h
echo hello to the world
grep -rn foo .
grep foo file.txt
git status
git commit -m 'the thing'
systemctl status ssh
ip address
for i in 1 2; do echo $i; done
FOO=1 ls
x=5
ls | wc -l
head -n 3 README.md
less README.md
touch newfile
mkdir photos
rm foo
cd ..
ps aux | grep init
./ls
(cd docs; ls)
man ls
test -f x
[ -f x ]
du -sh *
python3 -c 'print(1)'
apt install vim
type ls
""".strip().splitlines()

REQUESTS = """
how much free disk space is there
find my big files
find photos
find the files > 10 MB
find files > 10MB
find bob's files
free memory
who is logged in
make a folder called photos
kill the firefox process
kill firefox
cat the notes
which file is biggest
which process uses the most memory
sudo make me a sandwich
time flies
grep the logs for errors
ip address of this machine
if i delete this will it break
sort the files by size & date
what time is it
tail of the log
ping the router
rm the old files
copy a to b
cp file.txt to /tmp
df on my disk?
cd to the docs folder
less is more
open the door
show me everything
Find my files
who?
""".strip().splitlines()


@pytest.mark.parametrize("line", COMMANDS)
def test_a_line_that_is_plainly_a_command_runs(line: str) -> None:
    assert route(line, World()).kind is Kind.COMMAND


@pytest.mark.parametrize("line", REQUESTS)
def test_a_line_that_reads_like_a_sentence_goes_to_the_model(line: str) -> None:
    assert route(line, World()).kind is Kind.REQUEST


def test_a_mark_decides_whatever_the_line_looks_like() -> None:
    assert route("!find my big files", World()).kind is Kind.COMMAND
    assert route("!find my big files", World()).text == "find my big files"
    assert route("? ls -l", World()).kind is Kind.REQUEST
    assert route("? ls -l", World()).text == "ls -l"


def test_two_marks_ask_for_the_whole_terminal() -> None:
    decided = route("!!ls", World())
    assert decided.kind is Kind.COMMAND
    assert decided.whole_terminal
    assert not route("!ls", World()).whole_terminal


@pytest.mark.parametrize("line", ["yes", "y", "no", "Yes", " yes "])
def test_an_answer_without_a_question_never_runs_the_program_of_that_name(line: str) -> None:
    assert route(line, World()).kind is Kind.STRAY


def test_a_marked_yes_is_the_program() -> None:
    assert route("!yes", World()).kind is Kind.COMMAND


@pytest.mark.parametrize("line", ["", "   ", "!", "?", "!!", "! "])
def test_an_empty_line_is_nothing(line: str) -> None:
    assert route(line, World()).kind is Kind.NOTHING


def test_exit_leaves() -> None:
    assert route("exit", World()).kind is Kind.LEAVE
    assert route("exit 3", World()).kind is not Kind.LEAVE


def test_a_file_of_that_name_makes_a_word_an_argument() -> None:
    assert route("mv a b", World(files=frozenset({"a"}))).kind is Kind.COMMAND


def test_a_command_whose_program_is_not_here_is_a_request_that_says_so() -> None:
    assert route("nano notes.txt", World()).missing == "nano"
    assert route("htop", World()).missing == "htop"
    assert not route("show me everything", World()).missing
    assert not route("ls -l", World()).missing


def test_make_takes_targets_where_there_is_a_makefile() -> None:
    assert route("make test", World()).kind is Kind.REQUEST
    assert route("make test", World(files=frozenset({"Makefile"}))).kind is Kind.COMMAND


@given(st.text(max_size=60))
def test_any_line_has_a_route(line: str) -> None:
    decided = route(line, World())
    assert decided.kind in Kind
    assert decided.text in line


@given(st.text(max_size=40))
def test_a_line_whose_first_word_is_no_program_never_runs_unmarked(line: str) -> None:
    decided = route(line, World(programs=frozenset()))
    if decided.kind is Kind.COMMAND:
        assert line.strip().startswith("!") or "=" in line or ";" in line or ")" in line
