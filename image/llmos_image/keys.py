"""Making the keys of an image, once, by one command.

    DIR/secureboot/{PK,KEK,db}.{key,crt}   Secure Boot: RSA keys and X.509 certificates, PEM
    DIR/signing.key                        OpenPGP secret key, armoured: signs SHA256SUMS
    DIR/signing.pgp                        its public key, a binary keyring as systemd reads

Whoever has the secret ones can make images that machines with these keys trust. They appear
together or not at all, for their owner only, and nothing here ever writes over one.
"""

import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from llmos_image.errors import UserError
from llmos_image.openpgp import gnupg
from llmos_image.run import output
from llmos_image.vm.toolbox import Toolbox

SECURE_BOOT = ("PK", "KEK", "db")
# Nobody changes a firmware's keys while a machine lives.
_DAYS = 20 * 365
# What the UEFI specification demands of every firmware; many refuse 4096.
_RSA_BITS = 2048


@dataclass(frozen=True)
class Keys:
    """The keys in a folder; none of them need be there."""

    folder: Path

    @property
    def secret(self) -> Path:
        """The OpenPGP secret key that signs."""
        return self.folder / "signing.key"

    @property
    def keyring(self) -> Path:
        """The OpenPGP public key that verifies."""
        return self.folder / "signing.pgp"

    def secure_boot_key(self, name: str) -> Path:
        """The private key ``name``, one of ``SECURE_BOOT``."""
        return self.folder / "secureboot" / f"{name}.key"

    def secure_boot_certificate(self, name: str) -> Path:
        """The certificate of the key ``name``."""
        return self.folder / "secureboot" / f"{name}.crt"


def make(folder: Path, *, name: str, tools: Toolbox) -> Keys:
    """Make all keys in the new or empty ``folder``; ``name`` is their owner's, for people to read.

    Raises:
        UserError: the folder holds something, or cannot be made; the name has odd characters.
        BuildFailed: openssl or gpg failed; nothing is left behind.
    """
    if not re.fullmatch(r"\w[\w .@-]{1,50}", name):
        raise UserError(
            f"{name!r} is not a name for keys (accepted: 2 to 51 letters, digits, "
            "spaces, '.', '@', '-')"
        )
    _refuse_occupied(folder)
    try:
        folder.absolute().parent.mkdir(parents=True, exist_ok=True)
        # Beside it, so that it takes its place by one rename. mkdtemp's mode is 0700.
        made = Keys(Path(tempfile.mkdtemp(prefix=".keys-", dir=folder.absolute().parent)))
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}", hint="Name another folder.") from None
    try:
        _make_secure_boot(made, name, tools)
        _make_signing(made, name, tools)
        for path in made.folder.rglob("*"):
            path.chmod(0o700 if path.is_dir() else 0o600)
        made.folder.rename(folder)
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}", hint="Name another folder.") from None
    finally:
        shutil.rmtree(made.folder, ignore_errors=True)
    return Keys(folder)


def _refuse_occupied(folder: Path) -> None:
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise UserError(f"{folder}: not a folder", hint="Name a new or an empty folder.")
    if any(folder.iterdir()):
        raise UserError(
            f"{folder}: not empty; keys are never overwritten",
            hint="Machines trust what these keys signed. For other keys name a new folder.",
        )


def _make_secure_boot(keys: Keys, name: str, tools: Toolbox) -> None:
    (keys.folder / "secureboot").mkdir()
    for kind in SECURE_BOOT:
        argv = ["openssl", "req", "-x509", "-newkey", f"rsa:{_RSA_BITS}", "-sha256", "-noenc"]
        argv += ["-days", str(_DAYS), "-subj", f"/CN={name} {kind}", "-utf8"]
        argv += ["-keyout", str(keys.secure_boot_key(kind))]
        argv += ["-out", str(keys.secure_boot_certificate(kind))]
        output(tools.argv(argv, binds=[keys.folder]))


def _make_signing(keys: Keys, name: str, tools: Toolbox) -> None:
    with gnupg(tools, binds=[keys.folder]) as gpg:
        gpg("--quick-generate-key", name, "ed25519", "sign", "never")
        gpg("--armor", "--output", keys.secret, "--export-secret-keys")
        gpg("--output", keys.keyring, "--export")
