"""Around every request: its id, the security headers, the limits on its body, a line in the log, and the last catch.

A plain ASGI middleware, so that it also sees what goes wrong while a response is being streamed. This is the one place
of the HTTP side that catches everything: whatever reaches it is logged with the request's id and answered with a 500
that tells nothing but that id.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, MutableMapping
from typing import Any

import anyio
import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import Json, error_json, internal_json

log = structlog.get_logger()

MAX_BODY_BYTES = 1_000_000
BODY_PAUSE_S = 30.0  # how long a client may be silent in the middle of a body
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
DOCS_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "frame-ancestors 'none'"
)


class Guard:
    """Wraps an ASGI application; ``max_body_bytes`` is the longest request body that it lets through.

    ``longer``: paths that may take a longer one. ``pause_s``: how long a client may be silent within a body.
    """

    def __init__(
        self,
        app: ASGIApp,
        max_body_bytes: int = MAX_BODY_BYTES,
        longer: Mapping[str, int] | None = None,
        pause_s: float = BODY_PAUSE_S,
    ):
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._longer = longer or {}
        self._pause_s = pause_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        response = _Response(send, request_id, scope["path"])
        started = time.perf_counter()
        limit = self._longer.get(scope["path"], self._max_body_bytes)
        try:
            if _announced(scope) > limit:
                await _too_large(limit)(scope, receive, response.send)
            else:
                await self._app(scope, _limited(receive, limit, self._pause_s), response.send)
        except ClientDisconnect:
            log.debug("client went away", path=scope["path"], request_id=request_id)
        except Exception:  # the boundary: a bug must cost one request, not the server
            log.exception("unexpected error", path=scope["path"], request_id=request_id)
            if not response.started:
                await Json(internal_json(request_id), 500)(scope, receive, response.send)
        finally:
            _log_request(scope, response.status, time.perf_counter() - started)


class _Response:
    """The way out: adds the headers, and knows whether the response has begun."""

    def __init__(self, send: Send, request_id: str, path: str):
        self._send = send
        self._request_id = request_id
        self._path = path
        self.started = False
        self.status = 0  # what is logged when the client left before there was one

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
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


def _log_request(scope: Scope, status: int, seconds: float) -> None:
    """One line a request: no query, no body, nothing that a document or a question holds."""
    state = scope["state"]
    caller = state.get("caller")
    log.info(
        "request",
        method=scope["method"],
        path=scope["path"],
        status=status,
        ms=round(seconds * 1000, 1),
        key=caller.key_id if caller else "",
        request_id=state["request_id"],
    )


def _limited(receive: Receive, limit: int, pause_s: float) -> Receive:
    """``receive``, until more than ``limit`` bytes came without having been announced, or none for too long."""
    taken = 0
    whole = False

    async def counted() -> MutableMapping[str, Any]:
        nonlocal taken, whole
        if whole:  # the next message tells that the client left, which may take as long as the answer does
            return await receive()
        try:
            with anyio.fail_after(pause_s):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, f"no byte of the body came for {pause_s:g} s; send it again") from None
        whole = message["type"] != "http.request" or not message.get("more_body", False)
        taken += len(message.get("body", b""))
        if taken > limit:
            raise HTTPException(413, _too_large_message(limit))
        return message

    return counted


def _too_large(limit: int) -> Json:
    return Json(error_json("body_too_large", _too_large_message(limit)), 413, {"Connection": "close"})


def _too_large_message(limit: int) -> str:
    return f"the body has more than {limit} bytes; send less, or ingest the text and ask about it"
