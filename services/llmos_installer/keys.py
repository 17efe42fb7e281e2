"""Recovery keys and hashes of passwords."""

import ctypes
import secrets
from typing import Final

from llmos_installer.errors import InstallerError

ALPHABET: Final = "cbdefghijklnrtuv"
"""In the same place on most keyboards with Latin letters (systemd-cryptenroll(1))."""
GROUPS: Final = 8
GROUP: Final = 8
LEAST_LENGTH: Final = 8
"""Letters of a passphrase or a password; no other rule makes one better."""
LONGEST: Final = 512
_LIBRARY: Final = "libcrypt.so.1"


def new_recovery_key() -> str:
    """256 random bits as a person can type them: eight groups of eight letters."""
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(GROUP)) for _ in range(GROUPS))


def same_key(typed: str, key: str) -> bool:
    """Whether a typed recovery key is right; dashes and the size of letters do not count."""
    plain = typed.lower().replace("-", "").replace(" ", "")
    return secrets.compare_digest(plain.encode(), key.replace("-", "").encode())


def is_recovery_key(text: str) -> bool:
    """Whether ``text`` is written as a recovery key is."""
    groups = text.split("-")
    return len(groups) == GROUPS and all(
        len(group) == GROUP and set(group) <= set(ALPHABET) for group in groups
    )


def passphrase_fault(text: str) -> str:
    """Say what is wrong with a passphrase; empty when nothing is."""
    if not LEAST_LENGTH <= len(text) <= LONGEST:
        return f"has {len(text)} letters (accepted: {LEAST_LENGTH} to {LONGEST})"
    return "" if text.isprintable() else "has letters that cannot be typed"


def hash_password(password: str) -> str:
    """The hash that ``/etc/shadow`` holds, by the system's own library (crypt(3)).

    Python 3.13 has none; the library is the one that checks the password later.

    Raises:
        InstallerError: the library is missing or refuses.
    """
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise InstallerError(f"{_LIBRARY}: {error}") from None
    for name in ("crypt", "crypt_gensalt"):
        getattr(library, name).restype = ctypes.c_char_p
    # No prefix: the library's own preference; no random bytes: it takes its own.
    salt = library.crypt_gensalt(None, ctypes.c_ulong(0), None, 0)
    hashed = library.crypt(password.encode(), ctypes.c_char_p(salt)) if salt else None
    if not hashed or hashed.startswith(b"*"):
        raise InstallerError(f"{_LIBRARY}: the password could not be hashed")
    return str(hashed.decode("ascii"))
