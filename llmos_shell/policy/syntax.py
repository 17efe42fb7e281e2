"""Bash as the policy sees it: simple commands with their words, and what was not understood.

The grammar is tree-sitter-bash. Node types are allow-listed: a construct that nobody thought
of becomes a *problem*, and a script with problems is never taken for harmless.
"""

import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # the grammar is a shared library: load it when something is parsed
    from tree_sitter import Node, Parser

MAX_LENGTH: Final = 16_384
"""Characters of a line that are looked at; a longer one is a problem as a whole."""

CONTROL: Final = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]"
)
"""Characters that a screen hides or that turn text around: no honest command has them."""

STRUCTURE: Final = frozenset(
    {
        "program", "list", "pipeline", "subshell", "compound_statement", "negated_command",
        "if_statement", "elif_clause", "else_clause", "while_statement", "for_statement",
        "do_group", "case_statement", "case_item", "test_command", "unary_expression",
        "binary_expression", "parenthesized_expression", "negation_expression", "comment",
        "test_operator", "regex", "extglob_pattern", "word", "number", "raw_string",
        "variable_name",
    }
)  # fmt: skip
"""Nodes that do nothing themselves: their children are what counts."""

EXPANSIONS: Final = frozenset(
    {"simple_expansion", "expansion", "command_substitution", "process_substitution",
     "arithmetic_expansion", "brace_expression", "string", "ansi_c_string",
     "concatenation"}
)  # fmt: skip

GLOB: Final = re.compile(r"(?<!\\)[*?\[]")
BRACES: Final = re.compile(r"(?<!\\)\{[^{}]*(,|\.\.)")
PLAIN_START: Final = re.compile(r'"?[\w./~,:@%+=^]')
PLAIN_EXPANSION: Final = re.compile(r"\$\{\w+(:?-[\w./ ~-]*)?\}|\$\{#\w+\}")
SUBSCRIPT: Final = re.compile(r"\w\[.*[$`]|\s-v\s")
"""In a test, `a[$(command)]` runs the command even between single quotes."""
PLAIN_ARITHMETIC: Final = re.compile(r"[\d\s()+*/%-]*")


@dataclass(frozen=True, slots=True)
class Word:
    """One argument as written.

    ``text`` is its value where that is known before anything runs, else None; ``leads``
    says that it is not known and could turn out to be an option: `$x`, `*`, `-$x`.
    """

    raw: str
    text: str | None
    leads: bool = False

    @property
    def known(self) -> str:
        """The value, or the text as written where the value is not known."""
        return self.raw if self.text is None else self.text


@dataclass(frozen=True, slots=True)
class Redirect:
    """A redirection: ``operator`` as written (`>`, `>>`, `<` …) and where to."""

    operator: str
    target: Word

    @property
    def writes(self) -> bool:
        """Whether the target is opened for writing."""
        return ">" in self.operator and not self._duplicates

    @property
    def _duplicates(self) -> bool:
        return self.operator in {">&", "<&"} and bool(re.fullmatch(r"\d+-?|-", self.target.known))


@dataclass(frozen=True, slots=True)
class Command:
    """A simple command: `A=1 name words… > redirects`. ``name`` is None for `A=1` alone."""

    name: Word | None
    words: tuple[Word, ...] = ()
    assignments: tuple[str, ...] = ()
    redirects: tuple[Redirect, ...] = ()


@dataclass(frozen=True, slots=True)
class Script:
    """Every command that a line could run, in order, and what stays in the dark."""

    commands: tuple[Command, ...]
    problems: tuple[str, ...]
    broken: bool = False
    """Whether bash would refuse the line as a whole."""


@cache
def _parser() -> "Parser":
    import tree_sitter_bash  # noqa: PLC0415 - see TYPE_CHECKING above
    from tree_sitter import Language, Parser  # noqa: PLC0415

    return Parser(Language(tree_sitter_bash.language()))


def parse(line: str) -> Script:
    """Parse ``line``; never raises, whatever the line is."""
    if len(line) > MAX_LENGTH:
        return Script((), (f"longer than {MAX_LENGTH} characters",), broken=True)
    if CONTROL.search(line):
        return Script((), ("has invisible control characters",), broken=True)
    try:
        source = line.encode()
    except UnicodeEncodeError:
        return Script((), ("is not valid Unicode",), broken=True)
    root = _parser().parse(source).root_node
    reader = _Reader(source)
    try:
        reader.statement(root)
    except RecursionError:
        reader.problem("nested too deeply")
    if root.has_error:
        reader.problem("bash would not accept it")
    return Script(tuple(reader.commands), tuple(reader.problems), broken=root.has_error)


@dataclass(slots=True)
class _Reader:
    """Walks the tree once and collects."""

    source: bytes
    commands: list[Command] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def problem(self, what: str) -> None:
        if what not in self.problems:
            self.problems.append(what)

    def raw(self, node: "Node") -> str:
        return self.source[node.start_byte : node.end_byte].decode(errors="replace")

    # Statements

    def statement(self, node: "Node", redirects: tuple[Redirect, ...] = ()) -> None:
        match node.type:
            case "command":
                self.command(node, redirects)
            case "redirected_statement":
                self.redirected(node)
            case "variable_assignment" | "variable_assignments":
                self.assignment(node)
            case "declaration_command" | "unset_command":
                self.declaration(node)
            case kind if kind in STRUCTURE:
                self.structure(node)
            case kind if kind in EXPANSIONS:
                self.word(node)
            case kind:
                self.unknown(kind)

    def structure(self, node: "Node") -> None:
        start = self.raw(node)
        if node.type == "compound_statement" and start.startswith("(("):
            self.problem("calculates with shell variables")
        elif node.type == "test_command" and SUBSCRIPT.search(start):
            self.problem("looks into a variable by a name that could run a command")
        elif node.type == "for_statement" and not start.startswith("for"):
            self.problem("asks questions with `select`")
        else:
            for child in node.named_children:
                self.statement(child)

    def unknown(self, kind: str) -> None:
        if kind == "ERROR":
            self.problem("bash would not accept it")
        else:
            self.problem(f"uses `{kind.replace('_', ' ')}`")

    def redirected(self, node: "Node") -> None:
        redirects = tuple(
            redirect
            for child in node.children_by_field_name("redirect")
            for redirect in self.redirect(child)
        )
        body = node.child_by_field_name("body")
        if body is not None and body.type == "command":
            self.command(body, redirects)
            return
        self.commands.append(Command(None, redirects=redirects))
        if body is not None:
            self.statement(body)

    def command(self, node: "Node", redirects: tuple[Redirect, ...] = ()) -> None:
        assignments: list[str] = []
        words: list[Word] = []
        name: Word | None = None
        for child in node.named_children:
            match child.type:
                case "command_name":
                    inner = child.named_children
                    name = self.word(inner[0]) if inner else Word(self.raw(child), None, leads=True)
                case "variable_assignment":
                    assignments.append(self.assigned(child))
                case "file_redirect" | "herestring_redirect" | "heredoc_redirect":
                    redirects += tuple(self.redirect(child))
                case "comment":
                    pass
                case _:
                    words.append(self.word(child))
        self.commands.append(Command(name, tuple(words), tuple(assignments), redirects))

    def assignment(self, node: "Node") -> None:
        nodes = [node] if node.type == "variable_assignment" else node.named_children
        self.commands.append(Command(None, assignments=tuple(self.assigned(n) for n in nodes)))

    def declaration(self, node: "Node") -> None:
        """`export A=b`, `declare -x A`, `unset A`: builtins that the grammar knows apart."""
        keyword = self.raw(node.children[0])
        words = []
        for child in node.named_children:
            if child.type == "variable_assignment":
                words.append(Word(self.raw(child), f"{self.assigned(child)}="))
            else:
                words.append(self.word(child))
        self.commands.append(Command(Word(keyword, keyword), tuple(words)))

    def assigned(self, node: "Node") -> str:
        """Return the name that is assigned to, after a look at what is assigned."""
        name = node.child_by_field_name("name")
        value = node.child_by_field_name("value")
        if value is not None:
            if value.type == "array":
                for child in value.named_children:
                    self.word(child)
            else:
                self.word(value)
        if name is None or name.type != "variable_name":
            self.problem("assigns to an array element")
            return ""
        return self.raw(name)

    def redirect(self, node: "Node") -> list[Redirect]:
        if node.type == "heredoc_redirect":
            redirects: list[Redirect] = []
            for child in node.named_children:
                match child.type:
                    case "heredoc_start" | "heredoc_end":
                        pass
                    case "heredoc_body":
                        for piece in child.named_children:
                            if piece.type != "heredoc_content":
                                self.word(piece)
                    case "file_redirect" | "herestring_redirect":
                        redirects += self.redirect(child)
                    case _:
                        self.statement(child)
            return redirects
        operator = next((self.raw(c) for c in node.children if not c.is_named), "")
        words = [self.word(c) for c in node.named_children if c.type != "file_descriptor"]
        if not words:
            return []
        # The grammar takes every word after `> file` for a target; bash takes the first
        # for that and the others for arguments. Where the two disagree, ask.
        if len(words) > 1:
            self.problem("has words after a redirection")
        return [Redirect(operator, words[0])]

    # Words

    def word(self, node: "Node") -> Word:
        raw = self.raw(node)
        text = self.value(node)
        leads = text is None and not PLAIN_START.match(raw)
        return Word(raw, text, leads)

    def value(self, node: "Node") -> str | None:
        """Return the word's value, or None; substitutions inside are walked on the way."""
        raw = self.raw(node)
        match node.type:
            case "word" | "number" | "test_operator" | "regex" | "extglob_pattern":
                return self.plain(node, raw)
            case "raw_string":
                return raw[1:-1]
            case "string":
                parts = [c for c in node.named_children if c.type != "string_content"]
                for part in parts:
                    self.value(part)
                return None if parts else re.sub(r'\\([$`"\\\n])', r"\1", raw[1:-1])
            case "ansi_c_string":
                return None if "\\" in raw else raw[2:-1]
            case "concatenation":
                values = [self.value(child) for child in node.named_children]
                covered = sum(c.end_byte - c.start_byte for c in node.named_children)
                if BRACES.search(raw) or None in values or covered != len(raw.encode()):
                    return None
                return "".join(value for value in values if value is not None)
            case _:
                self.expansion(node, raw)
                return None

    def plain(self, node: "Node", raw: str) -> str | None:
        for child in node.named_children:
            self.value(child)
        if node.named_children or GLOB.search(raw) or BRACES.search(raw):
            return None
        return re.sub(r"\\\n", "", raw).replace("\\\\", "\0").replace("\\", "").replace("\0", "\\")

    def expansion(self, node: "Node", raw: str) -> None:
        match node.type:
            case "simple_expansion" | "brace_expression":
                pass
            case "expansion":
                if not PLAIN_EXPANSION.fullmatch(raw):
                    self.problem(f"expands {raw}")
            case "command_substitution" | "process_substitution":
                self.substitution(node)
            case "arithmetic_expansion":
                if not PLAIN_ARITHMETIC.fullmatch(raw[3:-2]):
                    self.problem("calculates with shell variables")
            case kind:
                self.unknown(kind)

    def substitution(self, node: "Node") -> None:
        for child in node.named_children:
            if child.type == "file_redirect":  # $(< file)
                for redirect in self.redirect(child):
                    self.commands.append(Command(None, redirects=(redirect,)))
            else:
                self.statement(child)
