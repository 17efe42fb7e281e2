"""What a single word of a request looks like: a path, a glob, a size, a number, a host.

Everything here is decided by form alone; nothing looks at the file system.
"""

from __future__ import annotations

import ipaddress
import re
from fractions import Fraction


def _set(spaced: str) -> frozenset[str]:
    return frozenset(spaced.split())


QUOTES = {'"': '"', "'": "'", "`": "`", "“": "”", "„": "“", "‘": "’", "«": "»"}

# A known word is given as a name as well where people put names: "a folder called backup",
# "remove the directory memory", "rename it to disk", "search for address in …". To take too many
# for names is harmless, because the word itself is kept beside the slot.
_NAMED_BY = _set(
    "called named titled phrase string text word words pattern containing contains contain "
    "mentioning mentions mention saying says keyword term expression "
    "file folder directory dir subfolder subdirectory package program service daemon unit process "
    "grep mkdir rmdir touch rm cat ping locate"
)
_NAMED_BY_AT_END = _set(
    "to for as into delete remove erase restart start stop reload find open extract unpack copy "
    "move rename in inside under within"
)
_NAME_ENDS_BEFORE = _set("in inside under within below from to into as please now through")
_KEEPS_A_NAME = _set("folder directory dir file service daemon package process")
_BEFORE_A_NAME = _set("a an the my this that")
# These are never names, wherever they stand.
NEVER_NAMES = _set(
    "a about above all an and any are as at been below big by called contain containing contains "
    "count counts current do document documents does empty entire every file files folder folders "
    "directory directories for from has have here hidden home how i in inside installed into is it "
    "its large larger list located lists like me my name named names new newest now occurrences of "
    "old older on or over please recursively root running same size sizes smaller something text "
    "than that the them there these they this those to type under us was we were what when where "
    "which whole with within word words working you your listing listings size system sorted by "
    "tree space info use total general case order older newer bigger empty first last latest "
    "largest biggest not only also"
)
# Written with a slash and yet no path.
SLASHED_WORDS = _set("and/or file/folder files/folders folder/file i/o start/stop tcp/ip")

_BASIC_NUMBERS = "one two three four five six seven eight nine ten eleven twelve"
NUMBER_WORDS = {word: str(value) for value, word in enumerate(_BASIC_NUMBERS.split(), start=1)} | {
    "fifteen": "15",
    "twenty": "20",
    "thirty": "30",
    "forty": "40",
    "fifty": "50",
    "hundred": "100",
}
_COUNTED = _set(
    "minute minutes hour hours day days week weeks month months year years line lines row rows "
    "file files folder folders directory directories entry entries message messages process "
    "processes program programs result results time times thing things item items "
    "largest biggest smallest newest oldest latest last first most top recent heaviest hungriest "
    "packets pings"
)
_COUNTED_AFTER = _set("top first last")

_NUMBER = r"\d{1,3}(?:,\d{3})+(?!\d)|\d+"
_UNITS = {
    "c": "b byte bytes",
    "k": "k kb kib kilobyte kilobytes kbyte kbytes kilo kilos",
    "M": "m mb mib meg megs mega megabyte megabytes mbyte mbytes",
    "G": "g gb gib gig gigs giga gigabyte gigabytes gbyte gbytes",
    "T": "t tb tib terabyte terabytes tera",
}
_SUFFIX_OF = {spelling: suffix for suffix, all_of in _UNITS.items() for spelling in all_of.split()}
_BYTES = {"c": 1, "k": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_SIZE = re.compile(rf"(half an?|an?|one|(?:{_NUMBER})(?:[.,]\d+)?)(\s?)([A-Za-z]+)", re.IGNORECASE)
_GLUED = re.compile(rf"({_NUMBER})([A-Za-z]*)")
_GLUED_UNITS = {
    "min": "minutes",
    "mins": "minutes",
    "minutes": "minutes",
    "h": "hours",
    "hr": "hours",
    "hrs": "hours",
    "hour": "hour",
    "hours": "hours",
    "d": "days",
    "day": "day",
    "days": "days",
    "w": "weeks",
    "wk": "weeks",
    "week": "week",
    "weeks": "weeks",
    "month": "month",
    "months": "months",
    "x": "times",
}

_TOP_LEVEL = _set(
    "com org net edu gov mil int info biz io dev ai app cloud xyz tech online site eu us uk co ca "
    "de fr nl es it ch at be lu dk se no fi is pl cz sk hu ro bg gr pt ie ru ua tr il jp cn kr tw "
    "hk sg in id my ph vn th au nz br mx ar cl pe za ng ke eg ma tv me fm local localdomain lan "
    "home internal intranet corp test example invalid arpa onion"
)
# Extensions of files that are top-level domains as well; a file is the better guess.
_FILE_FIRST = _set("in is me pl py sh rs md so cc ps mov zip id my ma ai app")
_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_HOST_NAME = re.compile(rf"((?:{_LABEL}\.)+([a-z]{{2,}}))\.?(?::\d+)?", re.IGNORECASE)
_URL = re.compile(
    r"[a-z][a-z0-9+.-]*://(?:[^/@\s]*@)?(\[[0-9a-f:.]+\]|[^/:?#\s]+)\S*", re.IGNORECASE
)

_UNIT_FILES = ("service", "socket", "timer", "target", "mount", "slice", "scope", "path")
_EXTENSION = re.compile(r"[^\s/]*[^\s/.]\.(?:[A-Za-z0-9_+-]*[A-Za-z][A-Za-z0-9_+~-]*|\d+)")
_ARCHIVE = re.compile(r"\.(tar(\.\w+)?|t[gbx]z2?|zip|7z|rar|gz|xz|bz2|zst)$", re.IGNORECASE)
_VERSION = re.compile(r"[A-Za-z+-]*\d*(?:\.\d+)+")
_PLURAL_EXTENSIONS = _set(
    "csvs docxs epubs gifs isos jpegs jpgs jsons mkvs mp3s mp4s odts pdfs pngs pptxs svgs tifs "
    "txts wavs webps xlsxs xmls zips"
)
_BARE_FILES = _set(
    "authors changelog contributing copying dockerfile gemfile jenkinsfile license makefile "
    "procfile rakefile readme todo vagrantfile"
)
_OF_EXTENSION = _set(
    "archive archives document documents extension extensions file files image images photo photos "
    "picture pictures suffix"
)
_FOLDER_NAMES = _set(
    ". .. ~ bin boot cache desktop dev doc docs documents downloads etc home lib log logs "
    "media mnt music opt pictures proc projects public root run sbin share spool srv src sys "
    "templates tmp usr var videos work www"
)
_BARE_EXTENSION = re.compile(r"\*?\.([A-Za-z0-9]{1,8})")
_BEFORE_DOT = _set("in of from under at to list ls here inside within into for")


def trim(raw: str) -> str:
    """Take the punctuation of the sentence off a word; keep the dots and stars of names."""
    text = raw.lstrip("([{<,;¿¡\"'“‘") if not raw.startswith("[") or "]" not in raw else raw
    if text in {".", ".."} or text.endswith(("/.", "/..")):
        return text
    text = re.sub(r"""[,;:!"'”’]+$""", "", text)
    while text and text[-1] in ".?!,;:)}>\"'":
        bracketed = text[-1] in ")}" and any(opening in text for opening in "({")
        if bracketed or text in {".", ".."}:
            break
        text = text[:-1]
    return text if re.search(r"\w|[*?~/.$]|[^\x00-\x7f]", text) else ""


def as_size(typed: str) -> str | None:
    """Return a size as ``find -size`` takes it: "10 MB" → ``10M``, "1.5 gigabytes" → ``1536M``."""
    match = _SIZE.fullmatch(typed)
    if match is None:
        return None
    amount, space, unit = match[1].lower(), match[2], match[3]
    suffix = _SUFFIX_OF.get(unit.lower())
    # "10 m" may be metres or minutes; "10 M" and "10m" are sizes.
    if suffix is None or (space and len(unit) == 1 and unit not in "KMGT"):
        return None
    if amount.startswith(("half", "a", "one")):
        if not space or len(unit) == 1:
            return None
        return _exact(Fraction(1, 2) if amount.startswith("half") else Fraction(1), suffix)
    if re.fullmatch(r"\d{1,3}(,\d{3})+", amount):
        amount = amount.replace(",", "")
    return _exact(Fraction(amount.replace(",", ".")), suffix)


def _exact(amount: Fraction, suffix: str) -> str:
    """Write a size in the largest unit that ``find`` knows and that leaves no fraction."""
    if amount.denominator == 1 and suffix != "T":
        return f"{amount.numerator}{suffix}"
    size = amount * _BYTES[suffix]
    for smaller in ("G", "M", "k"):
        whole = size / _BYTES[smaller]
        if whole.denominator == 1 and whole:
            return f"{whole.numerator}{smaller}"
    return f"{round(size)}c"


def as_glued_number(text: str) -> tuple[str, str] | None:
    """Return number and unit of "10", "1,000", "24h" or "3days"; the unit may be empty."""
    match = _GLUED.fullmatch(text)
    if match is None:
        return None
    unit = match[2].lower()
    if unit and unit not in _GLUED_UNITS:
        return None
    # int() would refuse absurdly long numbers; the zeros are all that has to go.
    digits = match[1].replace(",", "").lstrip("0") or "0"
    return digits, _GLUED_UNITS[unit] if unit else ""


def counts_units(following: str, *, before: str) -> bool:
    """Whether a number word between these two words is a number: "two weeks", "top five"."""
    return following.lower() in _COUNTED or before.lower() in _COUNTED_AFTER


def word_hint(plain: str) -> str:
    """Say in a word what an unknown word usually is: an extension, or a file without one."""
    if f"{plain}s" in _PLURAL_EXTENSIONS:
        return "extension"
    return "file" if plain in _BARE_FILES else ""


def as_host(text: str) -> str | None:
    """Return the host of an address, a host name with a known top-level domain, or a URL."""
    url = _URL.fullmatch(text)
    if url is not None:
        return url[1].strip("[]")
    if text.lower() == "localhost":
        return text
    if _is_address(text):
        return text
    name = _HOST_NAME.fullmatch(text)
    if name is None:
        return None
    top = name[2].lower()
    if top not in _TOP_LEVEL or (top in _FILE_FIRST and name[1].count(".") == 1):
        return None
    return name[1]


def _is_address(text: str) -> bool:
    if not re.fullmatch(r"[0-9A-Fa-f:.]+(%\w+)?(/\d+)?", text) or not re.search(r"[:.]", text):
        return False
    try:
        ipaddress.ip_interface(text)
    except ValueError:
        return False
    return True


def may_be_name(word: str, before: tuple[str, str], following: str, *, is_last: bool) -> bool:
    """Whether a known word stands where people put names."""
    if word in NEVER_NAMES:
        return False
    if before[1] in _NAMED_BY:
        return True
    if following in _KEEPS_A_NAME and before[1] in _BEFORE_A_NAME:
        return True
    return before[1] in _NAMED_BY_AT_END and (is_last or following in _NAME_ENDS_BEFORE)


def as_extension(text: str, before: tuple[str, str], following: str) -> str | None:
    """Return the bare extension of ".log files", "PDF files", "pdfs" or "files ending in .log"."""
    lower = text.lower()
    if lower in _PLURAL_EXTENSIONS:
        return lower[:-1]
    if following in _OF_EXTENSION and f"{lower}s" in _PLURAL_EXTENSIONS:
        return lower
    match = _BARE_EXTENSION.fullmatch(text)
    if match is None or text.startswith("*"):
        return None
    ending = before[1] in {"extension", "type", "suffix"} or (
        before[0] in {"ending", "end", "ends"} and before[1] in {"in", "with", "on"}
    )
    return match[1] if ending or following in _OF_EXTENSION else None


def looks_like_glob(text: str) -> bool:
    """Whether a word holds ``*``, ``?`` or a bracket expression."""
    return "*" in text or "?" in text or re.search(r"\[[^\]]+\]", text) is not None


def looks_like_path(text: str, previous: str) -> bool:
    """Whether a word is a path: a slash, a tilde, an extension, a leading dot, or "in ."."""
    if "/" in text or text == ".." or text.startswith(("~", "$HOME", "${HOME}")):
        return True
    if text == ".":
        return previous in _BEFORE_DOT
    name, _, extension = text.rpartition(".")
    if extension in _UNIT_FILES and name:
        return False
    if _VERSION.fullmatch(text):
        return False
    if re.fullmatch(r"\.[A-Za-z0-9_][\w.+-]*", text):
        return True
    return "@" not in text and _EXTENSION.fullmatch(text) is not None


def path_hint(path: str) -> str:
    """Return "file", "archive" or "folder" when the form of a path tells which, else nothing."""
    if path.endswith("/"):
        return "folder"
    last = path.rpartition("/")[2]
    if last.lower() in _FOLDER_NAMES or re.fullmatch(r"~[a-z]*", path):
        return "folder"
    if _ARCHIVE.search(last):
        return "archive"
    return "file" if _EXTENSION.fullmatch(last) else ""
