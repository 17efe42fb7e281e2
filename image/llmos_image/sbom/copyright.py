"""Debian's copyright files: the machine-readable ones become SPDX licence expressions.

https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping

from llmos_image.sbom.inventory import Licensing
from llmos_image.sbom.licences import all_of, spdx_id

_FORMAT = re.compile(r"(?i)format(-specification)?: *<?https?://\S*(copyright-format|dep5)")
_COMMA = r"(?i),\s*and\s+|,(?!\s*or\s)\s*"
_OR = r"(?i),?\s+or\s+"
_AND = r"(?i)\s+and\s+"
# Longer is prose where a name was meant.
_LONGEST_NAME = 60


def licensing_of(text: str, where: str) -> Licensing:
    """What the copyright file ``text`` says; ``where`` names it for people.

    The expression asks for every licence of every part of the source package: which parts
    became which binary is nowhere written.
    """
    digest = hashlib.sha256(text.encode()).hexdigest()
    if not _FORMAT.match(text.lstrip()):
        return Licensing(note=f"Not machine-readable: {where}, sha256 {digest}")
    paragraphs = list(_paragraphs(text))
    bodies = {
        name.casefold(): body
        for paragraph in paragraphs
        for name, body in [_split(paragraph.get("license", ""))]
        if body
    }
    texts: dict[str, str] = {}

    def term(name: str) -> str:
        if (known := spdx_id(name)) is not None:
            return known
        body = bodies.get(name.casefold(), f"'{name}' of {where}, sha256 {digest}")
        reference = _reference(name, body)
        texts[reference] = body
        return reference

    found = set()
    for paragraph in paragraphs:
        if "files" in paragraph and (said := paragraph.get("license", "").strip()):
            name, body = _split(said)
            bodies |= {name.casefold(): body} if body else {}
            found |= _all_of_parts(expression_of(name, term))
    if not found:
        return Licensing(note=f"Names no licence: {where}, sha256 {digest}")
    return Licensing(all_of(found), texts)


def expression_of(name: str, term: Callable[[str], str]) -> str:
    """The SPDX expression of DEP-5's ``A or B, and C``; ``term`` names a single licence.

    ``and`` binds closer than ``or``, and both closer than a comma.
    """
    if len(name) > _LONGEST_NAME and not re.search(r"\s(and|or)\s", name):
        return term(name)
    for separator, joint in ((_COMMA, " AND "), (_OR, " OR ")):
        parts = [part for part in re.split(separator, name.strip()) if part]
        if len(parts) > 1:
            inner = [expression_of(part, term) for part in parts]
            around = joint == " AND "
            joined = [f"({e})" if around and " OR " in e else e for e in inner]
            return joint.join(dict.fromkeys(joined))
    parts = [part for part in re.split(_AND, name.strip()) if part]
    return " AND ".join(dict.fromkeys(term(part) for part in parts)) or term(name)


def _all_of_parts(expression: str) -> set[str]:
    return {expression} if " OR " in expression else set(expression.split(" AND "))


def _reference(name: str, body: str) -> str:
    slug = re.sub(r"[^A-Za-z0-9.]+", "-", name[:40]).strip("-.") or "unnamed"
    # One name stands for other words in other packages.
    digest = hashlib.sha256(" ".join(body.split()).encode()).hexdigest()
    return f"LicenseRef-Debian-{slug}-{digest[:8]}"


def _split(field: str) -> tuple[str, str]:
    name, _, body = field.partition("\n")
    # A lone dot stands for an empty line.
    lines = ["" if line.strip() == "." else line[1:] for line in body.splitlines()]
    return name.strip(), "\n".join(lines).strip("\n")


def _paragraphs(text: str) -> Iterator[Mapping[str, str]]:
    """The paragraphs of a control file, fields in lower case with their further lines."""
    for block in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n")):
        fields: dict[str, str] = {}
        last = None
        for line in block.splitlines():
            if line[:1] in {" ", "\t"} and last is not None:
                fields[last] += f"\n{line}"
            elif match := re.match(r"([A-Za-z][A-Za-z0-9-]*):\s*(.*)", line):
                last = match[1].lower()
                fields[last] = match[2]
        if fields:
            yield fields
