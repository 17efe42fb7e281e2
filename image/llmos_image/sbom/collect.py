"""From what a build worked with to the inventory of its image, and the two files of it."""

import datetime
import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llmos_image.sbom import cyclonedx, debian, models, python, spdx
from llmos_image.sbom.inventory import Inventory
from llmos_image.spec import ModelFile
from llmos_image.wheel import REQUIREMENTS, digest_of


@dataclass(frozen=True)
class Sources:
    """Where an image's components are found at build time."""

    debian: Sequence[Path]
    """What mkosi's scripts kept: dpkg's status and the copyright files, of root and initrd."""
    debian_downloads: Path
    """The package cache with the .deb files."""
    site_packages: Sequence[Path]
    """The venv's, layer by layer."""
    python_downloads: Path
    """The runtime layer's record of its wheels."""
    models: Sequence[ModelFile]
    uki: Path


def inventory(name: str, version: str, created: datetime.datetime, sources: Sources) -> Inventory:
    """Everything in the image, sorted.

    Raises:
        BuildFailed: the package database is missing.
    """
    wheels = python.downloads_of(sources.python_downloads, REQUIREMENTS)
    found = [
        part
        for archive in sources.debian
        for part in debian.packages(debian.read_facts(archive), sources.debian_downloads)
    ]
    for site in sources.site_packages:
        found += [*python.packages(site, wheels), *python.libraries(site)]
    found += models.components(sources.models)
    # The initrd is made of the same packages: each counts once.
    once = {(part.kind, part.name, part.version, part.architecture): part for part in found}
    order = tuple(part for _, part in sorted(once.items(), key=lambda item: str(item[0])))
    return Inventory(name, version, created, digest_of(sources.uki), order)


def write(folder: Path, name: str, found: Inventory) -> None:
    """Write ``<name>.spdx.json`` and ``<name>.cdx.json`` into ``folder``."""
    tool = f"llmos-image-{importlib.metadata.version('llmos')}"
    (folder / f"{name}.spdx.json").write_text(spdx.document(found, tool))
    (folder / f"{name}.cdx.json").write_text(cyclonedx.document(found, tool))
