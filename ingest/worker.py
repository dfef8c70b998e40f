"""The process that reads one file after another for an ingest, shut off from everything else: python -m ingest.worker

It gets an open file over a socket and sends back text, chunks and signature; it opens no file by name, may write none,
has no network where the kernel grants that, a bounded address space, and dies with the ingest that started it. What a
hostile file does to it costs that file alone. Time is watched from outside, by ingest/sandbox.py.

Message in: {name, most_bytes} with the file. Messages out: {document: {...}} for each document, {rejected: {...}} for a
part of an archive, {more: seconds} for a slow page, and last {done: true} or {failed: reason}.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ingest import frames
from ingest.chunk import ChunkOptions, chunk
from ingest.readers import read_file
from ingest.readers.parts import Part, Rejected
from ingest.signature import signature
from rag.encode import TextTokenizer
from rag.types import DocumentRejected

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_MOST_REASON = 500  # characters of a failure's reason

Count = Callable[[Sequence[str]], list[int]]


def main() -> None:
    """Read files until the socket closes; the descriptor of the socket is the one argument."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    try:
        settings = frames.receive(channel)
        _shut_off(settings["memory"], settings["parent"])
        count = _counter(settings["tokenizer"], settings["max_tokens"])
        options = ChunkOptions(**settings["options"])
        frames.send(channel, {"ready": True})
        while True:
            job, descriptor = frames.receive_file(channel)
            with os.fdopen(descriptor, "rb") as file:
                last = _work(channel, job, file, (count, options, settings["chars"]))
            frames.send(channel, last | {"peak": _peak()})
    except frames.Gone:
        return


def _peak() -> int:
    """The most memory in bytes that this process held. Not getrusage's figure, which begins with the parent's."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _shut_off(memory: int, parent: int) -> None:
    """Bound this process: ``memory`` bytes of address space, no files written, no network, no life after ``parent``."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the ingest decides what ends
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(0)  # it died before we asked to be told
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # Refused in many containers; then the files simply find no code of ours that would open a connection.
    if libc.unshare(_CLONE_NEWNET) != 0:
        libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.setrecursionlimit(1000)


def _counter(tokenizer: str, max_tokens: int) -> Count:
    if tokenizer:
        return TextTokenizer(Path(tokenizer), max_tokens).counts
    return lambda texts: [len(text.split()) for text in texts]


def _work(
    channel: socket.socket, job: dict[str, Any], file: Any, tools: tuple[Count, ChunkOptions, int]
) -> dict[str, Any]:
    """Sends every document of ``file``; the message that ends it."""
    count, options, most_chars = tools
    seen = 0
    try:
        for part in read_file(job["name"], file, job["most_bytes"], lambda more: frames.send(channel, {"more": more})):
            if isinstance(part, Rejected):
                frames.send(channel, {"rejected": {"member": part.member, "reason": part.reason[:_MOST_REASON]}})
                continue
            seen += len(part.document.text)
            if seen > most_chars:
                raise DocumentRejected(
                    f"{job['name']}: it holds over {most_chars / 1e6:g} million characters of text; split it"
                )
            frames.send(channel, {"document": _document(part, count, options)})
    except DocumentRejected as error:
        return {"failed": str(error)[:_MOST_REASON]}
    except MemoryError:
        return {"failed": f"{job['name']}: reading it takes more memory than a file may have; split it", "full": True}
    except frames.Gone:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a reader does wrong costs this file alone
        said = " ".join(str(error).split())
        return {"failed": f"{job['name']}: reader crashed: {type(error).__name__}: {said}"[:_MOST_REASON]}
    return {"done": True}


def _document(part: Part, count: Count, options: ChunkOptions) -> dict[str, Any]:
    """The document with its chunks as JSON values; a chunk's text is its characters of the document's."""
    document = part.document
    return {
        "member": part.member,
        "hash": part.content_hash,
        "title": document.title,
        "text": document.text,
        "reader": document.reader,
        "note": document.note,
        "pages": [[page.number, page.start, page.end] for page in document.pages],
        "chunks": [[one.start, one.end, one.heading, one.page] for one in chunk(document, count, options)],
        "signature": signature(document.text).hex(),
    }


if __name__ == "__main__":
    main()
