"""Errors as HTTP: {"error": {"code", "message", "detail"}} with the right status, whatever went wrong.

AnswerableError (rag/types.py) brings its own code and status; these exist over HTTP only:
    AnswerableError
     +- Busy          too many requests wait already (429, with Retry-After)
     |   +- TooFast   this key made too many requests (429, with Retry-After)
     +- NotReady      models or database are not usable, or not yet (503)
     +- Unauthorized  no key, or not one of ours, or a revoked one (401)
     +- Forbidden     the key does not open this (403)
     +- Exists        there is such a thing already (409)
     +- TooLate       the time limit of a request was reached (504)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from rag.types import AnswerableError

log = structlog.get_logger()

_SHOWN_CHARS = 80  # of a value that the client sent, in a message about it
_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    408: "body_too_slow",
    413: "body_too_large",
}
_NOT_AN_OBJECT = frozenset({"model_attributes_type", "model_type", "dict_type"})


class Busy(AnswerableError):
    """More requests wait than the operator allows; ``retry_after`` is the time in s after which to try again."""

    code = "busy"
    status = 429

    def __init__(self, message: str, retry_after: int):
        super().__init__(message)
        self.retry_after = retry_after


class TooFast(Busy):
    """One key makes more requests than it may."""

    code = "rate_limited"


class Unauthorized(AnswerableError):
    """Who asks is not known."""

    code = "unauthorized"
    status = 401


class Forbidden(AnswerableError):
    """Who asks is known, and may not."""

    code = "forbidden"
    status = 403


class Exists(AnswerableError):
    """What was to be made is there already."""

    code = "exists"
    status = 409


class TooLate(AnswerableError):
    """A request reached its time limit; what it did was stopped."""

    code = "timeout"
    status = 504


class NotReady(AnswerableError):
    """What answering needs is not there; the code is that of the cause where one of our 503 errors caused it."""

    code = "not_ready"
    status = 503

    def __init__(self, cause: AnswerableError):
        super().__init__(str(cause))
        if cause.status == self.status:
            self.code = cause.code


class Json(JSONResponse):
    """JSON that any string can go into: a lone surrogate, which UTF-8 has no bytes for, leaves as its JSON escape."""

    def render(self, content: Any) -> bytes:
        """The body's bytes."""
        return encode(content)


def encode(content: Any) -> bytes:
    """Compact JSON as UTF-8. Raises ValueError for NaN and infinities, which JSON does not have."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace")  # turns U+D800 into the six characters \ud800, an escape in JSON


def error_json(code: str, message: str, detail: Any = None) -> dict[str, Any]:
    """The body of every error."""
    return {"error": {"code": code, "message": message, "detail": detail}}


def answerable_json(error: AnswerableError) -> dict[str, Any]:
    """The body of one of our own errors."""
    return error_json(error.code, str(error))


def internal_json(request_id: str) -> dict[str, Any]:
    """The body of an unexpected error: nothing of its cause, only the id under which the log has it."""
    message = "something went wrong here; the server's log has it under the request id"
    return error_json("internal", message, {"request_id": request_id})


def add_handlers(app: FastAPI) -> None:
    """Answer every error in the one shape. Unexpected exceptions are caught further out, in api/guard.py."""
    app.add_exception_handler(AnswerableError, _answerable)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)


async def _answerable(request: Request, error: Exception) -> Json:
    assert isinstance(error, AnswerableError)
    if error.status >= 500:
        log.error("request failed", code=error.code, error=str(error), request_id=request.state.request_id)
    return error_response(error)


def error_response(error: AnswerableError) -> Json:
    """One of our own errors as a response, with the headers that its status asks for."""
    headers = None
    if isinstance(error, Busy):
        headers = {"Retry-After": str(error.retry_after)}
    elif isinstance(error, Unauthorized):
        headers = {"WWW-Authenticate": "Bearer"}
    return Json(answerable_json(error), error.status, headers)


async def _validation(_request: Request, error: Exception) -> Json:
    assert isinstance(error, RequestValidationError)
    problems = error.errors()
    if problems[0]["type"] == "json_invalid":
        where, why = problems[0]["loc"][-1], problems[0]["ctx"]["error"]
        return Json(error_json("invalid_json", f"the body is not JSON: {why} at character {where}"), 400)
    detail = [_field_problem(problem) for problem in problems]
    message = "; ".join(f"{entry['field']}: {entry['message']}" for entry in detail[:3])
    return Json(error_json("invalid_input", message, detail), 422)


def _field_problem(problem: Mapping[str, Any]) -> dict[str, str]:
    field = ".".join(str(part) for part in problem["loc"][1:]) or "body"
    if field == "body" and problem["type"] in _NOT_AN_OBJECT | {"missing"}:
        return {"field": field, "message": "send a JSON object, with the header Content-Type: application/json"}
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] != "missing":
        message += f" (got {_shown(problem['input'])})"
    return {"field": field[:_SHOWN_CHARS], "message": message}


async def _http(request: Request, error: Exception) -> Json:
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, "http_error")
    what = f"{request.method} {_shown(request.url.path)}"
    messages = {
        400: "the body cannot be read: send JSON, as UTF-8, nested only a few levels deep",
        404: f"{what}: there is no such address; /docs lists those there are",
        405: f"{what}: this address does not take that method; /docs lists those it takes",
    }
    message = messages.get(error.status_code, str(error.detail))
    headers = {"Allow": _allowed(request)} if error.status_code == 405 else error.headers
    return Json(error_json(code, message), error.status_code, headers)


def _allowed(request: Request) -> str:
    """All methods of an address; the framework names those of its first route only."""
    routes = [*request.app.routes, *getattr(request.app.state, "routes", ())]
    fitting = (route for route in routes if route.matches(request.scope)[0] is not Match.NONE)
    return ", ".join(sorted({method for route in fitting for method in getattr(route, "methods", None) or ()}))


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"
