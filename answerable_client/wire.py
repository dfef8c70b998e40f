"""Requests and responses, the same for both clients: what is sent, and how what comes back is read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from answerable_client.errors import ServerError, server_error
from answerable_client.records import Answer, Claim, Event, Hit, Turn

TIMEOUT_S = 180.0  # longer than a server's own limit, so that its error arrives


def options(url: str, key: str | None, timeout: float) -> dict[str, Any]:
    """Arguments of httpx's clients."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return {"base_url": url.rstrip("/"), "headers": headers, "timeout": httpx.Timeout(timeout, connect=10.0)}


def question(
    text: str, collection: str, history: Sequence[Turn], top_k: int | None, stream: bool = False
) -> dict[str, Any]:
    """The body of POST /v1/ask."""
    body: dict[str, Any] = {"question": text, "collection": collection, "stream": stream}
    if history:
        body["history"] = [turn.model_dump() for turn in history]
    if top_k is not None:
        body["top_k"] = top_k
    return body


def upload_files(paths: Sequence[Path]) -> list[tuple[str, tuple[str, bytes]]]:
    """The files of POST /v1/documents. Raises OSError for one that cannot be read."""
    return [("files", (path.name, path.read_bytes())) for path in paths]


def check(response: httpx.Response) -> httpx.Response:
    """``response`` itself when it is no error; its body must have been read. Raises ServerError."""
    if response.is_success:
        return response
    try:
        body = response.json()
    except ValueError:
        body = None
    raise server_error(response.status_code, body, response.headers.get("retry-after"))


class Events:
    """Server-sent events, read line by line."""

    def __init__(self) -> None:
        self._name = ""

    def line(self, text: str) -> Event | None:
        """The event that this line completes. Raises ServerError when the server sent an error."""
        if text.startswith("event: "):
            self._name = text.removeprefix("event: ")
        if not text.startswith("data: "):
            return None
        data = json.loads(text.removeprefix("data: "))
        match self._name:
            case "passages":
                return Event(passages=[Hit.model_validate(hit) for hit in data["passages"]])
            case "token":
                return Event(token=data["text"])
            case "claim":
                return Event(claim=Claim.model_validate(data))
            case "answer":
                return Event(answer=Answer.model_validate(data))
            case "error":
                raise ServerError(500, data["error"]["code"], data["error"]["message"])
        return None  # an event that a newer server has
