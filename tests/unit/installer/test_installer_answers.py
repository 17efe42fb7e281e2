"""The answer file: strict, all faults at once, and no erasing without the disk's own name."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos_installer import settings
from llmos_installer.answers import After, Answers, Match, parse
from llmos_installer.disks import Disk
from llmos_installer.errors import BadAnswers, BadInput
from llmos_installer.keys import hash_password, new_recovery_key
from llmos_installer.plan import Encryption
from tests.unit.installer.fake_machine import GB, SMALL

HASH = hash_password("correct horse")
WHOLE = f"""
erase = "S4EW"
after = "poweroff"
[target]
match = "serial"
value = "S4EW"
again = true
[encryption]
kind = "passphrase"
key = "correct horse"
[system]
hostname = "engine"
locale = "C.UTF-8"
keymap = "de"
timezone = "Europe/Berlin"
[user]
name = "ada"
full_name = "Ada Lovelace"
password_hash = "{HASH}"
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The image's root, with one keyboard and one time zone."""
    for name in ("usr/share/keymaps/i386/qwertz/de.map.gz", "usr/share/zoneinfo/Europe/Berlin"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("llmos:x:1000:1000::/home:/bin/bash\n")
    return tmp_path


def faults(text: str, root: Path) -> tuple[str, ...]:
    with pytest.raises(BadAnswers) as caught:
        parse(text, "answers.toml", root)
    assert caught.value.exit_code == 2
    return caught.value.faults


def test_a_whole_file_is_understood(root: Path) -> None:
    found = parse(WHOLE, "x", root)
    assert (found.erase, found.match, found.value, found.again) == (
        "S4EW",
        Match.SERIAL,
        "S4EW",
        True,
    )
    assert (found.after, found.encryption, found.key) == (
        After.POWEROFF, Encryption.PASSPHRASE, "correct horse",
    )  # fmt: skip
    assert found.settings.timezone == "Europe/Berlin"
    assert found.settings.user == settings.User("ada", HASH, "Ada Lovelace")
    assert "correct horse" not in repr(found)


def test_json_says_the_same_as_toml(root: Path) -> None:
    given_as_json = {"erase": "vda", "target": {"match": "only"}}
    assert parse(json.dumps(given_as_json), "x", root) == parse(
        'erase = "vda"\ntarget.match = "only"\n', "x", root
    )


def test_every_fault_is_named_at_once(root: Path) -> None:
    text = """
    after = "sleep"
    colour = "blue"
    [target]
    match = "serial"
    again = "yes"
    [encryption]
    kind = "tpm2"
    key = "short"
    [system]
    hostname = "My Machine"
    locale = "xx_YY.UTF-8"
    keymap = "klingon"
    timezone = "../../etc/passwd"
    [user]
    name = "llmos"
    password_hash = "plain text"
    """
    found = "\n".join(faults(text, root))
    for path in (
        "colour: unknown", "erase: is missing", "after: unknown 'sleep' (one of: reboot, poweroff)",
        "target.value: is missing", "target.again: is neither", "encryption.key: is no recovery",
        "system.hostname:", "system.locale:", "system.keymap:", "system.timezone:",
        "user.name: 'llmos' is taken", "user.password_hash: is no hash",
    ):  # fmt: skip
        assert path in found


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("erase = [", "Invalid value"),
        ('{"erase": }', "Expecting value"),
        ('erase = 1\ntarget.match = "only"', "erase: is no text"),
        ('erase = "a"\ntarget = "sda"', "target: is no table"),
        ('erase = "a"', "target.match: is missing"),
        ('erase = "a"\ntarget = {match = "only", value = "b"}', "target.value: goes with"),
        ('erase = "a"\ntarget.match = "only"\nencryption.key = "abcdefgh"', "goes with kind"),
        (
            'erase = "a"\ntarget.match = "only"\nencryption.kind = "tpm2"',
            "encryption.key: is missing",
        ),
    ],
)
def test_what_is_not_right_is_named_by_its_path(text: str, fault: str, root: Path) -> None:
    assert fault in "\n".join(faults(text, root))


@given(st.text())
def test_no_text_at_all_makes_it_stumble(text: str) -> None:
    with contextlib.suppress(BadAnswers):
        parse(text, "x", Path("/nonexistent"))


def a_disk(name: str, serial: str = "", **facts: object) -> Disk:
    return Disk(name, Path("/dev", name), 64 * GB, serial=serial, **facts)  # type: ignore[arg-type]


STICK = a_disk("sdb", "STICK", booted_from=True, uses=("sdb1 is used by root",))


def test_the_only_disk_is_the_only_one_that_can_be(root: Path) -> None:
    answers = Answers("sda", Match.ONLY)
    assert answers.choices([a_disk("sda"), STICK], SMALL).disk == "sda"
    for others in ([STICK], [a_disk("sda"), a_disk("sdc"), STICK], []):
        with pytest.raises(BadInput, match="exactly one disk"):
            answers.choices(others, SMALL)


def test_a_disk_is_found_by_serial_number_and_by_id() -> None:
    disks = [a_disk("sda", "A1"), a_disk("sdc", "C3", ids=("ata-WDC_C3", "wwn-0x5"))]
    assert Answers("A1", Match.SERIAL, "A1").choices(disks, SMALL).disk == "sda"
    assert Answers("sdc", Match.ID, "wwn-0x5").choices(disks, SMALL).disk == "sdc"


@pytest.mark.parametrize("consent", ["sdc", "sd", "A2", "yes", "a1"])
def test_the_consent_must_name_the_very_disk(consent: str) -> None:
    with pytest.raises(BadInput, match=r"is not sda and not its serial number A1"):
        Answers(consent, Match.ONLY).choices([a_disk("sda", "A1")], SMALL)


def test_a_recovery_key_is_accepted_as_it_is_printed(root: Path) -> None:
    key = new_recovery_key()
    text = f'erase="a"\ntarget.match="only"\nencryption={{kind="tpm2", key="{key}"}}'
    assert parse(text, "x", root).key == key
