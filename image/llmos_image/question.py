"""What a Debian archive has today, asked of apt in the tools tree: nothing is installed."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from llmos_image.run import Log, output, run
from llmos_image.spec import Debian
from llmos_image.tools import ToolsTree

_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_APT = (
    "set -e; mkdir -p /tmp/apt/lists/partial; printf '%s\\n' \"$SOURCES\" > /tmp/apt/sources.list;"
    "o='-o Dir::State::Lists=/tmp/apt/lists -o Dir::Cache=/tmp/apt -o Dir::State::Status=/dev/null "
    "-o Dir::Etc::SourceList=/tmp/apt/sources.list -o Dir::Etc::SourceParts=/dev/null "
    "-o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null "
    "-o APT::Sandbox::User=root -o APT::Update::Error-Mode=any';"
    "apt-get $o -q update >&2; "
)


@dataclass(frozen=True)
class Source:
    """A part of the archive: the suites of one mirror."""

    mirror: str
    suites: tuple[str, ...]
    components: tuple[str, ...]

    @property
    def lines(self) -> list[str]:
        """Its one-line apt sources."""
        parts = " ".join(self.components)
        return [
            f"deb [signed-by={_KEYRING}] {self.mirror} {suite} {parts}" for suite in self.suites
        ]


@dataclass(frozen=True)
class Package:
    """A package as the archive has it."""

    name: str
    version: str
    depends: str = ""

    @property
    def upstream(self) -> str:
        """The version without Debian's parts: ``550.163.01`` of ``550.163.01-2``."""
        return re.sub(r"-[^-]*$", "", self.version.partition(":")[2] or self.version)


def sources_of(debian: Debian, components: Sequence[str], *suffixes: str) -> tuple[Source, ...]:
    """The suite with its ``suffixes`` (``updates``, ``backports``), and its security updates."""
    suites = (debian.suite, *(f"{debian.suite}-{suffix}" for suffix in suffixes))
    found = [Source(str(debian.mirror), suites, tuple(components))]
    if debian.security_mirror:
        suite = f"{debian.suite}-security"
        found.append(Source(debian.security_mirror, (suite,), tuple(components)))
    return tuple(found)


def ask(
    tools: ToolsTree, sources: Sequence[Source], packages: Sequence[str]
) -> Mapping[str, Package]:
    """What would be installed of ``packages``; one that is nowhere is not in the answer.

    Raises:
        BuildFailed: the archive does not answer.
    """
    script = _APT + f"apt-cache $o show --no-all-versions {' '.join(packages)} || true"
    return parse(output(_argv(tools, script, sources)))


def download(
    tools: ToolsTree, sources: Sequence[Source], package: Package, folder: Path, log: Log
) -> Path:
    """Fetch the package into ``folder`` and unpack it into ``folder``/tree.

    Raises:
        BuildFailed: it is not to be had.
    """
    tree = folder / "tree"
    script = (
        f"{_APT}cd '{folder}'; apt-get $o -q download {package.name}={package.version}; "
        f"dpkg-deb -x {package.name}_*.deb '{tree}'; rm *.deb"
    )
    run(_argv(tools, script, sources, binds=[folder]), log=log)
    return tree


def parse(text: str) -> Mapping[str, Package]:
    """The stanzas that ``apt-cache show`` prints."""
    found = {}
    for stanza in re.split(r"\n\s*\n", text.strip()):
        fields = dict(re.findall(r"(?m)^(Package|Version|Depends): (.+)$", stanza))
        if "Package" in fields and "Version" in fields:
            package = Package(fields["Package"], fields["Version"], fields.get("Depends", ""))
            found[package.name] = package
    return found


def _argv(
    tools: ToolsTree, script: str, sources: Sequence[Source], binds: Sequence[Path] = ()
) -> list[str]:
    lines = "\n".join(line for source in sources for line in source.lines)
    return tools.sandbox.argv(
        ["sh", "-c", script], env={"SOURCES": lines}, binds=binds, become_root=True
    )
