"""SQLite: one file. Writers take turns on its lock, readers see one state of it (WAL)."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from rag.types import StoreUnavailable

BUSY_MS = 30_000  # how long a writer waits for its turn before it gives up

_CURES = {
    "locked": f"another process has been writing for over {BUSY_MS // 1000} s; try again when it is done",
    "full": "the disk is full; make room and run the command again, nothing finished is lost",
    "readonly": "the file or its folder is read-only; fix its permissions",
    "unable to open": "the path cannot be opened; check that its folder exists and may be written",
    "not a database": "the file is not a database of ours; move it away or restore a backup",
    "FOREIGN KEY": "the collection was deleted while a document went in; run the command again",
    "malformed": "the file is damaged; restore a backup, or move it away and ingest again",
}


class Sqlite:
    """What is special about SQLite; the other such class is rag/store/postgres.py."""

    def __init__(self, url: URL):
        self.where = str(url.database)
        try:
            Path(self.where).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnavailable(f"cannot make the folder of {self.where}: {error.strerror}") from error
        self.engine = create_engine(url, connect_args={"timeout": BUSY_MS / 1000, "check_same_thread": False})
        event.listen(self.engine, "connect", _prepare)
        event.listen(self.engine, "begin", _begin)
        self.reader = self.engine
        self.writer = self.engine.execution_options(answerable_write=True)
        self.adder = self.writer

    def migrating(self, upgrade: Callable[[Engine], None]) -> None:
        """Call ``upgrade`` while no other process does."""
        with FileLock(self.where + ".migrate.lock"):
            upgrade(self.writer)

    @contextmanager
    def turn(self, name: str, wait_s: float) -> Iterator[bool]:
        """Hold the lock ``name``, which one process at a time has; gives False where it was not free in time."""
        lock = FileLock(f"{self.where}.{name}.lock")
        try:
            lock.acquire(timeout=wait_s)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def may_pass(self, error: DBAPIError) -> bool:  # noqa: ARG002 - a file does not come back by waiting
        """Whether the database is only away for the moment."""
        return False

    def cure(self, error: DBAPIError) -> str:
        """What to do about ``error``; empty where its own words must do."""
        reason = str(error.orig)
        return next((cure for sign, cure in _CURES.items() if sign in reason), "")


def _prepare(raw: sqlite3.Connection, _record: object) -> None:
    raw.isolation_level = None  # the driver would begin transactions by itself, too late; _begin does
    cursor = raw.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    _use_wal(cursor)
    cursor.execute("PRAGMA synchronous=NORMAL")  # with WAL: consistent after any crash; power loss may undo the last
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _use_wal(cursor: sqlite3.Cursor) -> None:
    # Of several first connections to a new file one changes its mode; the others are told "locked" at once, whatever
    # the timeout.
    until = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.02)


def _begin(connection: Connection) -> None:
    # A writer takes the lock at once: taking it at the first write can fail at once with "locked", whatever the timeout
    writes = connection.get_execution_options().get("answerable_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
