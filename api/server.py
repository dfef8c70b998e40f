"""Runs the application under uvicorn: refuses to listen where it must not, hangs up on clients that never ask."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from api.access import is_loopback
from api.app import create_app
from rag.build import build_store
from rag.settings import Settings
from rag.types import InvalidInput

GRACE_S = 10  # that answers being written get after SIGTERM
HEADERS_S = 15.0  # that a client may take to send the first line and the headers of its first request
_CONNECTIONS = 512  # more are answered 503 at once


class PatientProtocol(H11Protocol):
    """HTTP/1.1 for clients that ask within HEADERS_S; uvicorn itself waits for ever for the first byte."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait."""
        super().connection_made(transport)
        self._deadline = asyncio.get_running_loop().call_later(HEADERS_S, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def _give_up(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.close()


def serve(settings: Settings) -> None:
    """Serve until a signal comes.

    Raises InvalidInput for an address beyond this machine without any key, and for one that cannot be listened on.
    """
    require_keys(settings)
    require_free(settings)
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_level=settings.log_level,
        access_log=False,  # api/guard.py writes one line a request, with its id
        http=PatientProtocol,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=GRACE_S,
    )


def require_keys(settings: Settings) -> None:
    """Raises InvalidInput for an address that others reach, as long as no key was made."""
    if is_loopback(settings.host):
        return
    store = build_store(settings)
    try:
        if not store.keys.any():
            raise InvalidInput(
                f"--host {settings.host}: others can reach this address, and there is no access key yet; make one "
                "with: answerable keys create NAME --role admin"
            )
    finally:
        store.close()


def require_free(settings: Settings) -> None:
    """Raises InvalidInput for an address that is taken or not this machine's: before models load, and with the cure."""
    where = f"--host {settings.host} --port {settings.port}"
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise InvalidInput(f"{where}: no address of that name ({error.strerror}); listen on 127.0.0.1") from error
    failed = [reason for family, _, _, _, address in found if (reason := _bind(family, address))]
    for reason in failed:
        # A name may also stand for an address that is not there, as ::1 without IPv6; the others are listened on then.
        if reason.errno in (errno.EADDRINUSE, errno.EACCES) or len(failed) == len(found):
            raise InvalidInput(
                f"{where}: cannot listen there ({reason.strerror}); choose another, or stop what listens"
            ) from reason


def _bind(family: int, address: Any) -> OSError | None:
    """What keeps this process from listening on ``address``, if anything."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as asyncio will: after a restart it is free
            trial.bind(address)
    except OSError as error:
        return error
    return None
