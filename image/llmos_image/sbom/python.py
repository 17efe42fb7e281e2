"""Python's packages of an image: the ``.dist-info`` folders of its venv."""

import email.parser
import json
import re
from collections.abc import Iterator, Mapping
from email.message import Message
from pathlib import Path

from llmos_image.sbom.inventory import Component, Kind, Licensing
from llmos_image.sbom.licences import spdx_id

# Trove classifiers that mean one licence.
_CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}


Release = tuple[str, str]
"""A project's normal name, and a version of it."""


def packages(site: Path, downloads: Mapping[Release, str]) -> Iterator[Component]:
    """The packages in ``site``-packages; ``downloads`` has the SHA-256 of what was installed."""
    for folder in sorted(site.glob("*.dist-info")):
        text = (folder / "METADATA").read_text("utf-8")
        said = email.parser.HeaderParser().parsestr(text)
        name, version = str(said["Name"]), str(said["Version"])
        yield Component(
            Kind.PYTHON,
            name,
            version,
            _licensing(said, folder),
            sha256=downloads.get((normal(name), version)),
        )


def libraries(site: Path) -> Iterator[Component]:
    """llama.cpp, which llama-cpp-python carries inside itself; its ggml is a Debian package."""
    for library in sorted(site.glob("llama_cpp/lib/libllama.so.*.*.*")):
        version = library.name.removeprefix("libllama.so.")
        source = next((f.name for f in site.glob("llama_cpp_python-*.dist-info")), "")
        source = source.removesuffix(".dist-info").replace("-", " ")
        yield Component(Kind.LIBRARY, "llama.cpp", version, Licensing("MIT"), source=source)


def downloads_of(record: Path, lock: Path) -> Mapping[Release, str]:
    """The SHA-256 of what was downloaded for each release.

    ``record`` is the runtime layer's, of its wheels. What it does not know was built here, from
    the one file that the ``lock`` allows.
    """
    found = {}
    for match in re.finditer(r"(?m)^([\w.-]+)==(\S+)((?: \\\n +--hash=\S+)+)", lock.read_text()):
        digests = re.findall(r"--hash=sha256:([0-9a-f]{64})", match[3])
        if len(digests) == 1:
            found[normal(match[1]), match[2]] = digests[0]
    wheels: dict[str, str] = json.loads(record.read_text())
    for name, digest in wheels.items():
        project, version = name.split("-")[:2]
        found[normal(project), version] = digest
    return found


def normal(name: str) -> str:
    """A project's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _licensing(said: Message, folder: Path) -> Licensing:
    if expression := said["License-Expression"]:
        return Licensing(str(expression))
    # Some put the whole text there.
    words = str(said["License"] or "")
    if len(words) < 60 and (known := spdx_id(words)):
        return Licensing(known)
    for classifier in said.get_all("Classifier", []):
        if known := _CLASSIFIERS.get(str(classifier).rpartition(" :: ")[2]):
            return Licensing(known)
    return _by_text(folder)


def _by_text(folder: Path) -> Licensing:
    """The BSD licences say in their text which of them they are."""
    for path in sorted([*folder.glob("LICEN[CS]E*"), *folder.glob("licenses/LICEN[CS]E*")]):
        text = " ".join(path.read_text("utf-8", "replace").split())
        if "Redistributions in binary form must reproduce" in text:
            third = "may be used to endorse or promote" in text
            return Licensing("BSD-3-Clause" if third else "BSD-2-Clause")
    return Licensing(note=f"Its metadata names no licence that SPDX knows: {folder.name}")
