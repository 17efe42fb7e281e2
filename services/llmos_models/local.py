"""Models that lie on this machine or a stick: a GGUF file, or a folder."""

from collections.abc import Callable
from pathlib import Path

from llmos_models.contents import Kind, folder_facts, gguf_facts, is_kept, pickles, refuse_pickle
from llmos_models.errors import BadAsk, FormatError
from llmos_models.offer import Offer, Piece
from llmos_models.partial import CHUNK, Digest, Partial


def local_offer(path: Path, *, name: str | None = None, sha256: str | None = None) -> Offer:
    """What the file or folder ``path`` offers; ``sha256`` is what its one file must have.

    The headers are looked at already here: nobody waits for a copy of what cannot be used.

    Raises:
        BadAsk: there is nothing at ``path``, or ``sha256`` is for one file and there are many.
        FormatError: it is no model.
    """
    digest = Digest.sha256(sha256) if sha256 else None
    if path.is_dir():
        return _folder(path, name, digest)
    if not path.is_file():
        word = "is no file and no folder" if path.exists() else "there is no such file or folder"
        raise BadAsk(f"{path}: {word}")
    refuse_pickle(path.name)
    return _gguf(path, name, digest)


def _gguf(path: Path, name: str | None, digest: Digest | None) -> Offer:
    if path.suffix == ".safetensors":
        raise FormatError(
            f"{path}: is a part of a model",
            hint="Import the folder that it is in, with config.json and the tokenizer's files.",
        )
    gguf_facts(path, str(path))
    piece = Piece(path.name, _copy(path), path.stat().st_size, digest)
    return Offer(name or path.stem, Kind.GGUF, str(path.absolute()), (piece,))


def _folder(path: Path, name: str | None, digest: Digest | None) -> Offer:
    names = sorted(one.name for one in path.iterdir() if one.is_file())
    gguf = [one for one in names if one.endswith(".gguf")]
    if not any(one.endswith(".safetensors") for one in names):
        if len(gguf) == 1:
            return _gguf(path / gguf[0], name, digest)
        _refuse_folder(path, names, gguf)
    if "config.json" not in names:
        raise FormatError(f"{path}: has no config.json beside its safetensors files")
    if digest:
        raise BadAsk("--sha256: is for one file, and a folder has many")
    kept = [one for one in names if is_kept(one)]
    folder_facts({one: path / one for one in kept})
    pieces = tuple(Piece(one, _copy(path / one), (path / one).stat().st_size) for one in kept)
    left_out = tuple(one for one in names if one not in kept)
    source = path.absolute()
    return Offer(name or source.name, Kind.SAFETENSORS, str(source), pieces, left_out=left_out)


def _refuse_folder(path: Path, names: list[str], gguf: list[str]) -> None:
    if gguf:
        raise BadAsk(f"{path}: has {len(gguf)} GGUF files: name one of {', '.join(gguf)}")
    if found := pickles(names):
        raise FormatError(
            f"{path}: has only {', '.join(found)}: pickles, which can run anything when they are "
            "opened, and are never opened",
            hint="Look for the same model as GGUF or safetensors.",
        )
    raise FormatError(f"{path}: has no GGUF and no safetensors file")


def _copy(path: Path) -> Callable[[Partial], None]:
    def copy(partial: Partial) -> None:
        with path.open("rb", buffering=0) as file:
            file.seek(partial.at)
            while data := file.read(CHUNK):
                partial.write(data)

    return copy
