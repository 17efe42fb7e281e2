"""Invented literals: what people have in their folders, in every form they write it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from model.vocabulary import LISTS

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

_APPS = LISTS["apps"]
_FOLDERS = LISTS["folders"]
_SERVICES = LISTS["services"]
_TEXTS = LISTS["texts"]
_ORDINARY = LISTS["ordinary"]
_SYLLABLES = LISTS["syllables"]
_THINGS = LISTS["things"]
_EXTENSIONS = LISTS["extensions"]
_PLURALS = LISTS["plurals"]
_ROOTS = LISTS["roots"]
_KNOWN_FILES = LISTS["known_files"]
_BINARIES = LISTS["binaries"]
_PACKAGES = LISTS["packages"]
_UNITS = LISTS["units"]
_PROCESSES = LISTS["processes"]
_HOSTS = LISTS["hosts"]
_PHRASES = LISTS["phrases"]
_SIZE_UNITS = {
    "k": ["k", "K", "kb", "KB", " KB", " kB", " kilobytes", " kilobyte", "KiB", " kb"],
    "M": ["M", "m", "mb", "MB", " MB", " megabytes", " megs", " meg", "MiB", " mb", " M", " Mb"],
    "G": ["G", "g", "gb", "GB", " GB", " gigabytes", " gigs", " gig", "GiB", " gb", " gigabyte"],
    "c": [" bytes", "b", " bytes", " byte"],
}
_NUMBER_WORDS = LISTS["number_words"]


@dataclass(frozen=True)
class Name:
    """A literal as typed, and the value that belongs into the command."""

    typed: str
    value: str


def invent(role: str, rng: random.Random) -> Name:
    """Invent a literal for a role of the grammar."""
    return _MAKERS[role](rng)


def word(rng: random.Random) -> str:
    """Invent a word that no list holds, or take one that people use as a name."""
    draw = rng.random()
    if draw < 0.1:
        return rng.choice(_ORDINARY)
    if draw < 0.5:
        return rng.choice(_THINGS)
    made = "".join(rng.choices(_SYLLABLES, k=rng.randint(2, 4)))
    return rng.choice(
        [made, made, made, made.capitalize(), made.upper(), f"{made}{rng.randint(1, 99)}"]
    )


def _bare(rng: random.Random) -> str:
    """A name without an extension: a word, two joined words, something with digits."""
    one, two = word(rng), word(rng)
    joined = [f"{one}-{two}", f"{one}_{two}", f"{one}{rng.randint(1, 2030)}", f"My{two.title()}"]
    return rng.choice([one] * 7 + joined)


def _file_name(rng: random.Random) -> str:
    return f"{_bare(rng)}.{rng.choice(_EXTENSIONS)}"


def _spaced(rng: random.Random) -> str:
    parts = [word(rng) for _ in range(rng.randint(2, 3))]
    return " ".join([rng.choice(["My", "my", parts[0], "old"]), *parts[1:]])


def _folder(rng: random.Random) -> str:
    if rng.random() < 0.55:
        return rng.choice(_ROOTS)
    root = rng.choice(
        ["~/", "/", "./", "../", "", "/home/anna/", "/srv/", "/var/", "/mnt/", "/opt/"]
    )
    parts = [_bare(rng) for _ in range(rng.randint(1, 3))]
    return root + "/".join(parts) + rng.choice(["/", "", "/" if not root else ""])


def _file_path(rng: random.Random) -> str:
    folder = _folder(rng)
    return f"{folder.rstrip('/')}/{_file_name(rng)}"


def _quoted(name: str, rng: random.Random) -> Name:
    quotes = rng.choice(['""', '""', "''", "''", "“”", "‘’", "``"])
    return Name(f"{quotes[0]}{name}{quotes[1]}", name)


def _plain(name: str) -> Name:
    return Name(name, name)


def _maybe_quoted(name: str, rng: random.Random, chance: float = 0.08) -> Name:
    if " " in name or rng.random() < chance:
        return _quoted(name, rng)
    return _plain(name)


def _any_folder(rng: random.Random) -> Name:
    draw = rng.random()
    if draw < 0.70:
        return _maybe_quoted(_folder(rng), rng, 0.03)
    if draw < 0.80:
        return _plain(_bare(rng))
    if draw < 0.85:
        return _plain(_cased(rng.choice(_FOLDERS), rng))
    if draw < 0.93:
        return _plain(rng.choice([_file_path, _file_name])(rng))
    return _quoted(_spaced(rng), rng)


def _word_folder(rng: random.Random) -> Name:
    known = _cased(rng.choice(_FOLDERS), rng)
    return _maybe_quoted(rng.choice([known, _bare(rng), _bare(rng)]), rng)


def _cased(name: str, rng: random.Random) -> str:
    return rng.choice([name, name, name, name.capitalize(), name.upper()])


def _slashed(rng: random.Random) -> Name:
    return _plain(_folder(rng).rstrip("/") + "/")


def _folder_path(rng: random.Random) -> Name:
    path = _folder(rng)
    return _plain(path if "/" in path else f"~/{path}")


def _removable(rng: random.Random) -> Name:
    draw = rng.random()
    if draw < 0.5:
        return _plain(_folder(rng).rstrip("/") or "/srv/old")
    if draw < 0.9:
        return _word_folder(rng)
    return _quoted(_spaced(rng), rng)


def _any_file(rng: random.Random) -> Name:
    draw = rng.random()
    if draw < 0.35:
        return _maybe_quoted(_file_name(rng), rng)
    if draw < 0.65:
        return _plain(_file_path(rng))
    if draw < 0.85:
        return _plain(rng.choice(_KNOWN_FILES))
    if draw < 0.90:
        return _plain(_bare(rng))
    if draw < 0.96:
        return _quoted(f"{_spaced(rng)}.{rng.choice(_EXTENSIONS)}", rng)
    return _plain(_folder(rng).rstrip("/") + "/" + _bare(rng))


def _any_path(rng: random.Random) -> Name:
    return rng.choice([_any_folder, _any_folder, _any_file])(rng)


def _any_name(rng: random.Random) -> Name:
    draw = rng.random()
    if draw < 0.35:
        return _maybe_quoted(_bare(rng), rng)
    if draw < 0.60:
        return _maybe_quoted(_file_name(rng), rng)
    if draw < 0.75:
        return _plain(_cased(rng.choice([*_FOLDERS, *_TEXTS, *_APPS]), rng))
    if draw < 0.80:
        return _plain(str(rng.randint(1990, 2030)))
    if draw < 0.85:
        return _plain(rng.choice(_KNOWN_FILES).rpartition("/")[2])
    return _quoted(rng.choice([_spaced(rng), _bare(rng)]), rng)


def _new_folder(rng: random.Random) -> Name:
    draw = rng.random()
    if draw < 0.5:
        return _word_folder(rng)
    if draw < 0.85:
        return _plain(_folder(rng).rstrip("/") + "/" + _bare(rng))
    return _quoted(_spaced(rng), rng)


def _new_folder_path(rng: random.Random) -> Name:
    return _plain(_folder(rng).rstrip("/") + "/" + _bare(rng) + rng.choice(["", "/"]))


def _new_file(rng: random.Random) -> Name:
    return _any_file(rng) if rng.random() < 0.3 else _maybe_quoted(_file_name(rng), rng)


def _new_name(rng: random.Random) -> Name:
    return _maybe_quoted(
        rng.choice([_bare(rng), _bare(rng), _cased(rng.choice(_FOLDERS), rng)]), rng
    )


def _source(rng: random.Random) -> Name:
    return rng.choice([_any_file, _any_file, _any_folder, _word_folder])(rng)


def _target(rng: random.Random) -> Name:
    return rng.choice([_any_folder, _any_folder, _any_file, _word_folder])(rng)


def _glob(rng: random.Random) -> Name:
    ending, name = rng.choice(_EXTENSIONS), word(rng)
    pattern = rng.choice(
        [f"*.{ending}"] * 6
        + [f"{name}*", f"*{name}*", f"{name}*.{ending}", f"{name}?.{ending}", f"[a-c]*.{ending}"]
        + [
            f"*_{name}.{ending}",
            f"{name}-*.{ending}",
            f"*.{ending}.bak",
            f"{name}[0-9].{ending}",
            "*~",
        ]
    )
    return _maybe_quoted(pattern, rng)


def _path_glob(rng: random.Random) -> str:
    return f"{_folder(rng).rstrip('/')}/*.{rng.choice(_EXTENSIONS)}"


def _extension(rng: random.Random) -> Name:
    ending = rng.choice([one for one in _EXTENSIONS if "." not in one and len(one) > 1])
    return rng.choice(
        [Name(ending, ending)] * 4 + [Name(f".{ending}", ending)] * 2 + _shouted(ending)
    )


def _shouted(ending: str) -> list[Name]:
    return [Name(ending.upper(), ending)] if ending in _PLURALS else []


def _plural(rng: random.Random) -> Name:
    ending = rng.choice(_PLURALS)
    return rng.choice([Name(f"{ending}s", ending), Name(f"{ending.upper()}s", ending)])


def _dotted(rng: random.Random) -> Name:
    ending = _extension(rng).value
    return rng.choice(
        [Name(f".{ending}", ending), Name(f".{ending}", ending), Name(ending, ending)]
    )


def _size(rng: random.Random) -> Name:
    if rng.random() < 0.05:
        return rng.choice(
            [Name("a gigabyte", "1G"), Name("one gig", "1G"), Name("a megabyte", "1M")]
        )
    unit = rng.choice("kMMMGGc")
    number = rng.choice(
        [rng.randint(1, 20), rng.choice([25, 50, 100, 200, 250, 500]), rng.randint(1, 999)]
    )
    return Name(f"{number}{rng.choice(_SIZE_UNITS[unit])}", f"{number}{unit}")


def _number(rng: random.Random) -> Name:
    number = rng.choice(
        [
            rng.randint(1, 12),
            rng.randint(1, 12),
            rng.choice([15, 20, 25, 30, 50, 100]),
            rng.randint(2, 999),
        ]
    )
    typed = _NUMBER_WORDS[number - 1] if number <= 12 and rng.random() < 0.35 else str(number)
    return Name(typed, str(number))


def _host(rng: random.Random) -> Name:
    host = rng.choice(_HOSTS)
    if rng.random() < 0.4:
        made = "".join(rng.choices(_SYLLABLES, k=3))
        host = rng.choice(
            [f"{made}.com", f"www.{made}.org", f"{made}.example.net", f"10.0.{rng.randint(0, 9)}.7"]
        )
    if host[0].isalpha() and rng.random() < 0.07:
        return Name(f"https://{host}/", host)
    return _plain(host)


def _debian_name(choices: tuple[str, ...], rng: random.Random, invented: float = 0.25) -> Name:
    name = word(rng).lower() if rng.random() < invented else rng.choice(choices)
    typed = name.capitalize() if name.isalpha() and rng.random() < 0.12 else name
    return _maybe_quoted(typed, rng, 0.04)


def _service(rng: random.Random) -> Name:
    return _debian_name(rng.choice([_SERVICES, _SERVICES, _UNITS]), rng)


def _package(rng: random.Random) -> Name:
    return _debian_name((*_PACKAGES, *_APPS), rng)


def _process(rng: random.Random) -> Name:
    return _debian_name(rng.choice([_PROCESSES, _APPS, _SERVICES]), rng)


def _app(rng: random.Random) -> Name:
    return _plain(_cased(rng.choice(_APPS), rng))


def _text(rng: random.Random) -> Name:
    draw = rng.random()
    if draw < 0.35:
        return _quoted(rng.choice([*_PHRASES, *_TEXTS]).strip(), rng)
    if draw < 0.65:
        return _plain(_cased(rng.choice(_TEXTS), rng))
    if draw < 0.80:
        return _plain(
            rng.choice(
                ["TODO", "FIXME", "404", "localhost", "eth0", "192.168.1.1", "sda1", "main.c"]
            )
        )
    return _plain(_bare(rng))


def _binary(rng: random.Random) -> Name:
    return _plain(rng.choice([rng.choice(_BINARIES), rng.choice(_BINARIES), _any_file(rng).value]))


def _archive(rng: random.Random) -> Name:
    ending = rng.choice(["tar.gz", "tar.gz", "tgz", "tar", "tar.xz", "tar.bz2"])
    name = f"{_bare(rng)}.{ending}"
    if rng.random() < 0.3:
        name = f"{_folder(rng).rstrip('/')}/{name}"
    return _maybe_quoted(name, rng)


_MAKERS: dict[str, Callable[[random.Random], Name]] = {
    "app": _app,
    "archive": _archive,
    "dir": _any_folder,
    "dir1": _removable,
    "dir2": lambda rng: rng.choice([_any_folder, _removable])(rng),
    "dirname": _word_folder,
    "dirpath": _folder_path,
    "dirslash": _slashed,
    "dotext": _dotted,
    "dst": _target,
    "dstname": lambda rng: rng.choice([_new_name(rng), _maybe_quoted(_file_name(rng), rng)]),
    "ext": _extension,
    "exts": _plural,
    "file": _any_file,
    "file2": _any_file,
    "filepath": _binary,
    "glob": _glob,
    "host": _host,
    "name": _any_name,
    "newdir": _new_folder,
    "newdirname": _word_folder,
    "newdirpath": _new_folder_path,
    "newfile": _new_file,
    "newname": _new_name,
    "num": _number,
    "package": _package,
    "path": _any_path,
    "process": _process,
    "service": _service,
    "size": _size,
    "src": _source,
    "text": _text,
    "text2": _text,
    "word": lambda rng: _plain(word(rng)),
}
