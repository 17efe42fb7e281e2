"""What to do about a program's failure, told from the end of its output."""

import re
from collections.abc import Iterable

# What the programs' words mean for a person, first match wins.
_DIAGNOSES = (
    (r"[Nn]o space left on device|not enough free space|Disk full",
     "The disk is full. LLMOS_CACHE and --out name other places; 'llmos-image clean' frees some."),
    (r"Temporary failure resolving|Could not resolve|Could not connect|Network is unreachable",
     "There is no network, or the mirror is down. A build needs one until its caches are filled."),
    (r"does not have a|404 +Not Found|400 +Bad Request",
     "The mirror lacks a suite that the image needs: name a full one, debian.mirror in the spec."),
    (r"NO_PUBKEY|is not signed|EXPKEYSIG",
     "The archive's signature cannot be checked: is debian-archive-keyring up to date?"),
    (r"Unable to locate package|has no installation candidate|Version '.*' for '.*' was not found",
     "A package of the spec (debian.packages) is not in the archive."),
    (r"certificate (verify failed|is not trusted)|SSL certificate problem",
     "A certificate is not trusted: behind a proxy, add its CA to the host's bundle."),
    (r"Could not fit requested partitions|populate.*No space|__populate_fs",
     "The files do not fit their partition: raise disk.root or disk.esp in the spec."),
)  # fmt: skip


def diagnose(lines: Iterable[str]) -> str | None:
    """What to do about a failure whose output ends in ``lines``, where that is known."""
    text = "\n".join(lines)
    return next((hint for pattern, hint in _DIAGNOSES if re.search(pattern, text)), None)
