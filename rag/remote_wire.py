"""What goes to a server of OpenAI's shape and what comes back, as its chat completions are documented, nothing trusted.

A stream is server-sent events: lines "data: {...}", each a chunk with a piece of the answer, the last "data: [DONE]".
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from rag.prompt import Prompt
from rag.types import InvalidInput

SCHEME = "openai+"
DONE = "[DONE]"

_MOST_LINE = 1 << 20  # bytes of one event; a chunk of one token has a few hundred
_MOST_STREAM = 16 << 20  # bytes of a whole stream
_SHOWN = 120  # characters of what a server said, in an error about it


class Nonsense(Exception):
    """The server answered what is no chat completion; the message says what."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is: ``url`` to its /v1, the model's name ("": the only one), the key to send ("": none)."""

    url: str
    model: str = ""
    key: str = ""

    @classmethod
    def parse(cls, setting: str) -> Address:
        """From "openai+http://[KEY@]HOST[:PORT]/v1[#MODEL]", the key percent-encoded where it must be.

        Raises InvalidInput, which never shows the key.
        """
        parts = urlsplit(setting.removeprefix(SCHEME))
        _, _, host = parts.netloc.rpartition("@")
        try:
            known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:  # a port that is no number
            known = False
        if not known or parts.query:
            raise InvalidInput(
                f"ANSWERABLE_GENERATOR={SCHEME}{parts.scheme}://{host}{parts.path}: it must be "
                f"{SCHEME}http://HOST:PORT/v1 or {SCHEME}https://..., with #MODEL at its end where there are several"
            )
        key = unquote(parts.password or parts.username or "")
        return cls(f"{parts.scheme}://{host}{parts.path.rstrip('/')}", parts.fragment, key)


@dataclass(frozen=True, slots=True)
class Delta:
    """A chunk of an answer: its text, whether the answer ends with it, and tokens read and written (0: not said)."""

    text: str = ""
    finished: bool = False
    prompt_tokens: int = 0
    completion_tokens: int = 0


def request_body(model: str, prompt: Prompt, max_new_tokens: int) -> dict[str, Any]:
    """The body of a chat completion: greedy, streamed, with its usage at the end."""
    return {
        "model": model,
        "messages": [{"role": message.role, "content": message.text} for message in prompt.messages],
        "temperature": 0,
        "max_tokens": max_new_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """The lines of a stream of bytes. Raises Nonsense when one, or all, are longer than any answer."""
    rest, total = b"", 0
    async for block in chunks:
        total += len(block)
        *whole, rest = (rest + block).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "replace").rstrip("\r")
        if len(rest) > _MOST_LINE or total > _MOST_STREAM:
            raise Nonsense(f"an event of over {_MOST_LINE >> 20} MB or a stream of over {_MOST_STREAM >> 20} MB")
    if not b"data:".startswith(rest[:5]):  # an event that was cut short is left out, what is none is told
        yield rest.decode("utf-8", "replace")


def read_event(line: str) -> str:
    """The data of a line of server-sent events, "" for one that carries none. Raises Nonsense for another line."""
    if line.startswith("data:"):
        return line[5:].strip()
    if not line or line.startswith((":", "event:", "id:", "retry:")):
        return ""
    raise Nonsense(f"a line that is no server-sent event: {shown(line)}")


def read_chunk(data: str) -> Delta:
    """The chunk in the data of one event. Raises Nonsense."""
    body = _object(data)
    if body.get("error"):
        raise Nonsense(f"an error in its stream: {error_text(data)}")
    choices, usage = body.get("choices"), body.get("usage") or {}
    if not isinstance(choices, list) or not isinstance(usage, dict):
        raise Nonsense(f"a chunk without choices: {shown(data)}")
    read, written = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    if not choices:
        return Delta("", False, read, written)
    choice = choices[0]
    delta = choice.get("delta") if isinstance(choice, dict) else None
    text = (delta.get("content") or "") if isinstance(delta, dict) else None
    if not isinstance(text, str):
        raise Nonsense(f"a chunk whose content is no text: {shown(data)}")
    clean = text.encode("utf-8", "replace").decode()  # half a character of JSON's \ud800 cannot be stored or sent on
    return Delta(clean, bool(choice.get("finish_reason")), read, written)


def read_models(data: str) -> list[str]:
    """The names in the answer to GET /models. Raises Nonsense."""
    entries = _object(data).get("data")
    if not isinstance(entries, list):
        raise Nonsense(f"no list of models: {shown(data)}")
    return [str(entry["id"]) for entry in entries if isinstance(entry, dict) and "id" in entry]


def error_text(data: str) -> str:
    """What an error body says, short: {"error": {"message"}} or {"error": "..."}, else its beginning."""
    try:
        error = json.loads(data)["error"]
        return shown(str(error["message"] if isinstance(error, dict) else error))
    except (ValueError, KeyError, TypeError):
        return shown(data)


def shown(text: str) -> str:
    """``text`` on one line, printable and short."""
    line = re.sub(r"\s+", " ", text).strip()
    plain = "".join(letter if letter.isprintable() else "?" for letter in line)
    return repr(plain if len(plain) <= _SHOWN else f"{plain[:_SHOWN]}…")


def _object(data: str) -> dict[str, Any]:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        raise Nonsense(f"what is no JSON: {shown(data)}") from None
    if not isinstance(body, dict):
        raise Nonsense(f"JSON that is no object: {shown(data)}")
    return body


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0
