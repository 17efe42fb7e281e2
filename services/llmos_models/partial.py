"""A file on its way into the store: hashed as it grows, and gone on with after an interruption."""

import contextlib
import errno
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from llmos_models.errors import NoSpace, TransferFailed

CHUNK: Final = 1024 * 1024
"""Bytes that are read at once."""


class DigestKind(StrEnum):
    """Which digest a source gives of a file.

    ``git`` is the object name of git: SHA-1 over ``blob SIZE`` and the content. The hub has only
    that for small files.
    """

    SHA256 = "sha256"
    GIT = "git"


@dataclass(frozen=True)
class Digest:
    """What a file must hash to."""

    kind: DigestKind
    hex: str

    @classmethod
    def sha256(cls, text: str) -> "Digest":
        """A SHA-256 digest in hexadecimal."""
        return cls(DigestKind.SHA256, text.lower())

    def __str__(self) -> str:
        return f"{self.kind.value}-{self.hex}"


class Mismatch(TransferFailed):
    """The bytes are not those that were announced."""


class Partial:
    """The file at ``path``, new or gone on with; a context manager.

    ``size`` (bytes) and ``digest`` are what the source announces, where it does. ``advance`` hears
    of each piece of bytes that is there, and less than nothing when some are thrown away.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str,
        advance: Callable[[int], None],
        size: int | None = None,
        digest: Digest | None = None,
    ) -> None:
        self.path = path
        self.size = size
        self._name = name
        self._digest = digest
        self._advance = advance
        self.at = 0
        """Bytes that are there."""

    def __enter__(self) -> Self:
        # The folder is root's; a link in it would not be of our making.
        with contextlib.suppress(FileNotFoundError):
            self.path.chmod(0o644)  # one that was whole already is read-only
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        # Without a buffer: what has come is in the file, however this process ends.
        self._file = os.fdopen(os.open(self.path, flags, 0o644), "r+b", buffering=0)
        self._begin()
        while data := self._file.read(CHUNK):
            self._count(data)
        if self.size is not None and self.at > self.size:
            self.restart()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing, as far as is known."""
        return self.at == self.size

    def restart(self) -> None:
        """Throw away what is there."""
        self._file.seek(0)
        self._file.truncate()
        self._advance(-self.at)
        self._begin()

    def write(self, data: bytes) -> None:
        """Add to the end.

        Raises:
            NoSpace: the disk is full.
            Mismatch: there is more than was announced.
        """
        if self.size is not None and self.at + len(data) > self.size:
            raise Mismatch(f"{self._name}: has more than the announced {self.size} bytes")
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise self._full_or(error) from error
        self._count(data)

    def finish(self) -> str:
        """Put it on the disk, read-only; return its SHA-256.

        Raises:
            Mismatch: its size or digest is not the announced one.
            NoSpace: the disk is full.
        """
        if self.size is not None and self.at != self.size:
            raise Mismatch(f"{self._name}: has {self.at} bytes, not the announced {self.size}")
        found = self._git if self._digest and self._digest.kind is DigestKind.GIT else self._sha256
        if self._digest and found.hexdigest() != self._digest.hex:
            raise Mismatch(
                f"{self._name}: is damaged or another file: {self._digest.kind.value} "
                f"{found.hexdigest()}, not {self._digest.hex}"
            )
        try:
            os.fchmod(self._file.fileno(), 0o444)
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._full_or(error) from error
        return self._sha256.hexdigest()

    def _begin(self) -> None:
        self.at = 0
        self._sha256 = hashlib.sha256()
        self._git = hashlib.sha1(b"blob %d\0" % (self.size or 0), usedforsecurity=False)

    def _count(self, data: bytes) -> None:
        self.at += len(data)
        self._advance(len(data))
        self._sha256.update(data)
        if self._digest and self._digest.kind is DigestKind.GIT:
            self._git.update(data)

    def _full_or(self, error: OSError) -> Exception:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return NoSpace(f"{self._name}: the disk is full after {self.at} bytes", path=self.path)
        return error
