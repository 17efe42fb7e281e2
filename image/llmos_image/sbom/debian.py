"""Debian's packages of an image: what dpkg says is installed, and under which licences.

mkosi.finalize keeps dpkg's status and the copyright files beside the image, in a tar archive.
"""

import hashlib
import posixpath
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from llmos_image.errors import BuildFailed
from llmos_image.sbom.copyright import licensing_of
from llmos_image.sbom.inventory import Component, Kind, Licensing

_DOC = "usr/share/doc"
_ARCHIVES = "cache/apt/archives"


@dataclass(frozen=True)
class DebianFacts:
    """dpkg's status, and the copyright file of each documentation folder by the folder's name."""

    status: str
    copyrights: Mapping[str, str]


def read_facts(archive: Path) -> DebianFacts:
    """What mkosi.finalize kept in ``archive``.

    Raises:
        BuildFailed: there is no package database in it.
    """
    status = None
    copyrights, links = {}, {}
    with tarfile.open(archive) as tar:
        for member in tar:
            path = posixpath.normpath(member.name)
            folder, name = posixpath.split(path)
            if member.isfile() and path.endswith("/dpkg/status"):
                status = _text(tar, member)
            elif member.isfile() and name == "copyright":
                copyrights[posixpath.basename(folder)] = _text(tar, member)
            elif member.issym() and folder == _DOC:
                links[name] = posixpath.basename(member.linkname)
            elif member.issym() and name == "copyright":
                target = posixpath.normpath(posixpath.join(folder, member.linkname))
                links[posixpath.basename(folder)] = posixpath.basename(posixpath.dirname(target))
    if status is None:
        raise BuildFailed(f"{archive}: no package database", hint="Does mkosi.finalize still run?")
    for name, target in links.items():
        if target in copyrights:
            copyrights.setdefault(name, copyrights[target])
    return DebianFacts(status, copyrights)


def packages(facts: DebianFacts, downloads: Path) -> Iterator[Component]:
    """The installed packages; ``downloads`` is the package cache with their .deb files."""
    for block in facts.status.split("\n\n"):
        fields = dict(re.findall(r"(?m)^([A-Za-z-]+): (.*)$", block))
        if not fields.get("Status", "").endswith(" installed"):
            continue
        name, version = fields["Package"], fields["Version"]
        deb = f"{name}_{version.replace(':', '%3a')}_{fields['Architecture']}.deb"
        yield Component(
            Kind.DEBIAN,
            name,
            version,
            _licensing(name, facts),
            architecture=fields["Architecture"],
            supplier=fields.get("Maintainer"),
            source=_source(fields),
            sha256=_digest(downloads / _ARCHIVES / deb),
        )


def _licensing(name: str, facts: DebianFacts) -> Licensing:
    if (text := facts.copyrights.get(name)) is None:
        return Licensing(note="The package brings no copyright file")
    return licensing_of(text, f"/{_DOC}/{name}/copyright")


def _source(fields: Mapping[str, str]) -> str:
    """``name version``; the version only stands there where it is another than the binary's."""
    said = fields.get("Source", fields["Package"])
    name, _, version = said.partition(" ")
    return f"{name} {version.strip('()') or fields['Version']}"


def _digest(deb: Path) -> str | None:
    try:
        with deb.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        # mkosi's layer may be older than what is left in the cache of downloads.
        return None


def _text(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = tar.extractfile(member)
    return file.read().decode("utf-8", "replace") if file else ""
