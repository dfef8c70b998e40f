"""Files -> events, by several workers at once: each file opened, compared with what is known, read in a sandbox.

A thread a worker takes the next file, and what it finds goes into one queue. Text that waits there is counted, and
threads wait while there is too much of it, so that memory does not grow with the corpus.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field

import structlog

from ingest.discover import Found
from ingest.fetch import OpenFile, open_file
from ingest.known import Known, member_uri, readers_state
from ingest.readers import is_archive
from ingest.readers.parts import Rejected
from ingest.sandbox import Parsed, Recipe, Worker
from rag.store import Outcome
from rag.types import DocumentRejected

log = structlog.get_logger()

_MOST_WAITING = 8_000_000  # characters of text that wait to be embedded
_TRIES = 3  # for a file that changes while it is read


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that needs nothing done: unchanged, failed as before, or skipped."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Moved:
    """A file whose document is there under the address ``old``, where no file is any more."""

    found: Found
    old: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Fresh:
    """A document to embed and write, of the file ``found``; ``outcome`` is what to keep once it is in."""

    found: Found
    parsed: Parsed
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Ended:
    """A file is dealt with: ``outcome`` for an archive that was read, None where another event says all.

    ``members`` are the addresses of its documents; ``size`` the bytes that were read, ``seconds`` the time it took.
    """

    outcome: Outcome | None
    members: frozenset[str] = frozenset()
    size: int = 0
    seconds: float = 0.0


Event = Kept | Moved | Fresh | Ended


@dataclass(frozen=True, slots=True)
class Crew:
    """Threads that read, and the worker processes they started, for one reading or several one after the other.

    Threads and processes are kept together because the kernel ends a worker with the thread that started it.
    """

    recipe: Recipe
    size: int
    threads: ThreadPoolExecutor
    idle: list[Worker] = field(default_factory=list)

    @classmethod
    def of(cls, recipe: Recipe, size: int) -> Crew:
        """At most ``size`` files at a time, cut as ``recipe`` says; nothing is started yet."""
        return cls(recipe, max(1, size), ThreadPoolExecutor(max(1, size), thread_name_prefix="reading"))

    def worker(self) -> Worker:
        """A worker that no other thread uses; put it back into ``idle``."""
        try:
            return self.idle.pop()
        except IndexError:
            return Worker(self.recipe)

    def close(self) -> None:
        """End all processes and threads, once no reading goes on."""
        for worker in self.idle:
            worker.close()
        self.threads.shutdown()


class Reading:
    """One run's reading by ``crew``. ``events`` may be used once; call ``release`` for each Fresh event that is done.

    The crew is left running for the next reading.
    """

    def __init__(self, crew: Crew, known: Known, most_bytes: int):
        self._crew = crew
        self._known = known
        self._most_bytes = most_bytes
        self._events: queue.SimpleQueue[Event | BaseException | None] = queue.SimpleQueue()
        self._room = threading.Condition()
        self._waiting = 0
        self._stopped = False

    def events(self, files: Sequence[Found]) -> Iterator[Event | None]:
        """What becomes of ``files``; None when nothing came for a moment. Ends when all are dealt with."""
        jobs: queue.SimpleQueue[Found] = queue.SimpleQueue()
        for found in files:
            jobs.put(found)
        tasks = [self._crew.threads.submit(self._work, jobs) for _ in range(min(self._crew.size, len(files)))]
        try:
            running = len(tasks)
            while running:
                try:
                    event = self._events.get(timeout=0.05)
                except queue.Empty:
                    yield None
                    continue
                if event is None:
                    running -= 1
                elif isinstance(event, BaseException):
                    raise event
                else:
                    yield event
        finally:
            with self._room:
                self._stopped = True
                self._room.notify_all()
            wait(tasks)

    def release(self, event: Fresh) -> None:
        """``event`` is embedded and written: its text makes room for more."""
        with self._room:
            self._waiting -= len(event.parsed.document.text)
            self._room.notify_all()

    def _work(self, jobs: queue.SimpleQueue[Found]) -> None:
        worker = self._crew.worker()
        try:
            while not self._stopped:
                try:
                    found = jobs.get_nowait()
                except queue.Empty:
                    break
                self._file(worker, found)
        except Exception as error:  # noqa: BLE001 - raised again by events(), in the thread of the run
            self._events.put(error)
        finally:
            self._crew.idle.append(worker)
            self._events.put(None)

    def _file(self, worker: Worker, found: Found) -> None:
        started = time.perf_counter()
        size = 0
        outcome: Outcome | None = None
        members: frozenset[str] = frozenset()
        content_hash = ""
        if found.skipped:
            self._events.put(Kept(Outcome(found.uri, "skipped", found.skipped)))
            self._events.put(Ended(None))
            return
        try:
            for attempt in range(_TRIES):
                with open_file(found, self._most_bytes) as file:
                    content_hash = file.content_hash
                    if self._settled(found, file):
                        break
                    size = file.size
                    outcome, members = self._read(worker, found, file)
                    if outcome is not None or file.still():
                        break
                if attempt == _TRIES - 1:
                    raise DocumentRejected(f"{found.path.name} changes while it is read; ingest it when it is still")
        except DocumentRejected as error:
            failed = Outcome(found.uri, "failed", str(error), content_hash, readers_state() if content_hash else "")
            self._events.put(Kept(failed))
        self._events.put(Ended(outcome, members, size, time.perf_counter() - started))

    def _settled(self, found: Found, file: OpenFile) -> bool:
        """Whether the file needs no reading; says so in an event."""
        unchanged = self._known.unchanged(found.uri, file.content_hash)
        if unchanged is not None:
            self._events.put(Kept(unchanged))
            if unchanged.status != "failed" and is_archive(found.path.name):
                for failed in self._known.failed_within(found.uri):
                    self._events.put(Kept(failed))
            return True
        old = self._known.moved_from(found.uri, file.content_hash)
        if old:
            outcome = Outcome(found.uri, "renamed", f"from {old}", file.content_hash, self._known.documents[old][1], 1)
            self._events.put(Moved(found, old, outcome))
        return bool(old)

    def _read(self, worker: Worker, found: Found, file: OpenFile) -> tuple[Outcome | None, frozenset[str]]:
        """Hands out the file's documents; the outcome of an archive, and the addresses of its documents."""
        archive = is_archive(found.path.name)
        members = set()
        single: Fresh | None = None
        for part in worker.read(found.path.name, file.descriptor, self._most_bytes):
            uri = member_uri(found.uri, part.member)
            if isinstance(part, Rejected):
                self._events.put(Kept(Outcome(uri, "failed", f"{found.path.name}: {part.reason}")))
                continue
            members.add(uri)
            outcome = Outcome(uri, "", part.document.note, part.content_hash, part.document.reader, 1)
            fresh = Fresh(found, part, outcome)
            if not archive:
                single = fresh
            elif (kept := self._known.unchanged(uri, part.content_hash)) is not None:
                self._events.put(Kept(kept))
            else:
                self._hand_over(fresh)
        if not archive:
            if single is not None and file.still():
                self._hand_over(single)
            return None, frozenset()
        ended = Outcome(found.uri, "archive", "", file.content_hash, readers_state(), len(members))
        return ended, frozenset(members)

    def _hand_over(self, event: Fresh) -> None:
        length = len(event.parsed.document.text)
        with self._room:
            while self._waiting and self._waiting + length > _MOST_WAITING and not self._stopped:
                self._room.wait(1.0)
            self._waiting += length
        self._events.put(event)
