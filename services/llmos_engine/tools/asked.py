"""What a request offers in tools, and wants of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from llmos_api.tools import FunctionDefinition, NamedTool, Tool, ToolMode
from llmos_api.types import ChatRequest
from llmos_engine.errors import InvalidRequest

MARKER: Final = "<tool_call>"
"""What most models begin a call with; the end is ``</tool_call>``."""


@dataclass(frozen=True)
class Offer:
    """Functions that may be called, or must."""

    functions: tuple[FunctionDefinition, ...]
    required: bool = False
    several: bool = True
    """Whether an answer may have more than one call."""

    @property
    def names(self) -> frozenset[str]:
        """The names of all functions."""
        return frozenset(function.name for function in self.functions)

    @property
    def for_template(self) -> list[Mapping[str, Any]]:
        """The tools as chat templates know them."""
        return [
            msgspec.to_builtins(Tool(function=function, type="function"))
            for function in self.functions
        ]


def offer_of(ask: ChatRequest) -> Offer | None:
    """Return what a request offers; None when nothing may be called.

    Raises:
        InvalidRequest: it wants a call of something that it does not offer.
    """
    functions = tuple(tool.function for tool in ask.tools or ())
    names = [function.name for function in functions]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise _refused(f"two functions are named {twice!r}", "tools")
    several = ask.parallel_tool_calls is not False
    match ask.tool_choice:
        case ToolMode.NONE:
            return None
        case ToolMode.REQUIRED:
            if not functions:
                raise _refused("a call is required, and no function is offered", "tool_choice")
            return Offer(functions, required=True, several=several)
        case NamedTool(function=wanted):
            chosen = tuple(f for f in functions if f.name == wanted.name)
            if not chosen:
                have = ", ".join(names) or "none"
                raise _refused(
                    f"there is no function {wanted.name!r} (offered: {have})",
                    "tool_choice.function.name",
                )
            return Offer(chosen, required=True, several=False)
        case _:
            return Offer(functions, several=several) if functions else None


def _refused(what: str, param: str) -> InvalidRequest:
    return InvalidRequest(f"{param}: {what}", param=param, code="invalid_value")
