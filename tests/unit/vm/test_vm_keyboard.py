"""Text as keys of a keyboard."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos_image.errors import UserError
from llmos_image.vm.keyboard import chord, chords

TYPEABLE = string.ascii_letters + string.digits + string.punctuation + " \n\t"


def test_a_line_is_typed_key_by_key() -> None:
    assert list(chords("Df -h\n")) == [
        ("shift", "d"),
        ("f",),
        ("spc",),
        ("minus",),
        ("h",),
        ("ret",),
    ]


def test_signs_above_the_digits_need_shift() -> None:
    assert list(chords("!?~")) == [("shift", "1"), ("shift", "slash"), ("shift", "grave_accent")]


@given(st.text(alphabet=TYPEABLE))
def test_every_printable_ascii_text_can_be_typed(text: str) -> None:
    assert len(list(chords(text))) == len(text)


def test_different_characters_need_different_keys() -> None:
    assert len(set(chords(TYPEABLE))) == len(TYPEABLE)


def test_a_character_without_a_key_is_refused() -> None:
    with pytest.raises(UserError, match="no key for 'ß'"):
        list(chords("Straße"))


def test_a_chord_reads_as_a_person_writes_it() -> None:
    assert chord("ctrl-alt-delete") == ("ctrl", "alt", "delete")
