"""Versions in the order that the boot loader and systemd-sysupdate put them in.

The order is the UAPI group's Version Format Specification, as ``systemd-analyze
compare-versions`` has it: ``1~rc1`` < ``1`` < ``1-2`` < ``1.1`` < ``1.10``.
"""

import functools
import re
from typing import Final

_SKIPPED: Final = re.compile(r"[^A-Za-z0-9.~^-]+")
_DIGITS: Final = re.compile(r"[0-9]*")
_LETTERS: Final = re.compile(r"[A-Za-z]*")


def compare(left: str, right: str) -> int:
    """Negative when ``left`` is older than ``right``, positive when newer, 0 when neither."""
    while True:
        left, right = _from_next_sign(left), _from_next_sign(right)
        if "~" in {left[:1], right[:1]}:
            if left[:1] != right[:1]:
                return -1 if left[:1] == "~" else 1
            left, right = left[1:], right[1:]
        if not left or not right:
            return _sign(left, right)
        for mark in "-^.":
            if mark in {left[:1], right[:1]}:
                if left[:1] != right[:1]:
                    return -1 if left[:1] == mark else 1
                left, right = left[1:], right[1:]
        numeric = left[:1].isdigit() or right[:1].isdigit()
        head = _DIGITS if numeric else _LETTERS
        ours, theirs = _head(head, left), _head(head, right)
        if order := (_by_number if numeric else _by_letter)(ours, theirs):
            return order
        left, right = left[len(ours) :], right[len(theirs) :]


key = functools.cmp_to_key(compare)
"""For ``sorted`` and ``max``: the newest version is the largest."""


def is_newer(version: str, than: str) -> bool:
    """Whether ``version`` comes after ``than``."""
    return compare(version, than) > 0


def _from_next_sign(version: str) -> str:
    found = _SKIPPED.match(version)
    return version[found.end() :] if found else version


def _head(pattern: re.Pattern[str], version: str) -> str:
    found = pattern.match(version)
    return found[0] if found else ""


def _by_number(left: str, right: str) -> int:
    if not left or not right:  # a number is newer than none
        return _sign(left, right)
    # Without int(): a version may have any number of digits.
    left, right = left.lstrip("0"), right.lstrip("0")
    return len(left) - len(right) or _by_letter(left, right)


def _by_letter(left: str, right: str) -> int:
    # Code points: capitals before small letters, and a word after its own beginning.
    return (left > right) - (left < right)


def _sign(left: str, right: str) -> int:
    return bool(left) - bool(right)
