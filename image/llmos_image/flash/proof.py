"""Is the image what its maker made? Asked before a byte of the disk is touched."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from llmos_image import signing
from llmos_image.errors import UserError, VerifyFailed
from llmos_image.flash.meter import Advance, Meter
from llmos_image.flash.source import Source
from llmos_image.vm.toolbox import Toolbox

_PIECE = 4 * 1024**2


def prove(
    source: Source,
    *,
    keyring: Path,
    is_required: bool,
    tools: Callable[[], Toolbox],
    say: Callable[[str], None],
    meter: Meter,
) -> None:
    """Check the signature of the ``SHA256SUMS`` beside the image, and the image by them.

    What there is to check must be right; what is not there is said and, unless
    ``is_required``, put up with: an image that one has just built is rarely signed.

    Raises:
        VerifyFailed: something is wrong, or missing though required.
        UserError: the keyring is missing though required.
    """
    folder = source.path.parent
    if not (folder / signing.SUMS).is_file():
        if is_required:
            raise VerifyFailed(f"{folder}: no {signing.SUMS}, so nothing proves this image")
        say(f"There is no {signing.SUMS} beside it: nothing proves that it is whole.")
        return
    _prove_signature(folder, keyring, is_required, tools, say)
    _prove_sums(source, meter)


def _prove_signature(
    folder: Path,
    keyring: Path,
    is_required: bool,
    tools: Callable[[], Toolbox],
    say: Callable[[str], None],
) -> None:
    is_signed = (folder / signing.SIGNATURE).is_file()
    if is_required or (is_signed and keyring.is_file()):
        signing.verify_signature(folder, keyring, tools())
        say(f"Well signed by a key of {keyring}.")
    elif is_signed:
        say(f"It is signed, but there is no {keyring} to check that by (--keyring).")
    else:
        say("It is not signed: its checksums find damage, not malice.")


def _prove_sums(source: Source, meter: Meter) -> None:
    """Only the files that play a part: the other formats may not have been downloaded."""
    path = source.path.parent / signing.SUMS
    sums = signing.read_sums(path)
    files = [file for file in (source.manifest, source.path) if file is not None]
    for file in files:
        if file.name not in sums:
            raise VerifyFailed(f"{path}: does not name {file.name}")
    with meter.phase("Check", sum(file.stat().st_size for file in files)) as advance:
        for file in files:
            if (found := _sum_of(file, advance)) != sums[file.name]:
                raise VerifyFailed(
                    f"{file}: has the checksum {found}, not {sums[file.name]}",
                    hint="Copy or download it again.",
                )


def _sum_of(path: Path, advance: Advance) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
                advance(len(piece))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    return digest.hexdigest()
