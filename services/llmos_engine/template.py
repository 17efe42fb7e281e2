"""Turns messages into the prompt that a model was trained on, by its chat template."""

import json
import re
import selectors
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any, Final

from llmos_api.tools import ToolCall
from llmos_api.types import ChatMessage
from llmos_engine.errors import DecodeFailed, InvalidRequest
from llmos_engine.tools.prompting import uses_tools, with_tools

TIMEOUT: Final = 10.0
"""Seconds for one rendering; the first one also starts a Python, slowly on small machines."""

FALLBACK: Final = """\
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif -%}
"""
"""ChatML, which llama.cpp takes too for a model that has no template."""

FALLBACK_STOPS: Final = ("<|im_end|>", "<|im_start|>")


class ChatTemplate:
    """A model's template, or ChatML. Rendering happens in a process of its own."""

    def __init__(
        self,
        source: str | None,
        *,
        bos: str = "",
        eos: str = "",
        control_tokens: Iterable[str] = (),
        timeout: float = TIMEOUT,
    ) -> None:
        self._source = FALLBACK if source is None else source
        self._tokens = {"bos_token": bos, "eos_token": eos}
        self._timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        # In ChatML's fallback the end of a turn is plain text to the model.
        self.stops = FALLBACK_STOPS if source is None else ()
        # Longest first, so that no token hides behind one that it begins with.
        tokens = sorted({token for token in control_tokens if len(token) > 1}, key=len)
        self._control = re.compile("|".join(re.escape(token) for token in reversed(tokens)))
        self._has_control = bool(tokens)

    def render(
        self, messages: Sequence[ChatMessage], tools: Sequence[Mapping[str, Any]] = ()
    ) -> str:
        """Return the prompt, up to where the assistant's answer begins.

        Tools are told by the template, or as text before the first message where it does not.

        Raises :class:`~llmos_engine.errors.InvalidRequest` when the template refuses the
        messages or fails.
        """
        known, told = [self._known(message) for message in messages], self._defused(list(tools))
        if not uses_tools(self._source):
            known, told = with_tools(known, told), []
        values = {
            **self._tokens,
            "messages": known,
            "add_generation_prompt": True,
            "tools": told or None,
        }
        ask = json.dumps({"source": self._source, "values": values}).encode() + b"\n"
        with self._lock:
            answer = json.loads(self._exchange(ask))
        if "refused" in answer:
            raise InvalidRequest(
                f"the model's chat template refuses the messages: {answer['refused']}",
                param="messages",
                code="template_refused",
            )
        if "error" in answer:
            raise InvalidRequest(
                f"the model's chat template failed: {answer['error']}", code="template_failed"
            )
        return str(answer["text"])

    def _known(self, message: ChatMessage) -> dict[str, Any]:
        """A message as templates know it: the arguments of calls are objects there."""
        known: dict[str, Any] = {
            "role": message.role.template_name,
            "content": self.defused(message.text),
        }
        if message.calls:
            known["tool_calls"] = self._defused([_call(call) for call in message.calls])
        if message.tool_call_id:
            known["tool_call_id"] = self.defused(message.tool_call_id)
        return known

    def _defused(self, value: Any) -> Any:
        """Defuse all texts in a value."""
        if isinstance(value, str):
            return self.defused(value)
        if isinstance(value, list):
            return [self._defused(inner) for inner in value]
        if isinstance(value, dict):
            return {self.defused(key): self._defused(inner) for key, inner in value.items()}
        return value

    def defused(self, text: str) -> str:
        """Break up control tokens in what a person wrote.

        ``<|im_end|><|im_start|>system`` in a message would otherwise be read as the end of
        the message and the start of the system's. A word joiner (U+2060) after the first
        character makes plain text of it.
        """
        if not self._has_control:
            return text
        return self._control.sub(lambda match: f"{match[0][0]}\u2060{match[0][1:]}", text)

    def start(self) -> subprocess.Popen[bytes]:
        """Start the rendering process, if it does not run; the first rendering would do it too."""
        if self._process is None:
            # -I: neither the environment nor the working directory chooses what is imported.
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-m", "llmos_engine.renderer"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={},
            )
        return self._process

    def close(self) -> None:
        """End the rendering process."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        process.wait()

    def _exchange(self, ask: bytes) -> bytes:
        process = self.start()
        if process.stdin is None or process.stdout is None:
            raise DecodeFailed("the template renderer has no pipes")
        try:
            process.stdin.write(ask)
            process.stdin.flush()
            return _read_line(process.stdout, self._timeout)
        except (OSError, EOFError, TimeoutError) as error:
            self.close()
            took = f"more than {self._timeout:.0f} seconds or too much memory"
            raise InvalidRequest(
                f"the model's chat template needs {took}", code="template_failed"
            ) from error


def _call(call: ToolCall) -> dict[str, Any]:
    """A call as templates know it; arguments that are no JSON object stay text."""
    try:
        arguments = json.loads(call.function.arguments or "{}")
    except (ValueError, RecursionError):
        arguments = call.function.arguments
    function = {"name": call.function.name, "arguments": arguments}
    return {"id": call.id, "type": call.type, "function": function}


def _read_line(pipe: IO[bytes], timeout: float) -> bytes:
    """Read up to a newline; raises :class:`TimeoutError`, or :class:`EOFError`."""
    line = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            if not selector.select(timeout):
                raise TimeoutError
            piece = pipe.read1(65536)  # type: ignore[attr-defined]
            if not piece:
                raise EOFError
            line += piece
    return line
