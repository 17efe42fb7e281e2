"""systemd-sysupdate: what is published, what is installed, and installing it."""

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from llmos_ctl.errors import CtlError
from llmos_ctl.run import Done, Run
from llmos_ctl.update.definitions import SYSTEM, Definitions, source_of

PROGRAM: Final = "/usr/lib/systemd/systemd-sysupdate"

_SIGNER: Final = re.compile(r'(?m)^gpg: Good signature from "(.*)"')
_FINGERPRINT: Final = re.compile(r"(?m)^gpg: +using \w+ key ([0-9A-F]{16,})")
# What its words mean for a person; first match wins. {source} is where it looked.
_MEANINGS: Final = (
    (r"BAD signature|Can't check signature|Signature verification failed",
     "the list of updates at {source} is not signed by the key of this image",
     "Nothing was changed. Ask whoever publishes the updates."),
    (r"SHA256SUMS failed with code 404",
     "there are no updates at {source}, or not all files of one",
     "Name another place for once with --source."),
    (r"signature file, cannot verify|SHA256SUMS\.gpg failed with code",
     "the list of updates at {source} is not signed",
     "Nothing was changed. 'llmos-image publish' signs it when the spec names keys."),
    (r"Checksum of (\S+) file did not check out",
     "{1} is damaged: it is not the file that its publisher signed",
     "What runs was not changed. Try again; if it stays so, ask whoever publishes the updates."),
    (r"File overly large|File too large|No space left on device",
     "the update does not fit its place on this machine's disk",
     "What runs was not changed. The sizes are those of the image that was installed first."),
    (r"(Could not (?:resolve hostname|connect)|[Nn]etwork is unreachable|Timeout was reached)",
     "{source} cannot be reached ({1})",
     "Is there a network? See: networkctl"),
    (r"Could not read a file://|failed with code 404",
     "there are no updates at {source}, or not all files of one",
     "Name another place for once with --source."),
    (r"failed with code (\d+)", "{source} answers with HTTP status {1}", None),
    # What is compressed cannot be unpacked before it can be found to have another checksum.
    (r"(?s)Pulling '(\S+)', saving(?!.*Pulling).*Failed to retrieve image file",
     "{1} is damaged: it cannot be unpacked",
     "What runs was not changed. Try again; if it stays so, ask whoever publishes the updates."),
    (r"Permission denied|Operation not permitted", "this needs root", "Put sudo in front of it."),
)  # fmt: skip


class _Versions(msgspec.Struct):
    all: list[str] = []


@dataclass(frozen=True)
class Signer:
    """Who has signed the list of what is published."""

    name: str
    fingerprint: str

    def __str__(self) -> str:
        return f"{self.name} ({self.fingerprint[-16:]})"


@dataclass(frozen=True)
class Offer:
    """What is published: versions, the newest first. ``signer`` is None if nobody checks."""

    source: str
    versions: tuple[str, ...]
    signer: Signer | None


class Sysupdate:
    """The real program, on the definitions of this machine or on another source for once."""

    def __init__(
        self,
        run: Run,
        definitions: Definitions,
        *,
        source: str | None = None,
        scratch: Path | None = None,
    ) -> None:
        self._run = run
        self._definitions = definitions
        self._source = source
        self._scratch = scratch
        """Where folders for a moment are made; the program must see them."""

    def offer(self, component: str) -> Offer:
        """Ask what is published; needs no root.

        Raises:
            CtlError: it cannot be reached, or is not signed as it should be.
        """
        with self._written(component, only_look=True) as folder:
            source = source_of(folder)
            done = self._checked([f"--definitions={folder}", "--json=short", "list"], source=source)
        return Offer(source, _versions(done), _signer(done.err))

    def installed(self, component: str) -> tuple[str, ...]:
        """The installed versions of a model or an extension, the newest first."""
        done = self._checked([*_names(component), "--offline", "--json=short", "list"])
        return _versions(done)

    def install(self, component: str, version: str, on_progress: Callable[[int], None]) -> None:
        """Fetch, check and install ``version``; ``on_progress`` gets per cents.

        Raises:
            CtlError: it did not work; what runs is untouched.
        """

        def watch(fields: Mapping[str, str]) -> None:
            if (percent := fields.get("X_SYSUPDATE_PROGRESS", "")).isdecimal():
                on_progress(int(percent))

        with self._written(component) as folder:
            arguments = [f"--definitions={folder}", "update", version]
            self._checked(arguments, source=source_of(folder), on_status=watch)

    @contextmanager
    def _written(self, component: str, *, only_look: bool = False) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="llmosctl-", dir=self._scratch) as folder:
            self._definitions.write(
                component, Path(folder), source=self._source, only_look=only_look
            )
            yield Path(folder)

    def _checked(
        self,
        arguments: list[str],
        *,
        source: str = "",
        on_status: Callable[[Mapping[str, str]], None] | None = None,
    ) -> Done:
        done = self._run([PROGRAM, *arguments], on_status=on_status)
        if done.status:
            raise _error(done, source)
        return done


def _names(component: str) -> list[str]:
    return [] if component == SYSTEM else [f"--component={component}"]


def _versions(done: Done) -> tuple[str, ...]:
    try:
        return tuple(msgspec.json.decode(done.out, type=_Versions).all)
    except msgspec.DecodeError as error:
        raise CtlError(f"{PROGRAM} answers in a way that was not expected: {error}") from None


def _signer(said: str) -> Signer | None:
    name, fingerprint = _SIGNER.search(said), _FINGERPRINT.search(said)
    return Signer(name[1], fingerprint[1]) if name and fingerprint else None


def _error(done: Done, source: str) -> CtlError:
    for pattern, meaning, hint in _MEANINGS:
        if found := re.search(pattern, done.err):
            groups = ("", *found.groups())
            return CtlError(meaning.format(*groups, source=source), hint=hint)
    last = (done.err.strip().splitlines() or ["it gives no reason"])[-1]
    return CtlError(f"{PROGRAM} ended with status {done.status}: {last}")
