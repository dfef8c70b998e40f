"""A worker process as the ingest sees it: an open file goes in, documents come out, within bounds of time and memory.

What comes back is checked: a worker that a hostile file took over can lie about that file's text and nothing else.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ingest import frames
from ingest.chunk import ChunkOptions
from ingest.readers.parts import Rejected
from rag.types import Chunk, DocumentRejected, Page, ParsedDocument

ROOT = Path(__file__).resolve().parent.parent

_START_SECONDS = 60.0  # for a worker to import its readers, on a busy machine
_MOST_EXTRA = 3600.0  # seconds that slow pages (text recognition) may add to a file's time
_RETIRE = 0.6  # share of its memory above which a worker is replaced after a file: readers leak
_MOST_FILES = 2000  # files after which a worker is replaced anyway
_KEPT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "TESSDATA_PREFIX")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may take: seconds to read it, bytes of memory, and characters of text it may give."""

    seconds: float = 120.0
    memory: int = 1_500_000_000
    chars: int = 20_000_000


@dataclass(frozen=True, slots=True)
class Recipe:
    """How workers cut text: the tokenizer's file ("": words are counted), its longest text, chunk lengths, limits."""

    tokenizer: str
    max_tokens: int
    options: ChunkOptions
    limits: Limits


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document as a worker read and cut it; ``member`` is its path in an archive, else ""."""

    member: str
    content_hash: str
    document: ParsedDocument
    parts: tuple[Chunk, ...]
    signature: bytes


class Worker:
    """One worker process, started when first needed and again after it died. For one thread at a time."""

    def __init__(self, recipe: Recipe):
        self._recipe = recipe
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._files = 0

    def read(self, name: str, descriptor: int, most_bytes: int) -> Iterator[Parsed | Rejected]:
        """The documents in the open file ``descriptor``. Raises DocumentRejected, in one line with name and cure."""
        limits = self._recipe.limits
        try:
            channel = self._ready()
            frames.send(channel, {"name": name, "most_bytes": most_bytes}, descriptor)
            left = limits.seconds
            extra = _MOST_EXTRA
            while True:
                waiting = time.monotonic()
                message = frames.receive(channel, left)
                left -= time.monotonic() - waiting
                if "more" in message:
                    granted = min(extra, max(0.0, float(message["more"])))
                    extra, left = extra - granted, left + granted
                elif "document" in message or "rejected" in message:
                    yield _checked(message)
                else:
                    break
        except frames.Late:
            self.close()
            raise DocumentRejected(
                f"{name}: reading it takes over {limits.seconds:g} s; split it, or raise ANSWERABLE_FILE_SECONDS"
            ) from None
        except (frames.Gone, OSError, ValueError, TypeError, KeyError, IndexError) as error:
            raise DocumentRejected(f"{name}: its reader {self._death()}; the file may be hostile or broken") from error
        self._after(message)
        if "failed" in message:
            raise DocumentRejected(str(message["failed"]))

    def close(self) -> None:
        """End the process."""
        if self._channel is not None:
            self._channel.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = self._channel = None

    def _ready(self) -> socket.socket:
        if self._channel is None or self._process is None or self._process.poll() is not None:
            self.close()
            self._start()
        assert self._channel is not None
        return self._channel

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        # -P: a folder "ingest" in the working directory must not be taken for ours.
        command = [sys.executable, "-P", "-m", "ingest.worker", str(theirs.fileno())]
        with theirs:
            self._process = subprocess.Popen(
                command,
                env=_environment(),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        self._channel = ours
        self._files = 0
        recipe = self._recipe
        settings = {
            "tokenizer": recipe.tokenizer,
            "max_tokens": recipe.max_tokens,
            "options": asdict(recipe.options),
            "memory": recipe.limits.memory,
            "chars": recipe.limits.chars,
            "parent": os.getpid(),
        }
        frames.send(ours, settings)
        frames.receive(ours, _START_SECONDS)

    def _after(self, message: dict[str, Any]) -> None:
        self._files += 1
        grown = int(message.get("peak", 0)) > _RETIRE * self._recipe.limits.memory
        if grown or message.get("full") or self._files >= _MOST_FILES:
            self.close()

    def _death(self) -> str:
        """How the process ended, in words; it is ended if it still runs."""
        code = None
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                code = self._process.wait(timeout=1.0)
        self.close()
        if code is None:
            return "sent what is no document"
        return f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    # One thread each: workers run beside each other and beside the encoder.
    return kept | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_THREAD_LIMIT": "1",
        "MALLOC_ARENA_MAX": "2",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _checked(message: dict[str, Any]) -> Parsed | Rejected:
    """The record of a message. Raises ValueError, TypeError or KeyError for one that does not hold together."""
    if "rejected" in message:
        return Rejected(str(message["rejected"]["member"]), str(message["rejected"]["reason"]))
    body = message["document"]
    text = str(body["text"])
    parts, reached = [], 0
    for start, end, heading, page in body["chunks"]:
        if not (reached <= int(start) < int(end) <= len(text)):
            raise ValueError(f"chunk [{start}, {end}) of {len(text)} characters")
        reached = int(start)
        parts.append(Chunk(int(start), int(end), text[start:end], str(heading), None if page is None else int(page)))
    document = ParsedDocument(
        title=str(body["title"]),
        text=text,
        reader=str(body["reader"]),
        pages=tuple(Page(int(number), int(start), int(end)) for number, start, end in body["pages"]),
        note=str(body["note"]),
    )
    return Parsed(str(body["member"]), str(body["hash"]), document, tuple(parts), bytes.fromhex(str(body["signature"])))
