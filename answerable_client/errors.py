"""Errors of the client: ServerError, what the server answered; Unreachable, that it did not."""

from __future__ import annotations

from typing import Any


class ServerError(Exception):
    """The server's answer was an error; ``str(error)`` is its one line with the cure.

    ``retry_after``: seconds after which to try again, where the server said so.
    """

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None):
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after = retry_after


class Unreachable(Exception):
    """No answer came: no server there, or the connection broke."""


def server_error(status: int, body: Any, retry_after: str | None = None) -> ServerError:
    """The error in a response's body; also for a body that is not ours, such as a proxy's."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        error = {}
    wait = int(retry_after) if retry_after and retry_after.isdigit() else None
    return ServerError(status, error.get("code", "http_error"), error.get("message", f"the server said {status}"), wait)
