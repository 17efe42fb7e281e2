"""Components and their list: what the writers write."""

import datetime
import enum
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field


class Kind(enum.StrEnum):
    """What a component is; the value is the type in its package URL."""

    DEBIAN = "deb"
    PYTHON = "pypi"
    MODEL = "model"
    LIBRARY = "generic"

    @property
    def is_model(self) -> bool:
        """Whether it is weights rather than a program."""
        return self is Kind.MODEL


@dataclass(frozen=True)
class Licensing:
    """Under which licence something is, as its own files say."""

    expression: str | None = None
    """An SPDX licence expression; None when nothing machine-readable says it."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """The text of each ``LicenseRef-…`` in the expression."""
    note: str | None = None
    """Why there is no expression, and where a person finds the licence."""


@dataclass(frozen=True)
class Component:
    """One part of an image that somebody releases by itself."""

    kind: Kind
    name: str
    version: str
    licensing: Licensing
    architecture: str | None = None
    supplier: str | None = None
    source: str | None = None
    """What it was built from: ``name version`` of a source package."""
    sha256: str | None = None
    """Of the file in which it is distributed."""

    @property
    def purl(self) -> str | None:
        """Its package URL (github.com/package-url/purl-spec); models have no registry."""
        quoted = urllib.parse.quote(self.version, safe="~:")
        match self.kind:
            case Kind.DEBIAN:
                return f"pkg:deb/debian/{self.name}@{quoted}?arch={self.architecture}&distro=trixie"
            case Kind.PYTHON:
                return f"pkg:pypi/{self.name.lower().replace('_', '-')}@{quoted}"
            case Kind.LIBRARY:
                return f"pkg:generic/{self.name}@{quoted}"
            case Kind.MODEL:
                return None


@dataclass(frozen=True)
class Inventory:
    """Everything in one image."""

    name: str
    version: str
    created: datetime.datetime
    sha256: str
    """Of the unified kernel image: its command line has the root's verity hash."""
    components: tuple[Component, ...]

    @property
    def licence_texts(self) -> Mapping[str, str]:
        """The text of every ``LicenseRef-…``, by its name."""
        texts: dict[str, str] = {}
        for component in self.components:
            texts |= component.licensing.texts
        return dict(sorted(texts.items()))
