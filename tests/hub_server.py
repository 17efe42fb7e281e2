"""A Hugging Face hub of this host: its API as far as pulling a model needs it, and its moods.

As the real one it answers ``GET /api/models/REPO/revision/REV?blobs=True`` with the files and
their digests, and sends who fetches a file on to another server (its CDN) by a signed URL.
"""

import contextlib
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.web_server import answering

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LFS = (".gguf", ".safetensors", ".bin", ".model")


@dataclass
class Asked:
    """A request: by which of the two servers, what for, and with which header fields."""

    server: str
    method: str
    path: str
    headers: dict[str, str]


@dataclass
class Hub:
    """What is on it, and how it behaves; change what you like before you ask."""

    files: dict[str, bytes] = field(default_factory=dict)
    repo: str = "acme/poet"
    licence: str | None = "apache-2.0"
    token: str | None = None
    """Who does not bring it is refused."""

    gated: bool = False
    statuses: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    """What the next requests are answered with, before any is served."""

    cuts: list[int] = field(default_factory=list)
    """After how many bytes the next bodies break off."""

    held: list[int] = field(default_factory=list)
    """After how many bytes the next bodies wait for ``released``, and then break off."""

    released: threading.Event = field(default_factory=threading.Event)
    damaged: list[int] = field(default_factory=list)
    """At which byte the next bodies have another one; -1 for one that is right."""

    knows_ranges: bool = True
    lies: dict[str, str] = field(default_factory=dict)
    """Digests that the API gives instead of the right ones."""

    answer: bytes | None = None
    """What the API says instead of what it should."""

    asked: list[Asked] = field(default_factory=list)
    endpoint: str = ""
    cdn: str = ""

    @property
    def info(self) -> dict[str, Any]:
        """The repository as the API tells it."""
        return {
            "id": self.repo,
            "modelId": self.repo,
            "sha": COMMIT,
            "private": False,
            "tags": [],
            "cardData": {"license": self.licence} if self.licence else {},
            "siblings": [self._sibling(name, data) for name, data in self.files.items()],
        }

    def bodies(self, server: str = "cdn") -> list[Asked]:
        """The requests for content that a server had."""
        return [one for one in self.asked if one.server == server and one.method == "GET"]

    def _sibling(self, name: str, data: bytes) -> dict[str, Any]:
        git = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
        found: dict[str, Any] = {"rfilename": name, "size": len(data), "blobId": git}
        if name.endswith(LFS):
            sha256 = self.lies.get(name, hashlib.sha256(data).hexdigest())
            found["lfs"] = {"size": len(data), "sha256": sha256, "pointerSize": 134}
        return found


@contextlib.contextmanager
def hub_served(hub: Hub) -> Iterator[Hub]:
    """Serve ``hub`` on the loopback interface while the block runs."""
    with _served(hub, "cdn") as cdn, _served(hub, "hub") as port:
        hub.cdn, hub.endpoint = f"http://127.0.0.1:{cdn}", f"http://127.0.0.1:{port}"
        yield hub


def _served(hub: Hub, name: str) -> contextlib.AbstractContextManager[int]:
    return answering(type("Handler", (_Handler,), {"hub": hub, "name": name}))


class _Handler(http.server.BaseHTTPRequestHandler):
    hub: Hub
    name: str
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing: the test's own output matters."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        headers = {key.lower(): value for key, value in self.headers.items()}
        self.hub.asked.append(Asked(self.name, self.command, self.path, headers))
        if self.hub.statuses and self.command == "GET":
            self._send(*self.hub.statuses.pop(0))
        elif self.name == "cdn":
            self._content(urlsplit(self.path).path.removeprefix("/"))
        elif self.hub.token and headers.get("authorization") != f"Bearer {self.hub.token}":
            self._send(401, {"X-Error-Code": "GatedRepo" if self.hub.gated else "RepoNotFound"})
        else:
            self._hub()

    def _hub(self) -> None:
        where = urlsplit(self.path)
        api, files = f"/api/models/{self.hub.repo}", f"/{self.hub.repo}/resolve/{COMMIT}/"
        if where.path.startswith(files):
            name = where.path.removeprefix(files)
            if name not in self.hub.files:
                self._send(404, {"X-Error-Code": "EntryNotFound"})
            elif name.endswith(LFS):
                digest = hashlib.sha256(self.hub.files[name]).hexdigest()
                location = f"{self.hub.cdn}/{name}?X-Signature=secret"
                self._send(302, {"Location": location, "X-Linked-ETag": f'"{digest}"'})
            else:
                self._content(name)
        elif where.path not in {api, f"{api}/revision/main", f"{api}/revision/v1"}:
            known = where.path.startswith(f"{api}/revision/")
            self._send(404, {"X-Error-Code": "RevisionNotFound" if known else "RepoNotFound"})
        else:
            assert parse_qs(where.query)["blobs"] == ["true"]
            body = self.hub.answer or json.dumps(self.hub.info).encode()
            self._send(200, {"Content-Type": "application/json"}, body)

    def _content(self, name: str) -> None:
        data = bytearray(self.hub.files[name])
        total, start = len(data), 0
        status, headers = 200, {"ETag": f'"{hashlib.sha256(data).hexdigest()}"'}
        asked = self.headers.get("range")
        if asked and self.hub.knows_ranges:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= total:
                self._send(416, {"Content-Range": f"bytes */{total}"})
                return
            status, headers["Content-Range"] = 206, f"bytes {start}-{total - 1}/{total}"
        if self.command == "GET" and self.hub.damaged:
            at = self.hub.damaged.pop(0)
            if at >= 0:
                data[at] ^= 1
        self._send(status, headers, bytes(data[start:]))

    def _send(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status, HTTPStatus(status).phrase)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        with contextlib.suppress(ConnectionError):
            if self.name == "cdn" and self.hub.held:
                self.wfile.write(body[: self.hub.held.pop(0)])
                self.hub.released.wait(60)
                self.close_connection = True
            elif self.name == "cdn" and self.hub.cuts:
                self.wfile.write(body[: self.hub.cuts.pop(0)])
                self.close_connection = True
            else:
                self.wfile.write(body)
