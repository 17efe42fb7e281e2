"""The image that an extension is built against: its packages, as a tree to build on.

mkosi keeps the packages of an image as a layer. An extension is built over that layer when it
still has the packages of the image that was built from it; then apt installs only what the
image lacks.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from llmos_image.artifacts import Artifact
from llmos_image.errors import UserError

_AGAIN = "Build the image again: llmos-image build SPEC."


@dataclass(frozen=True)
class Base:
    """One built image and the layer of its packages."""

    artifact: Artifact
    layer: Path
    packages: Mapping[str, str]

    @property
    def version(self) -> str:
        """The version that the extension is tied to."""
        return str(self.artifact.facts["version"])

    @property
    def driver(self) -> str | None:
        """The version of the NVIDIA modules in the image."""
        found = self.artifact.facts["versions"].get("nvidia")
        return str(found) if found else None


def base_of(artifact: Artifact, layers: Path, suite: str) -> Base:
    """The base that ``artifact`` is.

    Raises:
        UserError: the layer is not there, or has other packages than the image.
    """
    layer = layers / f"debian~{suite}~x86-64.cache"
    status = layer / "var/lib/dpkg/status"
    if not status.is_file():
        raise UserError(f"{artifact.folder}: the packages it was built of are gone", hint=_AGAIN)
    have = installed(status.read_text("utf-8"))
    said = {str(one["name"]): str(one["version"]) for one in artifact.facts["packages"]}
    if differ := differences(said, have):
        raise UserError(
            f"{artifact.folder}: built of other packages than are there now: {'; '.join(differ)}",
            hint=_AGAIN,
        )
    return Base(artifact, layer, have)


def installed(status: str) -> Mapping[str, str]:
    """The packages that dpkg's ``status`` says are installed, and their versions."""
    found = {}
    for stanza in status.split("\n\n"):
        fields = dict(re.findall(r"(?m)^(Package|Status|Version): (.+)$", stanza))
        if fields.get("Status", "").endswith(" installed"):
            found[fields["Package"]] = fields.get("Version", "")
    return found


def differences(image: Mapping[str, str], layer: Mapping[str, str], most: int = 5) -> Sequence[str]:
    """Where the layer is not what the image was built of, ``most`` at most."""
    names = sorted(name for name in image if layer.get(name) != image[name])
    told = [f"{name} {image[name]}, now {layer.get(name, 'none')}" for name in names[:most]]
    return [*told, f"{len(names) - most} more"] if len(names) > most else told


def replaced(before: Mapping[str, str], after: Mapping[str, str]) -> Sequence[str]:
    """The base's packages that building the extension would have changed."""
    return [
        f"{name} {version} by {after.get(name, 'nothing')}"
        for name, version in sorted(before.items())
        if after.get(name) != version
    ]
