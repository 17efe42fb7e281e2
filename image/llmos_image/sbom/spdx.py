"""An inventory as SPDX 2.3 in JSON (https://spdx.github.io/spdx-spec/v2.3/)."""

import hashlib
import json
import re
import uuid
from typing import Any

from llmos_image.sbom.inventory import Component, Inventory, Kind

_NAMESPACE = uuid.UUID("6c6c6d6f-7300-4000-8000-000000000003")
_IMAGE = "SPDXRef-image"
_NONE = "NOASSERTION"


def document(inventory: Inventory, tool: str) -> str:
    """The SPDX document; ``tool`` is ``name-version`` of who writes it."""
    ids = {id_of(part): part for part in inventory.components}
    said: dict[str, Any] = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"{inventory.name}_{inventory.version}",
        "creationInfo": {
            "created": inventory.created.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": [f"Tool: {tool}"],
        },
        "packages": [_image(inventory), *(_package(key, part) for key, part in ids.items())],
        "hasExtractedLicensingInfos": [
            {"licenseId": name, "extractedText": text}
            for name, text in inventory.licence_texts.items()
        ],
        "relationships": [
            _relation("SPDXRef-DOCUMENT", "DESCRIBES", _IMAGE),
            *(_relation(_IMAGE, "CONTAINS", key) for key in ids),
        ],
    }
    # The same content has the same name, other content another one.
    content = json.dumps(said, sort_keys=True)
    said["documentNamespace"] = f"urn:uuid:{uuid.uuid5(_NAMESPACE, content)}"
    return json.dumps(said, indent=1) + "\n"


def id_of(part: Component) -> str:
    """The component's SPDX identifier: letters, digits, dots and dashes only."""
    whole = f"{part.kind}-{part.name}-{part.architecture or part.version}"
    slug = re.sub(r"[^A-Za-z0-9.]", "-", whole)
    if slug != whole:
        slug += f"-{hashlib.sha256(whole.encode()).hexdigest()[:6]}"
    return f"SPDXRef-{slug}"


def _image(inventory: Inventory) -> dict[str, Any]:
    return {
        "SPDXID": _IMAGE,
        "name": inventory.name,
        "versionInfo": inventory.version,
        "primaryPackagePurpose": "OPERATING-SYSTEM",
        "downloadLocation": _NONE,
        "filesAnalyzed": False,
        "checksums": [{"algorithm": "SHA256", "checksumValue": inventory.sha256}],
        "comment": "The checksum is the unified kernel image's, which names the root's verity hash",
        "licenseConcluded": _NONE,
        "licenseDeclared": _NONE,
        "copyrightText": _NONE,
    }


def _package(key: str, part: Component) -> dict[str, Any]:
    said: dict[str, Any] = {
        "SPDXID": key,
        "name": part.name,
        "versionInfo": part.version,
        "downloadLocation": _NONE,
        "filesAnalyzed": False,
        "licenseConcluded": _NONE,
        "licenseDeclared": part.licensing.expression or _NONE,
        "copyrightText": _NONE,
    }
    if part.kind is not Kind.MODEL:
        said["primaryPackagePurpose"] = "LIBRARY" if part.kind is Kind.LIBRARY else "INSTALL"
    if part.supplier:
        # SPDX puts the address, if any, in parentheses.
        supplier = re.sub(r"\s*<([^>]*)>", r" (\1)", part.supplier)
        said["supplier"] = f"Organization: {supplier}"
    if part.source:
        said["sourceInfo"] = f"built from source package: {part.source}"
    if part.sha256:
        said["checksums"] = [{"algorithm": "SHA256", "checksumValue": part.sha256}]
    if part.licensing.note:
        said["licenseComments"] = part.licensing.note
    if part.purl:
        purl = {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl"}
        said["externalRefs"] = [{**purl, "referenceLocator": part.purl}]
    return said


def _relation(one: str, kind: str, other: str) -> dict[str, str]:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
