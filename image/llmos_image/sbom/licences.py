"""Names of licences in Debian's and Python's files, as SPDX calls them."""

import re

# Debian's short names (and what people write instead), in lower case and without blanks.
_NAMES = {
    "0bsd": "0BSD",
    "afl-2.1": "AFL-2.1",
    "apache": "Apache-2.0",
    "apache-2": "Apache-2.0",
    "apache-2.0": "Apache-2.0",
    "apache2.0": "Apache-2.0",
    "artistic": "Artistic-1.0-Perl",
    "artistic-2.0": "Artistic-2.0",
    "beerware": "Beerware",
    "bsd-2-clause": "BSD-2-Clause",
    "bsd-2-clause-netbsd": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "bsd-4-clause": "BSD-4-Clause",
    "bsd-4-clause-uc": "BSD-4-Clause-UC",
    "bsl-1": "BSL-1.0",
    "bsl-1.0": "BSL-1.0",
    "bzip2-1.0.6": "bzip2-1.0.6",
    "cc-by-3.0": "CC-BY-3.0",
    "cc-by-4.0": "CC-BY-4.0",
    "cc-by-sa-3.0": "CC-BY-SA-3.0",
    "cc-by-sa-4.0": "CC-BY-SA-4.0",
    "cc0": "CC0-1.0",
    "cc0-1.0": "CC0-1.0",
    "curl": "curl",
    "expat": "MIT",
    "fsfap": "FSFAP",
    "fsful": "FSFUL",
    "fsfullr": "FSFULLR",
    "gfdl-niv-1.3": "GFDL-1.3-no-invariants-only",
    "gfdl-niv-1.3+": "GFDL-1.3-no-invariants-or-later",
    "gpl": "GPL-1.0-or-later",
    "gpl-any": "GPL-1.0-or-later",
    "isc": "ISC",
    "latex2e": "Latex2e",
    "lgpl": "LGPL-2.0-or-later",
    "mit": "MIT",
    "mit/x11": "MIT",
    "mpl-1.1": "MPL-1.1",
    "mpl-2.0": "MPL-2.0",
    "ms-pl": "MS-PL",
    "ofl-1.1": "OFL-1.1",
    "openssl": "OpenSSL",
    "psf-2": "PSF-2.0",
    "psf-2.0": "PSF-2.0",
    "python-2.0": "Python-2.0",
    "sleepycat": "Sleepycat",
    "sunpro": "SunPro",
    "tcl": "TCL",
    "unicode-dfs-2016": "Unicode-DFS-2016",
    "unlicense": "Unlicense",
    "wtfpl": "WTFPL",
    "x11": "X11",
    "zlib": "Zlib",
}
# GPL-2+, LGPL-2.1, GPL-3.0-or-later, GFDL-1.3+ …
_GNU = re.compile(r"(a?gpl|lgpl|gfdl)-?v?(\d(?:\.\d)?)(\+|-or-later|-only|)")
_EXCEPTIONS = {
    "autoconf": {"GPL-2.0": "Autoconf-exception-2.0", "GPL-3.0": "Autoconf-exception-3.0"},
    "bison": {"": "Bison-exception-2.2"},
    "bison-2.2": {"": "Bison-exception-2.2"},
    "classpath": {"": "Classpath-exception-2.0"},
    "font": {"": "Font-exception-2.0"},
    "gcc": {"GPL-3.0": "GCC-exception-3.1"},
    "libtool": {"GPL-2.0": "Libtool-exception"},
    "linux-syscall-note": {"": "Linux-syscall-note"},
    "llvm": {"": "LLVM-exception"},
}


def spdx_id(name: str) -> str | None:
    """SPDX's identifier, ``WITH`` its exception, of what ``name`` calls one licence.

    None when SPDX has no such licence, or the name leaves it open which one is meant.
    """
    base, _, exception = re.sub(r"\s+", " ", name.strip().lower()).partition(" with ")
    found = _plain(base)
    if found is None or not exception:
        return found
    named = exception.removesuffix(" exception").strip()
    for needed, spdx in _EXCEPTIONS.get(named, {}).items():
        if found.startswith(needed):
            return f"{found} WITH {spdx}"
    return None


def _plain(name: str) -> str | None:
    name = name.replace(" ", "-") if name.startswith(("apache", "bsd")) else name
    if name in _NAMES:
        return _NAMES[name]
    if (match := _GNU.fullmatch(name)) is None:
        return None
    family, version, later = match.groups()
    version = version if "." in version else f"{version}.0"
    suffix = "or-later" if later in {"+", "-or-later"} else "only"
    if family != "gfdl" or version in {"1.1", "1.2", "1.3"}:
        return f"{family.upper()}-{version}-{suffix}"
    return None


def all_of(expressions: set[str]) -> str | None:
    """One expression that asks for every one of ``expressions``."""
    parts = sorted(expressions)
    if len(parts) < 2:
        return parts[0] if parts else None
    return " AND ".join(f"({part})" if " OR " in part else part for part in parts)
