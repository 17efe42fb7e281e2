"""Which Debian mirrors this host's own apt uses: the default of every build."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Archive:
    """Base URLs of the Debian archive; None where the host names none."""

    main: str | None = None
    security: str | None = None


@dataclass(frozen=True)
class _Source:
    url: str
    suite: str
    components: frozenset[str]


def host_archive(root: Path = Path("/")) -> Archive:
    """The mirrors in ``root``'s apt configuration, deb822 files and one-line files alike."""
    main = security = None
    for source in _sources(root / "etc/apt"):
        if "main" not in source.components or not source.url.startswith(
            ("http://", "https://", "file:")
        ):
            continue
        codename, _, rest = source.suite.partition("-")
        if not re.fullmatch(r"[a-z]+", codename):
            continue
        if rest == "security":
            security = security or source.url
        elif not rest and "debian" in source.url.rsplit("://", 1)[-1]:
            main = main or source.url
    return Archive(main, security)


def _sources(apt: Path) -> Iterator[_Source]:
    parts = apt / "sources.list.d"
    for path in sorted(parts.glob("*.sources")):
        for stanza in re.split(r"\n\s*\n", _uncommented(path)):
            yield from _deb822(stanza)
    for path in (apt / "sources.list", *sorted(parts.glob("*.list"))):
        if path.is_file():
            yield from _one_line(_uncommented(path))


def _uncommented(path: Path) -> str:
    lines = path.read_text("utf-8", "replace").splitlines()
    return "\n".join(line for line in lines if not line.startswith("#"))


def _deb822(stanza: str) -> Iterator[_Source]:
    fields: Mapping[str, str] = {
        name.strip().lower(): value
        for name, colon, value in (line.partition(":") for line in stanza.splitlines())
        if colon
    }
    if "deb" not in fields.get("types", "").split() or fields.get("enabled", "").strip() == "no":
        return
    components = frozenset(fields.get("components", "").split())
    for url in fields.get("uris", "").split():
        for suite in fields.get("suites", "").split():
            yield _Source(url.rstrip("/"), suite, components)


def _one_line(text: str) -> Iterator[_Source]:
    for match in re.finditer(
        r"(?m)^[ \t]*deb[ \t]+(?:\[[^\]]*\][ \t]+)?(\S+)[ \t]+(\S+)((?:[ \t]+\S+)*)[ \t]*$", text
    ):
        yield _Source(match[1].rstrip("/"), match[2], frozenset(match[3].split()))
