"""What the new system is told, as files; and keys as a person types them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos_installer import settings
from llmos_installer.keys import (
    hash_password,
    is_recovery_key,
    new_recovery_key,
    passphrase_fault,
    same_key,
)
from llmos_installer.settings import Settings, User, stage


def no_user(root: Path, lines: str, password_hash: str) -> None:
    pytest.fail("no user was wanted")


def test_what_is_not_set_stays_as_the_image_has_it(tmp_path: Path) -> None:
    stage(tmp_path / "data", Settings(), tmp_path, no_user)
    made = {str(path.relative_to(tmp_path / "data")) for path in (tmp_path / "data").rglob("*")}
    assert made == {"var", "home", "etc", "etc/upper", "etc/work"}


def test_a_user_is_added_to_what_the_image_has_and_nobody_logs_in_unasked(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    for name, text in {
        "passwd": "llmos:x:1000:1000::/h:/s\n",
        "shadow": "llmos:!*:1::::::\n",
    }.items():
        (root / "etc" / name).write_text(text)
    (root / "etc/shadow").chmod(0o640)

    def make_user(place: Path, lines: str, password_hash: str) -> None:
        assert lines.startswith('u ada 1001 "Ada" /home/ada /usr/bin/llmos-shell\nm ada sudo\n')
        for name in settings.ACCOUNTS:
            with (place / "etc" / name).open("a") as file:
                file.write(f"ada:{password_hash}\n")

    user = Settings(user=User("ada", "$y$hash", "Ada"))
    stage(tmp_path / "data", user, root, make_user)
    etc = tmp_path / "data/etc/upper"
    assert (etc / "shadow").read_text() == "llmos:!*:1::::::\nada:$y$hash\n"
    assert (etc / "shadow").stat().st_mode & 0o777 == 0o640
    drop_ins = sorted(path.relative_to(etc) for path in etc.rglob("*.conf"))
    assert [str(path) for path in drop_ins] == [
        "systemd/system/getty@tty1.service.d/60-llmos-installed.conf",
        "systemd/system/serial-getty@.service.d/60-llmos-installed.conf",
    ]
    assert all("autologin" not in (etc / path).read_text() for path in drop_ins)
    assert not (tmp_path / "data-accounts").exists()


@pytest.mark.parametrize("name", ["engine", "a", "a-1.example", "x" * 63])
def test_host_names_that_are_right(name: str) -> None:
    assert not settings.hostname_fault(name)


@pytest.mark.parametrize("name", ["", "My", "-a", "a-", "a..b", "x" * 65, "a_b", "a b"])
def test_host_names_that_are_wrong(name: str) -> None:
    assert settings.hostname_fault(name)


@pytest.mark.parametrize("name", ["", "Ada", "1a", "a:b", "x" * 32, "root", "a/b", "é"])
def test_user_names_that_are_wrong(name: str) -> None:
    assert settings.user_name_fault(name, frozenset({"root"}))


@given(st.text(max_size=40))
def test_what_is_accepted_can_never_break_a_line_of_accounts(text: str) -> None:
    if not settings.full_name_fault(text):
        assert not set(text) & set(':"\\%\n')
    if not settings.user_name_fault(text, frozenset()):
        assert text.isascii()
        assert ":" not in text


def test_a_password_is_hashed_anew_each_time_and_accepted_as_a_hash() -> None:
    one, other = hash_password("correct horse"), hash_password("correct horse")
    assert one != other
    assert one.startswith("$")
    assert not settings.hash_fault(one)


def test_recovery_keys_are_long_and_never_the_same() -> None:
    one, other = new_recovery_key(), new_recovery_key()
    assert is_recovery_key(one)
    assert len(one) == 8 * 8 + 7
    assert one != other


def test_a_typed_recovery_key_may_lack_its_dashes() -> None:
    key = new_recovery_key()
    assert same_key(key.upper().replace("-", " "), key)
    assert not same_key(key[:-1], key)
    assert not same_key("é", key)


@pytest.mark.parametrize("text", ["short", "x" * 513, "bell\x07bell\x07"])
def test_passphrases_that_cannot_be(text: str) -> None:
    assert passphrase_fault(text)
