"""Signing a folder's SHA256SUMS, and proving that a folder is what its signer made.

The signature is what systemd-sysupdate and systemd-pull check: ``SHA256SUMS.gpg``, a detached
binary OpenPGP signature over ``SHA256SUMS``.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from llmos_image.errors import BuildFailed, UserError, VerifyFailed
from llmos_image.openpgp import gnupg
from llmos_image.vm.toolbox import Toolbox

SUMS = "SHA256SUMS"
SIGNATURE = "SHA256SUMS.gpg"


def sign(folder: Path, key: Path, tools: Toolbox) -> Path:
    """Write the signature of ``folder``'s SHA256SUMS by the OpenPGP secret key in ``key``.

    Raises:
        UserError: the key is not there.
        BuildFailed: gpg failed: ``key`` holds no secret key, or one with a passphrase.
    """
    if not key.is_file():
        raise UserError(f"{key}: no such key", hint="Make keys: llmos-image keys")
    signature = folder / SIGNATURE
    with gnupg(tools, binds=[folder], ro_binds=[key]) as gpg:
        gpg("--import", key)
        # --yes is among gpg's options: an old signature is of old sums.
        gpg("--output", signature, "--detach-sign", folder / SUMS)
    return signature


def verify(folder: Path, keyring: Path, tools: Toolbox) -> Mapping[str, str]:
    """Prove that ``folder`` is signed by a key of ``keyring``, and its files are the signed ones.

    Returns the SHA-256 of each file by name; what SHA256SUMS does not name is not looked at.

    Raises:
        UserError: the keyring is not there.
        VerifyFailed: no signature, a wrong one, or a file that is missing or another.
    """
    verify_signature(folder, keyring, tools)
    return verify_sums(folder)


def verify_signature(folder: Path, keyring: Path, tools: Toolbox) -> None:
    """Prove that ``folder``'s SHA256SUMS was signed by a key of ``keyring``.

    Raises:
        UserError: the keyring is not there.
        VerifyFailed: there is no signature, or a wrong one.
    """
    if not keyring.is_file():
        raise UserError(f"{keyring}: no such keyring", hint="It is 'signing.pgp' beside the keys.")
    signature, sums = folder / SIGNATURE, folder / SUMS
    if not signature.is_file():
        raise VerifyFailed(
            f"{folder}: not signed (no {SIGNATURE})",
            hint="An image is signed when its spec names keys: [signing] keys = …",
        )
    try:
        # As systemd does it: whoever put the key into the keyring has decided to trust it.
        with gnupg(tools, ro_binds=[folder, keyring]) as gpg:
            ring = ["--no-default-keyring", "--keyring", keyring, "--trust-model", "always"]
            gpg(*ring, "--verify", signature, sums)
    except BuildFailed as error:
        raise VerifyFailed(
            f"{sums}: no good signature by a key of {keyring}\n{error.what}",
            hint="The files may have been changed, or were signed by another key.",
        ) from None


def verify_sums(folder: Path) -> Mapping[str, str]:
    """Prove that ``folder``'s files are those of its SHA256SUMS; their sums by name.

    Raises:
        VerifyFailed: the list is missing or unreadable, or a file is missing or another.
    """
    expected = read_sums(folder / SUMS)
    faults = []
    for name, digest in expected.items():
        try:
            with (folder / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            faults.append(f"  {name}: {error.strerror}")
            continue
        if found != digest:
            faults.append(f"  {name}: has {found}, not {digest}")
    if faults:
        raise VerifyFailed("\n".join([f"{folder}: not the files of its {SUMS}", *faults]))
    return expected


def read_sums(path: Path) -> Mapping[str, str]:
    """The checksums in a file as ``sha256sum`` writes it, by file name.

    Raises:
        VerifyFailed: there is no such file, or it says something else.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise VerifyFailed(f"{path}: cannot be read: {error}") from None
    sums = {}
    for number, line in enumerate(lines, 1):
        # A name with a path could lead out of the folder.
        match = re.fullmatch(r"([0-9a-f]{64}) [ *]([^/\\]+)", line)
        if match is None or match[2] in {".", ".."} or match[2] in sums:
            raise VerifyFailed(f"{path}: line {number} is not a checksum and a new plain file name")
        sums[match[2]] = match[1]
    if not sums:
        # A signed nothing proves nothing.
        raise VerifyFailed(f"{path}: names no files")
    return sums
