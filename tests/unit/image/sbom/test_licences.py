"""Licences as Debian's files name them, in SPDX's words."""

import pytest

from llmos_image.sbom.copyright import expression_of, licensing_of
from llmos_image.sbom.licences import spdx_id

FORMAT = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("GPL-2", "GPL-2.0-only"),
        ("GPL-2+", "GPL-2.0-or-later"),
        ("gpl-3.0-or-later", "GPL-3.0-or-later"),
        ("LGPL-2.1+", "LGPL-2.1-or-later"),
        ("GFDL-1.3+", "GFDL-1.3-or-later"),
        ("Expat", "MIT"),
        ("BSD-3-Clause", "BSD-3-Clause"),
        ("Apache 2.0", "Apache-2.0"),
        ("GPL-2 with Linux-syscall-note exception", "GPL-2.0-only WITH Linux-syscall-note"),
        ("Apache-2.0 with LLVM exception", "Apache-2.0 WITH LLVM-exception"),
        ("GPL-3+ with Autoconf exception", "GPL-3.0-or-later WITH Autoconf-exception-3.0"),
        ("GPL-2+ with OpenSSL exception", None),
        ("public-domain", None),
        ("BSD", None),
        ("GPL-2-with-exceptions", None),
    ],
)
def test_only_what_spdx_has_gets_its_name(name: str, known: str | None) -> None:
    assert spdx_id(name) == known


@pytest.mark.parametrize(
    ("said", "expression"),
    [
        ("GPL-1+ or Artistic", "GPL-1+ OR Artistic"),
        ("A or B, and C", "(A OR B) AND C"),
        ("A, B and C", "A AND B AND C"),
        ("A and B or C", "A AND B OR C"),
        ("A, or B", "A OR B"),
        ("MPL-1.1 OR GPL-2+ OR LGPL-2.1+", "MPL-1.1 OR GPL-2+ OR LGPL-2.1+"),
        ("A and A", "A"),
    ],
)
def test_words_between_licences_bind_as_debian_says(said: str, expression: str) -> None:
    assert expression_of(said, str) == expression


def test_a_package_asks_for_the_licences_of_all_its_parts() -> None:
    text = f"""{FORMAT}Upstream-Name: x

Files: *
Copyright: 2020 Ann
License: GPL-2+ or Expat
 Some text.

Files: debian/*
Copyright: 2021 Bob
License: ISC
"""
    assert licensing_of(text, "x").expression == "(GPL-2.0-or-later OR MIT) AND ISC"


def test_a_licence_without_a_name_at_spdx_brings_its_text() -> None:
    text = f"""{FORMAT}
Files: *
License: odd

Files: a
License: odd or ISC

License: odd
 First line.
 .
   Indented.
"""
    said = licensing_of(text, "x")
    (reference,) = said.texts
    assert reference.startswith("LicenseRef-Debian-odd-")
    assert said.texts[reference] == "First line.\n\n  Indented."
    assert said.expression == f"{reference} AND ({reference} OR ISC)"


def test_the_same_name_for_other_words_is_another_licence() -> None:
    texts = [f"{FORMAT}\nFiles: *\nLicense: odd\n {words}\n" for words in ("one", "two")]
    assert len({licensing_of(text, "x").expression for text in texts}) == 2


def test_prose_is_not_taken_for_a_licence() -> None:
    said = licensing_of("This package is licensed under the GPL and or so.", "/usr/share/doc/x")
    assert said.expression is None
    assert said.note is not None
    assert "/usr/share/doc/x" in said.note
