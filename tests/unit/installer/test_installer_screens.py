"""The installation as a person sees it: 80 by 24, eight colours, ASCII; and line by line."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.events import Key
from textual.pilot import Pilot

from llmos_installer.app import InstallApp
from llmos_installer.disks import Disk, Partition
from llmos_installer.errors import InstallerError, Interrupted
from llmos_installer.interview import Facts, Interview, Refused
from llmos_installer.lines import Lines
from llmos_installer.plan import Encryption, InstallPlan
from llmos_installer.progress import Progress, Report, Stage
from tests.unit.installer.fake_machine import GB, SMALL

PATIENCE = 20.0
KEY = "-".join(["cbdefghi"] * 8)
DISKS = (
    Disk("nvme0n1", Path("/dev/nvme0n1"), 512 * GB, "Samsung SSD 980", transport="nvme",
         partitions=(Partition("nvme0n1p1", 500 * GB, "Windows", "ntfs"),)),
    Disk("sda", Path("/dev/sda"), 16 * GB, "Stick", transport="usb", removable=True,
         booted_from=True, uses=("sda3 is used by root",)),
    Disk("sdb", Path("/dev/sdb"), 2 * GB, "Old disk", transport="sata"),
    Disk("vda", Path("/dev/vda"), 64 * GB, "virtual disk", transport="virtio"),
)  # fmt: skip


def interview(*, has_tpm: bool = False, disks: tuple[Disk, ...] = DISKS) -> Interview:
    facts = Facts(
        disks, SMALL, has_tpm, frozenset({"llmos"}), lambda text: f"hash of {text}", lambda: KEY
    )
    return Interview(facts)


def answered(asked: Interview, *answers: str) -> InstallPlan:
    for answer in answers:
        asked.answer(answer)
    assert asked.question is None
    return asked.plan


# The questions themselves


def test_the_shortest_way_is_four_answers() -> None:
    agreed = answered(interview(), "vda", "none", "", "vda")
    assert (agreed.disk.name, agreed.choices.encryption) == ("vda", Encryption.NONE)
    assert agreed.choices.settings.user is None


def test_a_disk_that_cannot_be_chosen_says_why() -> None:
    asked = interview()
    for name, why in (("sda", "started from it"), ("sdb", "too small"), ("sdz", "none of them")):
        with pytest.raises(Refused, match=why):
            asked.answer(name)
    assert asked.question is not None


def test_with_a_tpm_the_recovery_key_must_be_typed_back_before_anything_is_erased() -> None:
    asked = interview(has_tpm=True)
    asked.answer("vda")
    asked.answer("tpm2")
    assert asked.question is not None
    assert "cbdefghi-cbdefghi" in "\n".join(asked.question.text)
    with pytest.raises(Refused, match="another key"):
        asked.answer(KEY[:-1])
    agreed = answered(asked, KEY.upper().replace("-", ""), "", "vda")
    assert (agreed.choices.encryption, agreed.choices.key) == (Encryption.TPM2, KEY)


def test_without_a_tpm_a_passphrase_is_typed_twice() -> None:
    asked = interview()
    asked.answer("vda")
    asked.answer("passphrase")
    with pytest.raises(Refused, match="5 letters"):
        asked.answer("short")
    asked.answer("correct horse")
    with pytest.raises(Refused, match="not the same"):
        asked.answer("correct house")
    agreed = answered(asked, "correct horse", "correct horse", "", "vda")
    assert agreed.choices.key == "correct horse"


def test_a_user_is_asked_for_a_password() -> None:
    asked = interview()
    asked.answer("vda")
    asked.answer("none")
    with pytest.raises(Refused, match="taken"):
        asked.answer("llmos")
    agreed = answered(asked, "ada", "correct horse", "correct horse", "vda")
    user = agreed.choices.settings.user
    assert user is not None
    assert (user.name, user.password_hash) == ("ada", "hash of correct horse")


@pytest.mark.parametrize("typed", ["", "y", "yes", "VDA", "vd", "sda", "nvme0n1"])
def test_only_the_disks_own_name_confirms(typed: str) -> None:
    asked = interview()
    for answer in ("vda", "none", ""):
        asked.answer(answer)
    with pytest.raises(Refused, match="nothing is erased"):
        asked.answer(typed)


def test_going_back_forgets_one_answer_after_the_other() -> None:
    asked = interview()
    for answer in ("nvme0n1", "passphrase", "correct horse"):
        asked.answer(answer)
    assert [asked.back() for _ in range(4)] == [True, True, True, False]
    assert answered(asked, "vda", "none", "", "vda").disk.name == "vda"


# On full screens


class Person:
    """Presses keys, and looks at the screen."""

    def __init__(self, app: InstallApp, pilot: Pilot[InstallerError | None]) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def screen(self) -> str:
        rows = self.app.screen._compositor.render_strips()
        return "\n".join("".join(s.text for s in row).rstrip() for row in rows)

    async def types(self, text: str) -> None:
        await self.pilot.press(*text, "enter")

    async def sees(self, *texts: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                while not all(text in self.screen for text in texts):
                    await self.pilot.pause(0.02)
        except TimeoutError:
            pytest.fail(f"not seen: {texts}; the screen shows:\n{self.screen}")


def all_well(plan: InstallPlan, report: Report) -> None:
    for stage in Stage:
        report(Progress(stage, 50, 100 if stage is Stage.COPY else 0))


@asynccontextmanager
async def seated(app: InstallApp) -> AsyncIterator[Person]:
    async with app.run_test(size=(80, 24)) as pilot:
        yield Person(app, pilot)


def an_app(asked: Interview | None = None, work: object = all_well) -> InstallApp:
    return InstallApp(asked or interview(), work, driver=None)  # type: ignore[arg-type]


async def test_from_the_first_question_to_the_end() -> None:
    app = an_app()
    async with seated(app) as person:
        await person.sees("Install to which disk?", "Samsung SSD 980", "started from it")
        await person.pilot.press("down", "enter")
        await person.sees("Encrypt your data?")
        await person.pilot.press("enter")
        await person.sees("Name of the first user")
        await person.types("")
        await person.sees("vda: 64 GB", "ERASED", "Type vda")
        await person.types("yes")
        await person.sees("That is not vda: nothing is erased.")
        # All at once, as from somebody who types ahead of a slow machine.
        for key in (*["backspace"] * 3, *"vda", "enter"):
            app.post_message(Key(key, key if len(key) == 1 else None))
        await person.sees("Copying the system - done", "Installed", "Remove the stick")
        await person.pilot.press("enter")
    assert app.return_value is None


async def test_the_disk_that_it_was_booted_from_cannot_even_be_reached() -> None:
    async with seated(an_app()) as person:
        await person.sees("Install to which disk?")
        for _ in range(6):
            await person.pilot.press("down")
            await person.pilot.press("enter")
            assert "Encrypt your data?" in person.screen
            await person.pilot.press("escape")
            await person.sees("Install to which disk?")


async def test_what_is_lost_is_shown_before_it_is_confirmed() -> None:
    async with seated(an_app()) as person:
        await person.sees("Install to which disk?")
        await person.pilot.press("enter", "enter", "enter")
        await person.sees("Everything on nvme0n1: 512 GB", 'nvme0n1p1, 500 GB, ntfs "Windows"')


async def test_secrets_are_not_shown() -> None:
    async with seated(an_app()) as person:
        await person.sees("Install to which disk?")
        await person.pilot.press("enter", "down", "enter")
        await person.sees("Passphrase for your data")
        await person.pilot.press(*"secret")
        assert "secret" not in person.screen


async def test_escape_goes_back_and_ctrl_c_leaves() -> None:
    app = an_app()
    async with seated(app) as person:
        await person.sees("Install to which disk?")
        await person.pilot.press("enter")
        await person.sees("Encrypt your data?")
        await person.pilot.press("escape")
        await person.sees("Install to which disk?")
        await person.pilot.press("escape")
        await person.sees("This is the first question")
        await person.pilot.press("ctrl+c")
    assert isinstance(app.return_value, Interrupted)


async def test_a_failure_is_told_in_full_and_leads_back() -> None:
    def fail(plan: InstallPlan, report: Report) -> None:
        report(Progress(Stage.COPY, 30, 100))
        error = InstallerError("the disk is broken", hint="Use another one.")
        error.add_note("vda has no partition table now")
        raise error

    app = an_app(work=fail)
    async with seated(app) as person:
        await person.sees("Install to which disk?")
        await person.pilot.press("enter", "enter", "enter")
        await person.types("nvme0n1")
        await person.sees("the disk is broken", "no partition table", "Use another one.")
        await person.sees("[###############...................................]  30 %")
        await person.pilot.press("enter")
    assert isinstance(app.return_value, InstallerError)


async def test_ctrl_c_stops_an_installation_that_goes_on() -> None:
    def endless(plan: InstallPlan, report: Report) -> None:
        while True:
            report(Progress(Stage.COPY, 1, 100))

    app = an_app(work=endless)
    async with seated(app) as person:
        await person.sees("Install to which disk?")
        await person.pilot.press("enter", "enter", "enter")
        await person.types("nvme0n1")
        await person.sees("Copying the system")
        await person.pilot.press("ctrl+c")
        await person.sees("interrupted; nvme0n1", "Press Enter")


async def test_every_screen_is_of_ascii_and_fits() -> None:
    many = tuple(Disk(f"sd{c}", Path("/dev/sdx"), 64 * GB, "Disk " * 8) for c in "abcdefghijklmnop")
    async with seated(an_app(interview(has_tpm=True, disks=many))) as person:
        await person.sees("Install to which disk?", "Enter: go on")
        for keys in (["enter"], ["down", "enter"], [*KEY, "enter"], ["enter"]):
            assert person.screen.isascii()
            await person.pilot.press(*keys)
        await person.sees("Type sda to erase it", "Enter: go on")
        assert person.screen.isascii()


# Line by line


class Dialogue:
    """Answers from a list; keeps what was said."""

    def __init__(self, *answers: str) -> None:
        self._answers: Iterator[str] = iter(answers)
        self.said: list[str] = []
        self.lines = Lines(self.said.append, self._next, self._next)

    def _next(self, prompt: str) -> str:
        answer = next(self._answers, None)
        if answer is None:
            raise EOFError
        return answer


def test_line_by_line_it_asks_the_same() -> None:
    dialogue = Dialogue("2", "4", "<", "4", "1", "", "no", "vda")
    agreed = dialogue.lines.interview(interview())
    assert agreed.disk.name == "vda"
    said = "\n".join(dialogue.said)
    assert " -  sda: 16 GB, Stick (usb removable) -- not possible: this system was started" in said
    assert "! sda cannot be chosen" in said
    assert "! That is not vda: nothing is erased." in said


@pytest.mark.parametrize("answers", [(), ("<",), ("4", "1")])
def test_leaving_changes_nothing(answers: tuple[str, ...]) -> None:
    with pytest.raises(Interrupted, match="nothing was changed"):
        Dialogue(*answers).lines.interview(interview())


def test_progress_is_a_line_for_each_tenth() -> None:
    dialogue = Dialogue()
    for done in range(101):
        dialogue.lines.report(Progress(Stage.COPY, done, 100))
    dialogue.lines.report(Progress(Stage.DONE, note="a remark"))
    assert len(dialogue.said) == 13
    assert dialogue.said[-3:] == ["Copying the system 100 %", "Installed", "a remark"]
