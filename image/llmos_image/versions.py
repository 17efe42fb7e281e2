"""The order of versions, as systemd-sysupdate and systemd-boot see it.

The version format specification of uapi-group.org; systemd's ``strverscmp_improved``.
"""

import functools
import re
from collections.abc import Iterable

# What stands apart, from the oldest on: 1~rc1 < 1 < 1-1 < 1^post < 1.1
_MARKS = "-^."
_IGNORED = re.compile(r"[^A-Za-z0-9~^.-]*")


def newest_first(versions: Iterable[str]) -> list[str]:
    """``versions`` without repetition, the newest first."""
    return sorted(set(versions), key=functools.cmp_to_key(compare), reverse=True)


def compare(one: str, two: str) -> int:
    """Below zero when ``one`` is older than ``two``, zero when neither is, above when newer."""
    while True:
        one, two = _IGNORED.sub("", one, count=1), _IGNORED.sub("", two, count=1)
        if one[:1] == "~" or two[:1] == "~":
            if one[:1] != two[:1]:
                return -1 if one[:1] == "~" else 1
            one, two = one[1:], two[1:]
            continue
        if not one or not two:
            return bool(one) - bool(two)
        if mark := next((mark for mark in _MARKS if mark in {one[0], two[0]}), None):
            if one[0] != two[0]:
                return -1 if one[0] == mark else 1
            one, two = one[1:], two[1:]
            continue
        numeric = one[0] in "0123456789" or two[0] in "0123456789"
        heads = [_head(text, numeric=numeric) for text in (one, two)]
        if order := _numbers(*heads) if numeric else (heads[0] > heads[1]) - (heads[0] < heads[1]):
            return order
        one, two = one[len(heads[0]) :], two[len(heads[1]) :]


def _head(text: str, *, numeric: bool) -> str:
    match = re.match(r"[0-9]*" if numeric else r"[A-Za-z]*", text)
    return match[0] if match else ""


def _numbers(one: str, two: str) -> int:
    """As numbers; no digits at all are older than any."""
    if not one or not two:
        return bool(one) - bool(two)
    return (int(one) > int(two)) - (int(one) < int(two))
