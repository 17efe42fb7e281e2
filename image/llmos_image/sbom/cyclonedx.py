"""An inventory as CycloneDX 1.6 in JSON (https://cyclonedx.org/docs/1.6/json/)."""

import json
import uuid
from typing import Any

from llmos_image.sbom.inventory import Component, Inventory, Kind
from llmos_image.sbom.spdx import id_of

_NAMESPACE = uuid.UUID("6c6c6d6f-7300-4000-8000-000000000004")


def document(inventory: Inventory, tool: str) -> str:
    """The CycloneDX document; ``tool`` is ``name-version`` of who writes it."""
    name, _, version = tool.rpartition("-")
    image = f"{inventory.name}_{inventory.version}"
    components = [_component(part) for part in inventory.components]
    said: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": inventory.created.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tools": {"components": [{"type": "application", "name": name, "version": version}]},
            "component": {
                "type": "operating-system",
                "bom-ref": image,
                "name": inventory.name,
                "version": inventory.version,
                "hashes": _hashes(inventory.sha256),
            },
        },
        "components": components,
        "dependencies": [{"ref": image, "dependsOn": [part["bom-ref"] for part in components]}],
    }
    content = json.dumps(said, sort_keys=True)
    said["serialNumber"] = f"urn:uuid:{uuid.uuid5(_NAMESPACE, content)}"
    return json.dumps(said, indent=1) + "\n"


def _component(part: Component) -> dict[str, Any]:
    said: dict[str, Any] = {
        "type": "machine-learning-model" if part.kind is Kind.MODEL else "library",
        "bom-ref": part.purl or id_of(part),
        "name": part.name,
        "version": part.version,
    }
    if part.supplier:
        said["supplier"] = {"name": part.supplier}
    if part.sha256:
        said["hashes"] = _hashes(part.sha256)
    if part.licensing.expression:
        said["licenses"] = [
            {"expression": part.licensing.expression, "acknowledgement": "declared"}
        ]
    if part.purl:
        said["purl"] = part.purl
    properties = {"llmos:source": part.source, "llmos:licence-note": part.licensing.note}
    if any(properties.values()):
        said["properties"] = [{"name": k, "value": v} for k, v in properties.items() if v]
    return said


def _hashes(sha256: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": sha256}]
