"""Messages between the ingest and its workers: JSON behind a length of 4 bytes, on a Unix socket.

JSON and not pickle: a worker reads hostile files, and what a taken-over worker sends must stay data.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from typing import Any

MOST_BYTES = 512_000_000  # of one message; the largest document in JSON escapes stays below it

_LENGTH = struct.Struct("<I")


class Gone(Exception):
    """The other end closed the socket, or sent what is no message."""


class Late(Exception):
    """No whole message came in time."""


def send(channel: socket.socket, message: dict[str, Any], descriptor: int = -1) -> None:
    """Send ``message``, and an open file with it. Raises Gone."""
    body = json.dumps(message).encode()
    try:
        if descriptor >= 0:
            socket.send_fds(channel, [_LENGTH.pack(len(body))], [descriptor])
        else:
            channel.sendall(_LENGTH.pack(len(body)))
        channel.sendall(body)
    except OSError as error:
        raise Gone(str(error)) from error


def receive(channel: socket.socket, seconds: float | None = None) -> dict[str, Any]:
    """The next message, which must be whole within ``seconds``. Raises Gone, Late."""
    until = None if seconds is None else time.monotonic() + seconds
    (length,) = _LENGTH.unpack(_exactly(channel, _LENGTH.size, until))
    return _parse(_exactly(channel, length, until))


def receive_file(channel: socket.socket) -> tuple[dict[str, Any], int]:
    """The next message and the open file that came with it. Raises Gone."""
    try:
        head, descriptors, _, _ = socket.recv_fds(channel, _LENGTH.size, 1)
    except OSError as error:
        raise Gone(str(error)) from error
    if not head or not descriptors:
        raise Gone("closed")
    (length,) = _LENGTH.unpack(head + _exactly(channel, _LENGTH.size - len(head), None))
    return _parse(_exactly(channel, length, None)), descriptors[0]


def _exactly(channel: socket.socket, length: int, until: float | None) -> bytes:
    if length > MOST_BYTES:
        raise Gone(f"a message of {length} bytes")
    parts = bytearray()
    while len(parts) < length:
        try:
            channel.settimeout(None if until is None else max(0.001, until - time.monotonic()))
            part = channel.recv(min(length - len(parts), 1 << 20))
        except TimeoutError as error:
            raise Late from error
        except OSError as error:
            raise Gone(str(error)) from error
        if not part:
            raise Gone("closed")
        parts += part
        if until is not None and time.monotonic() > until and len(parts) < length:
            raise Late
    return bytes(parts)


def _parse(body: bytes) -> dict[str, Any]:
    try:
        message = json.loads(body)
    except ValueError as error:
        raise Gone("no JSON") from error
    if not isinstance(message, dict):
        raise Gone("no object")
    return message
