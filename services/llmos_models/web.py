"""Fetches files over HTTP, and goes on where it was when the line breaks.

The whole of huggingface_hub's own download is not used, only its questions to the hub: it keeps
files in a cache of its own shape, which would be a second copy beside the blobs, and it compares
sizes but no digests. What is written here is hashed as it arrives.
"""

import contextlib
import re
import ssl
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import urlsplit

import httpx

from llmos_models.contents import Kind, refuse_part, refuse_pickle
from llmos_models.errors import BadAsk, TransferFailed
from llmos_models.offer import Offer, Piece
from llmos_models.partial import Digest, Partial
from llmos_models.patience import Passing, Patience, is_passing, retry_after

_TIMEOUT: Final = httpx.Timeout(60.0, connect=20.0)
_RANGE: Final = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")
_LOCAL: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class Web:
    """Fetches; ``token`` goes to no server but the one that is asked for a file."""

    def __init__(self, *, token: str | None = None, patience: Patience | None = None) -> None:
        self._token = token
        self._patience = patience or Patience()

    def fetcher(self, url: str, name: str) -> Callable[[Partial], None]:
        """What gets the file at ``url``; ``name`` is what errors call it.

        It raises :class:`~llmos_models.errors.TransferFailed`; what came is kept.
        """

        def fetch(partial: Partial) -> None:
            with self._client(url) as client:
                self._patience(
                    lambda: self._stream(client, url, name, partial), progress=lambda: partial.at
                )

        return fetch

    def size(self, url: str) -> int | None:
        """How many bytes the server says the file has; None when it does not."""
        try:
            with self._client(url) as client:
                answer = client.head(url)
        except httpx.HTTPError:
            return None  # fetching it will say why
        text = answer.headers.get("content-length", "")
        return int(text) if answer.status_code == 200 and text.isdigit() else None

    @contextlib.contextmanager
    def _client(self, url: str) -> Iterator[httpx.Client]:
        headers = {
            "user-agent": f"llmos/{version('llmos')}",
            # A compressed answer has other bytes, and none to go on from.
            "accept-encoding": "identity",
        }
        if self._token:
            # httpx takes it off when it is sent on to another server.
            headers["authorization"] = f"Bearer {self._token}"
            check_confidential(url)
        with httpx.Client(
            headers=headers,
            timeout=_TIMEOUT,
            follow_redirects=True,
            # The machine's certificates: those that a company has added count here too.
            verify=ssl.create_default_context(),
        ) as client:
            yield client

    def _stream(self, client: httpx.Client, url: str, name: str, partial: Partial) -> None:
        headers = {"range": f"bytes={partial.at}-"} if partial.at else {}
        try:
            with client.stream("GET", url, headers=headers) as answer:
                _check(answer, name, partial)
                # As it comes: pieces of a given size would be lost when the line breaks in one.
                for data in answer.iter_raw():
                    partial.write(data)
        except (httpx.UnsupportedProtocol, httpx.TooManyRedirects) as error:
            raise TransferFailed(f"{name}: {error}") from error
        except httpx.TransportError as error:
            raise Passing(f"{name}: {str(error) or type(error).__name__}") from error
        if partial.size is not None and partial.at < partial.size:
            raise Passing(f"{name}: the server stopped at byte {partial.at} of {partial.size}")


def check_confidential(url: str) -> None:
    """Raise BadAsk when a token would be read by others on its way to ``url``."""
    where = httpx.URL(url)
    if where.scheme != "https" and where.host not in _LOCAL:
        raise BadAsk(
            f"{where.scheme}://{where.host}: a token is not sent unencrypted",
            hint="Use an https endpoint, or take the token away.",
        )


def url_offer(web: Web, url: str, sha256: str, *, name: str | None = None) -> Offer:
    """The GGUF file at ``url``, which must have the digest.

    Raises:
        BadAsk: it is no URL.
        FormatError: it is no GGUF file, by its name.
    """
    try:
        urlsplit(url)  # httpx takes more for a URL than is one
        where = httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise BadAsk(f"{url[:200]!r} is no URL: {error}") from error
    if where.scheme not in {"https", "http"} or not where.host:
        raise BadAsk(f"{url[:200]!r} is no https or http URL")
    file = PurePosixPath(where.path).name
    refuse_pickle(file)
    refuse_part(file)
    if not file.endswith(".gguf"):
        file = f"{name or file}.gguf"
    # Without what may be a secret: an account, or a signature.
    source = str(where.copy_with(username=None, password=None, query=None, fragment=None))
    piece = Piece(file, web.fetcher(url, file), web.size(url), Digest.sha256(sha256))
    return Offer(name or file.removesuffix(".gguf"), Kind.GGUF, source, (piece,))


def _check(answer: httpx.Response, name: str, partial: Partial) -> None:
    """Make the partial ready for the body, or say why there is none."""
    status = answer.status_code
    if status == 206:
        found = _RANGE.fullmatch(answer.headers.get("content-range", ""))
        if found is None or int(found[1]) != partial.at:
            partial.restart()
            raise Passing(f"{name}: the server sent another part than it was asked for")
    elif status == 200:
        if partial.at:
            partial.restart()  # it knows no parts
    elif status == 416:
        partial.restart()  # there is no such part: what we have is of another file
        raise Passing(f"{name}: the server has no such part")
    elif is_passing(status):
        wait = retry_after(answer.headers.get("retry-after"))
        raise Passing(f"{name}: the server answered {status}", wait=wait)
    elif status in {401, 403}:
        raise TransferFailed(
            f"{name}: the server wants to know who you are ({status}), or does not want you",
            hint="Is a token needed? See: llmosctl model pull --help",
        )
    else:
        raise TransferFailed(f"{name}: the server answered {status} {answer.reason_phrase}")
