"""Tells a model of tools whose chat template does not: as text, in the form most models know."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from llmos_engine.tools.asked import MARKER

_TOOLS: Final = re.compile(r"\btools\b")
_END: Final = MARKER.replace("<", "</", 1)


def uses_tools(template: str) -> bool:
    """Whether a chat template tells the model of tools by itself."""
    return _TOOLS.search(template) is not None


def with_tools(
    messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Rewrite messages so that they hold everything about tools as text.

    Messages are those of a chat template, with ``role``, ``content`` and, of an assistant,
    ``tool_calls``; answers of tools become messages of the user.
    """
    told = [_plain(message) for message in messages]
    if not tools:
        return told
    about = _about(tools)
    if told and told[0]["role"] == "system":
        told[0] = {"role": "system", "content": f"{told[0]['content']}\n\n{about}"}
        return told
    return [{"role": "system", "content": about}, *told]


def _about(tools: Sequence[Mapping[str, Any]]) -> str:
    signatures = "\n".join(json.dumps(tool["function"], ensure_ascii=False) for tool in tools)
    form = '{"name": NAME, "arguments": OBJECT}'
    return (
        f"You can use these functions:\n{signatures}\n"
        f"To use one, write {MARKER}{form}{_END} and nothing after it. "
        "Its result comes in the next message. Answer without one when none is needed."
    )


def _plain(message: Mapping[str, Any]) -> dict[str, Any]:
    content = message["content"] or ""
    if message["role"] == "tool":
        return {"role": "user", "content": f"<tool_response>{content}</tool_response>"}
    calls = [
        f"{MARKER}{json.dumps(call['function'], ensure_ascii=False)}{_END}"
        for call in message.get("tool_calls", ())
    ]
    said = "\n".join([content, *calls] if content else calls)
    return {"role": message["role"], "content": said}
