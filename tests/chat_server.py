"""A small real HTTP server of OpenAI's shape that behaves as it is told, for tests of generation elsewhere."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Behaviour = Callable[["Handler"], None]


@dataclass(slots=True)
class ChatServer:
    """What the server is to do with each request, in order (the last again and again), and what it was asked."""

    url: str
    behaviours: list[Behaviour]
    models: Sequence[str] = ("tiny",)
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    hung_up: threading.Event = field(default_factory=threading.Event)
    stopped: threading.Event = field(default_factory=threading.Event)

    def next(self) -> Behaviour:
        return self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]


class Handler(BaseHTTPRequestHandler):
    """One connection; the server's ChatServer is ``self.server.chat``."""

    protocol_version = "HTTP/1.1"
    close_connection = True
    chat: ChatServer

    def do_GET(self) -> None:
        body = json.dumps({"object": "list", "data": [{"id": name} for name in self.chat.models]})
        self.reply(200, body, "application/json")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.chat.asked.append(json.loads(body))
        self.chat.headers.append({name.lower(): value for name, value in self.headers.items()})
        try:
            self.chat.next()(self)
        except OSError:
            self.chat.hung_up.set()

    def reply(self, status: int, body: str, kind: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"content-type": kind, "content-length": str(len(body.encode())), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode())

    def begin(self) -> None:
        """The head of a stream of events, which ends with the connection."""
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("connection", "close")
        self.end_headers()

    def event(self, data: str) -> None:
        self.wfile.write(f"data: {data}\n\n".encode())
        self.wfile.flush()

    def word(self, text: str) -> None:
        self.event(json.dumps({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}))

    def sleep(self, seconds: float) -> None:
        """Wait, but not beyond the end of the test."""
        self.chat.stopped.wait(seconds)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on stderr."""


def says(*words: str) -> Behaviour:
    """Writes the words, as llama.cpp's and vLLM's servers do."""

    def behave(handler: Handler) -> None:
        handler.begin()
        handler.event(json.dumps({"choices": [{"index": 0, "delta": {"role": "assistant", "content": None}}]}))
        for word in words:
            handler.word(word)
        handler.event(json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
        handler.event(json.dumps({"choices": [], "usage": {"prompt_tokens": 77, "completion_tokens": 2 * len(words)}}))
        handler.event("[DONE]")

    return behave


def status(code: int, body: str = '{"error": {"message": "not now"}}', **headers: str) -> Behaviour:
    return lambda handler: handler.reply(code, body, "application/json", **headers)


def raw(body: str, kind: str = "text/event-stream") -> Behaviour:
    """Exactly this body with status 200."""
    return lambda handler: handler.reply(200, body, kind)


def silent(handler: Handler) -> None:
    """Takes the question and says nothing."""
    handler.sleep(60)


def dripping(handler: Handler) -> None:
    """A word now and then, without end."""
    handler.begin()
    until = time.monotonic() + 60
    while time.monotonic() < until and not handler.chat.stopped.is_set():
        handler.word("and ")
        handler.sleep(0.05)


def dripping_head(handler: Handler) -> None:
    """A byte of a header now and then, without end."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nx-slow: ")
    until = time.monotonic() + 60
    while time.monotonic() < until and not handler.chat.stopped.is_set():
        handler.wfile.write(b"a")
        handler.sleep(0.05)


def drops(*words: str) -> Behaviour:
    """Breaks off after the words."""

    def behave(handler: Handler) -> None:
        handler.begin()
        for word in words:
            handler.word(word)

    return behave


def resets(handler: Handler) -> None:
    """Closes the connection before it says anything."""
    handler.connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def chat_server(*behaviours: Behaviour, models: Sequence[str] = ("tiny",)) -> Iterator[ChatServer]:
    """The server, on a free port of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    chat = ChatServer(f"http://127.0.0.1:{server.server_port}/v1", list(behaviours), models)
    server.RequestHandlerClass = type("Bound", (Handler,), {"chat": chat})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield chat
    finally:
        chat.stopped.set()
        with suppress(OSError):
            server.shutdown()
            server.server_close()
        thread.join(5)
