"""SPDX and CycloneDX documents, judged by their own projects' validators."""

import dataclasses
import datetime
import json
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from llmos_image.sbom import collect, cyclonedx, spdx
from llmos_image.sbom.inventory import Component, Inventory, Kind, Licensing

REFERENCE = "LicenseRef-Debian-odd-00000000"
PARTS = (
    Component(
        Kind.DEBIAN,
        "libstdc++6",
        "1:14.2.0-19",
        Licensing(f"({REFERENCE} OR MIT) AND GPL-3.0-or-later", {REFERENCE: "Odd words."}),
        architecture="amd64",
        supplier="Debian GCC <gcc@example.org>",
        source="gcc-14 14.2.0-19",
        sha256="a" * 64,
    ),
    Component(Kind.DEBIAN, "libstdc-.6", "1", Licensing(note="Not said"), architecture="amd64"),
    Component(Kind.LIBRARY, "llama.cpp", "0.5.0", Licensing("MIT"), source="llama_cpp_python 1"),
    Component(Kind.MODEL, "plan", "v0", Licensing("MIT"), sha256="b" * 64),
    Component(Kind.PYTHON, "typing_extensions", "4.16.0", Licensing("PSF-2.0")),
)
INVENTORY = Inventory(
    "acme", "1.0", datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), "c" * 64, PARTS
)


def spdx_faults(text: str, folder: Path) -> list[str]:
    path = folder / "x.spdx.json"
    path.write_text(text)
    return [str(m.validation_message) for m in validate_full_spdx_document(parse_file(str(path)))]


def test_spdx_says_the_document_is_valid(tmp_path: Path) -> None:
    text = spdx.document(INVENTORY, "llmos-image-0.1.0")
    assert not spdx_faults(text, tmp_path)
    # The judge does judge: an undeclared licence is a fault.
    assert spdx_faults(text.replace(f'"licenseId": "{REFERENCE}', '"licenseId": "x'), tmp_path)


def test_cyclonedx_says_the_document_is_valid() -> None:
    judge = JsonStrictValidator(SchemaVersion.V1_6)
    text = cyclonedx.document(INVENTORY, "llmos-image-0.1.0")
    assert judge.validate_str(text) is None
    assert judge.validate_str(text.replace("operating-system", "system")) is not None


def test_both_documents_name_every_component(tmp_path: Path) -> None:
    collect.write(tmp_path, "acme_1.0", INVENTORY)
    ours = {(part.name, part.version) for part in PARTS}
    said = json.loads((tmp_path / "acme_1.0.spdx.json").read_text())
    assert {(p["name"], p["versionInfo"]) for p in said["packages"]} == ours | {("acme", "1.0")}
    said = json.loads((tmp_path / "acme_1.0.cdx.json").read_text())
    assert {(p["name"], p["version"]) for p in said["components"]} == ours


def test_a_document_follows_from_the_image_alone() -> None:
    other = dataclasses.replace(INVENTORY, sha256="d" * 64)
    for write in (spdx.document, cyclonedx.document):
        assert write(INVENTORY, "x-1") == write(INVENTORY, "x-1")
    names = {json.loads(spdx.document(i, "x-1"))["documentNamespace"] for i in (INVENTORY, other)}
    assert len(names) == 2
