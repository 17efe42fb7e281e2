"""Text and named keys as keys of a US keyboard, in QEMU's names for them (QKeyCode)."""

from collections.abc import Iterator

from llmos_image.errors import UserError

Chord = tuple[str, ...]
"""Keys that are pressed together."""

_PLAIN = {
    " ": "spc",
    "\n": "ret",
    "\t": "tab",
    "-": "minus",
    "=": "equal",
    "[": "bracket_left",
    "]": "bracket_right",
    "\\": "backslash",
    ";": "semicolon",
    "'": "apostrophe",
    "`": "grave_accent",
    ",": "comma",
    ".": "dot",
    "/": "slash",
}
_SHIFTED = dict(zip('!@#$%^&*()_+{}|:"~<>?', "1234567890-=[]\\;'`,./", strict=True))


def chords(text: str) -> Iterator[Chord]:
    """The chords that type ``text``.

    Raises:
        UserError: a US keyboard has no key for one of its characters.
    """
    for character in text:
        if character in _SHIFTED:
            yield ("shift", _key(_SHIFTED[character]))
        elif character.isascii() and character.isupper():
            yield ("shift", character.lower())
        else:
            yield (_key(character),)


def chord(name: str) -> Chord:
    """The chord a person writes as ``ctrl-c``, ``ret`` or ``alt-f2``."""
    return tuple(name.split("-"))


def _key(character: str) -> str:
    if character.isascii() and (character.islower() or character.isdigit()):
        return character
    if character in _PLAIN:
        return _PLAIN[character]
    raise UserError(f"a US keyboard has no key for {character!r}")
