"""Models of the Hugging Face hub, or of a server that speaks its API.

``huggingface_hub`` asks the hub what a repository has and makes the URLs; :mod:`llmos_models.web`
fetches them, and says why. It is imported only when somebody pulls: it takes half a second.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from llmos_models.contents import Kind, is_kept, pickles, plain, refuse_part, refuse_pickle
from llmos_models.errors import BadAsk, FormatError, TransferFailed
from llmos_models.offer import Offer, Piece
from llmos_models.partial import Digest, DigestKind
from llmos_models.patience import Passing, Patience, is_passing, retry_after
from llmos_models.settings import HubSettings
from llmos_models.web import Web, check_confidential

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import ModelInfo, RepoSibling

_REFERENCE: Final = re.compile(
    r"hf:(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?::(?P<file>[^@]+))?(?:@(?P<revision>.+))?"
)
_TIMEOUT: Final = 30.0
_SHOWN: Final = 40
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_SHA1: Final = re.compile(r"[0-9a-f]{40}")
_QUIET: Final = {
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_XET": "1",
}


@dataclass(frozen=True)
class Reference:
    """``hf:OWNER/REPO[:FILE][@REVISION]``; ``file`` is a GGUF file or a quantisation."""

    repo: str
    file: str | None = None
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Read a reference; raises :class:`~llmos_models.errors.BadAsk`."""
        found = _REFERENCE.fullmatch(text)
        if found is None:
            raise BadAsk(
                f"{text[:200]!r} is no reference to the hub (accepted: hf:OWNER/REPO, "
                "hf:OWNER/REPO:FILE.gguf, hf:OWNER/REPO:Q4_K_M, each with @REVISION)"
            )
        return cls(found["repo"], found["file"], found["revision"])


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository; ``size`` in bytes."""

    path: str
    size: int
    digest: Digest


@dataclass(frozen=True)
class Repository:
    """What a repository has at one commit."""

    repo: str
    commit: str
    files: tuple[RemoteFile, ...]
    licence: str | None


class Hub:
    """Asks the hub; raises :class:`~llmos_models.errors.TransferFailed` and BadAsk."""

    def __init__(self, settings: HubSettings, *, patience: Patience | None = None) -> None:
        self._endpoint = settings.endpoint
        self._token = settings.token.secret if settings.token else None
        self._patience = patience or Patience()
        self._web = Web(token=self._token, patience=self._patience)

    def offer(self, reference: Reference, *, name: str | None = None) -> Offer:
        """The model of a repository that ``reference`` means.

        Raises:
            BadAsk: it has several, and the reference does not say which.
            FormatError: it has none that is ever opened.
        """
        there = self.repository(reference)
        chosen = choose(there.files, reference)
        pieces = tuple(self._piece(there, file) for file in chosen)
        if chosen[0].path.endswith(".gguf"):
            source = f"hf:{there.repo}:{chosen[0].path}@{there.commit}"
            usual, kind = pieces[0].path.removesuffix(".gguf"), Kind.GGUF
            left_out: tuple[str, ...] = ()
        else:
            source = f"hf:{there.repo}@{there.commit}"
            usual, kind = there.repo.partition("/")[2], Kind.SAFETENSORS
            left_out = tuple(plain(one.path) for one in there.files if one not in chosen)
        return Offer(name or usual, kind, source, pieces, there.licence, left_out)

    def repository(self, reference: Reference) -> Repository:
        """Ask what there is."""
        info = self._patience(lambda: self._ask(reference))
        try:
            return _repository(reference.repo, info)
        except (TypeError, AttributeError, ValueError) as error:
            raise self._no_hub(error) from error

    def _ask(self, reference: Reference) -> "ModelInfo":
        api = self._api()
        import httpx2  # noqa: PLC0415 - see the module's docstring
        from huggingface_hub import errors  # noqa: PLC0415

        try:
            return api.model_info(
                reference.repo,
                revision=reference.revision,
                files_metadata=True,
                timeout=_TIMEOUT,
            )
        except errors.GatedRepoError as error:
            raise TransferFailed(
                f"{reference.repo}: its owner wants to know who uses it",
                hint="Accept the terms on its page, then give a token: llmosctl model pull --help",
            ) from error
        except errors.RevisionNotFoundError as error:
            raise BadAsk(f"{reference.repo}: has no revision {reference.revision!r}") from error
        except errors.RepositoryNotFoundError as error:
            raise BadAsk(
                f"{reference.repo}: there is no such repository, or it is private",
                hint="For a private one give a token: llmosctl model pull --help",
            ) from error
        except errors.HFValidationError as error:
            raise BadAsk(f"{reference.repo}: {plain(str(error))}") from error
        except errors.HfHubHTTPError as error:
            status = error.response.status_code
            what = f"{reference.repo}: the hub answered {status}"
            if is_passing(status):
                wait = retry_after(error.response.headers.get("retry-after"))
                raise Passing(what, wait=wait) from error
            raise TransferFailed(f"{what} {error.response.reason_phrase}") from error
        except httpx2.TransportError as error:
            raise Passing(f"{api.endpoint}: {str(error) or type(error).__name__}") from error
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise self._no_hub(error) from error

    def _api(self) -> "HfApi":
        # Read by the library when it is imported. A machine that asks for a model tells nobody
        # what else it has, and its token is the one that it was given here.
        os.environ.update(_QUIET)
        from huggingface_hub import HfApi  # noqa: PLC0415

        api = HfApi(endpoint=self._endpoint, token=self._token or False)
        if self._token:
            check_confidential(api.endpoint)
        return api

    def _piece(self, there: Repository, file: RemoteFile) -> Piece:
        from huggingface_hub import hf_hub_url  # noqa: PLC0415

        name = file.path.rpartition("/")[2]
        url = hf_hub_url(
            there.repo, file.path, revision=there.commit, endpoint=self._api().endpoint
        )
        return Piece(name, self._web.fetcher(url, plain(name)), file.size, file.digest)

    def _no_hub(self, error: Exception) -> TransferFailed:
        where = self._endpoint or "the hub"
        return TransferFailed(f"{where}: does not answer as the hub does ({type(error).__name__})")


def choose(files: Sequence[RemoteFile], reference: Reference) -> list[RemoteFile]:
    """The files of the model that is meant: one GGUF file, or those of a safetensors model."""
    # A projector for pictures is no model by itself.
    gguf = [f for f in files if f.path.endswith(".gguf") and "mmproj" not in f.path.lower()]
    wanted = reference.file
    if wanted is None:
        if not gguf:
            return _safetensors(files, reference)
        found = gguf
    elif wanted.endswith(".gguf"):
        found = [file for file in files if file.path == wanted]
    else:
        refuse_pickle(wanted)
        # As a word of the name: Q4_K is not Q4_K_M.
        word = re.compile(rf"(^|[-._/]){re.escape(wanted)}([-./]|$)", re.IGNORECASE)
        found = [file for file in gguf if word.search(file.path.removesuffix(".gguf"))]
    if len(found) == 1:
        refuse_part(found[0].path)
        return found
    what = f"has no {wanted!r}" if not found else f"has {len(found)} GGUF files"
    if wanted and found:
        what += f" for {wanted!r}"
    lines = [f"  {one.size / 10**9:6.2f} GB  {plain(one.path)}" for one in (found or gguf)[:_SHOWN]]
    raise BadAsk(
        f"{reference.repo}: {what}",
        hint="\n".join(["Name one, as hf:OWNER/REPO:FILE or by its quantisation:", *lines])
        if lines
        else None,
    )


def _safetensors(files: Sequence[RemoteFile], reference: Reference) -> list[RemoteFile]:
    kept = [file for file in files if is_kept(file.path)]
    if not any(file.path.endswith(".safetensors") for file in kept):
        found = pickles(file.path for file in files)
        but = f", only pickles ({', '.join(map(plain, found))}), which are never opened"
        raise FormatError(
            f"{reference.repo}: has no GGUF and no safetensors files{but if found else ''}"
        )
    if not any(file.path == "config.json" for file in kept):
        raise FormatError(f"{reference.repo}: has no config.json beside its safetensors files")
    return kept


def _repository(repo: str, info: "ModelInfo") -> Repository:
    if not isinstance(info.sha, str) or not _SHA1.fullmatch(info.sha):
        raise ValueError("commit")
    licence = getattr(info.card_data, "license", None)
    return Repository(
        repo,
        info.sha,
        tuple(_file(sibling) for sibling in info.siblings or ()),
        plain(licence) if isinstance(licence, str) else None,
    )


def _file(sibling: "RepoSibling") -> RemoteFile:
    """A file with what it must hash to: without that it would have to be believed."""
    if sibling.lfs is not None:
        digest, size = Digest(DigestKind.SHA256, sibling.lfs.sha256), sibling.lfs.size
        sound = _SHA256.fullmatch(digest.hex)
    else:
        digest, size = Digest(DigestKind.GIT, sibling.blob_id or ""), sibling.size or 0
        sound = _SHA1.fullmatch(digest.hex)
    if not sound or size < 0:
        raise ValueError(sibling.rfilename)
    return RemoteFile(sibling.rfilename, size, digest)
