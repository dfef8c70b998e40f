"""Around every request: its id, the security headers, the limit on its body, and the last catch.

A plain ASGI middleware, so that it also sees what goes wrong while a response is being streamed. This is the one place
of the HTTP side that catches everything: whatever reaches it is logged with the request's id and answered with a 500
that tells nothing but that id.
"""

from __future__ import annotations

import uuid
from collections.abc import MutableMapping
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import Json, error_json, internal_json

log = structlog.get_logger()

MAX_BODY_BYTES = 1_000_000
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
DOCS_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "frame-ancestors 'none'"
)


class Guard:
    """Wraps an ASGI application; ``max_body_bytes`` is the longest request body that it lets through."""

    def __init__(self, app: ASGIApp, max_body_bytes: int = MAX_BODY_BYTES):
        self._app = app
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        response = _Response(send, request_id, scope["path"])
        try:
            if _announced(scope) > self._max_body_bytes:
                await _too_large(self._max_body_bytes)(scope, receive, response.send)
            else:
                await self._app(scope, _limited(receive, self._max_body_bytes), response.send)
        except ClientDisconnect:
            log.debug("client went away", path=scope["path"], request_id=request_id)
        except Exception:  # the boundary: a bug must cost one request, not the server
            log.exception("unexpected error", path=scope["path"], request_id=request_id)
            if not response.started:
                await Json(internal_json(request_id), 500)(scope, receive, response.send)


class _Response:
    """The way out: adds the headers, and knows whether the response has begun."""

    def __init__(self, send: Send, request_id: str, path: str):
        self._send = send
        self._request_id = request_id
        self._path = path
        self.started = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            if self._path == "/docs":
                headers.setdefault("Content-Security-Policy", DOCS_POLICY)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
            headers["X-Request-ID"] = self._request_id
        await self._send(message)


def _announced(scope: Scope) -> int:
    length = Headers(scope=scope).get("content-length", "0")
    return int(length) if length.isascii() and length.isdigit() else 0


def _limited(receive: Receive, limit: int) -> Receive:
    """``receive``, until more than ``limit`` bytes came without having been announced."""
    taken = 0

    async def counted() -> MutableMapping[str, Any]:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > limit:
            raise HTTPException(413, _too_large_message(limit))
        return message

    return counted


def _too_large(limit: int) -> Json:
    return Json(error_json("body_too_large", _too_large_message(limit)), 413, {"Connection": "close"})


def _too_large_message(limit: int) -> str:
    return f"the body has more than {limit} bytes; send less, or ingest the text and ask about it"
