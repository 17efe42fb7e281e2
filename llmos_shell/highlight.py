"""Colours for a command line, by its words: enough to see programs, options and joints."""

import re
from enum import Enum
from typing import Final


class Role(Enum):
    """What a stretch of a command line is."""

    PROGRAM = "program"
    OPTION = "option"
    STRING = "string"
    OPERATOR = "operator"
    OTHER = "other"


TOKEN: Final = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<string>'[^']*'?|\"(?:\\.|[^\"\\])*\"?)"
    r"|(?P<operator>\|\||&&|;;|[|;&]|\d*[<>]{1,3}&?)"
    r"|(?P<word>(?:\\.|[^\s'\"|;&<>])+)"
    r"|(?P<rest>.)",
    re.DOTALL,
)
JOINTS: Final = frozenset({"|", "||", "&&", ";", "&", ";;"})


def highlight(command: str) -> list[tuple[str, Role]]:
    """Cut ``command`` into stretches; joined together they are the command again."""
    parts: list[tuple[str, Role]] = []
    program_next = True
    for match in TOKEN.finditer(command):
        text = match[0]
        role = Role.OTHER
        match match.lastgroup:
            case "operator":
                role = Role.OPERATOR
                program_next = text in JOINTS
            case "string":
                role = Role.STRING
            case "word" if program_next:
                role = Role.PROGRAM
                program_next = "=" in text
            case "word" if text.startswith("-"):
                role = Role.OPTION
        parts.append((text, role))
    return parts
