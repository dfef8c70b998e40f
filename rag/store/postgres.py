"""PostgreSQL: several machines on one set of rows, by psycopg 3.

Whoever changes documents or chunks takes turns on an advisory lock that ends with the transaction, as writers of SQLite
do on the file: that is what makes the order of sequence numbers the order of commits (rag/store/database.py). Answers,
jobs and the like, which no index follows, do not wait for it. Readers see one state (REPEATABLE READ).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, OperationalError

from rag.types import InvalidInput, StoreUnavailable

BUSY_S = 30  # how long a writer waits for its turn before it gives up
POOL, MORE = 10, 20  # connections a process keeps, and may open beyond
_OPTIONS = f"-c lock_timeout={BUSY_S}s -c timezone=UTC"
# keepalives: a server that vanished without a word is noticed within half a minute
_DRIVER = {"connect_timeout": 5, "application_name": "answerable", "keepalives_idle": 10, "keepalives_interval": 5}

_CURES = {
    "55P03": f"another process has been writing for over {BUSY_S} s; try again when it is done",
    "53100": "its disk is full; make room and run the command again, nothing finished is lost",
    "53300": "it takes no more connections; raise max_connections or run fewer processes",
    "25006": "this server is read-only, such as a standby; set ANSWERABLE_DATABASE_URL to the primary",
    "42501": "the user may not do this; make the user the owner of the database",
    "23503": "the collection was deleted while a document went in; run the command again",
}
_CONNECT_CURES = {
    "password": "check user and password in ANSWERABLE_DATABASE_URL",
    "does not exist": "create the database first: createdb NAME",
    "": "check that the server runs and that ANSWERABLE_DATABASE_URL names it",
}
_AWAY = ("starting up", "shutting down", "recovery mode", "refused", "No such file", "timeout", "closed", "terminat")


class Postgres:
    """What is special about PostgreSQL; the other such class is rag/store/sqlite.py."""

    def __init__(self, url: URL):
        shown = url.render_as_string(hide_password=True)
        self.where = f"{url.host or 'local'}:{url.port or 5432}/{url.database}"
        try:
            import psycopg  # noqa: F401 - an extra
        except ImportError as error:
            raise InvalidInput(
                f"ANSWERABLE_DATABASE_URL={shown!r} needs psycopg; run: pip install 'answerable[postgres]'"
            ) from error
        self.engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,  # a connection that a restart of the server has cut is replaced before it is used
            pool_size=POOL,
            max_overflow=MORE,
            connect_args=_DRIVER | {"options": _OPTIONS},
        )
        self.reader = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self.adder = self.engine
        self.writer = self.engine.execution_options(answerable_write=True)
        event.listen(self.engine, "begin", _begin)

    def migrating(self, upgrade: Callable[[Engine], None]) -> None:
        """Call ``upgrade`` while no other process does."""
        with self.turn("migration", BUSY_S) as mine:
            if not mine:
                raise StoreUnavailable(f"database {self.where} is being upgraded by another process; try again")
            with self.engine.connect() as connection:
                encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
            if encoding != "UTF8":
                raise StoreUnavailable(
                    f"database {self.where} keeps text as {encoding}; create one with: createdb -E UTF8 -T template0"
                )
            upgrade(self.writer)

    @contextmanager
    def turn(self, name: str, wait_s: float) -> Iterator[bool]:
        """Hold the lock ``name``, which one process at a time has; gives False where it was not free in time.

        It is the server's, so it is free again as soon as the connection of its holder ends.
        """
        with self.engine.begin() as connection:
            connection.execute(
                text("SELECT set_config('lock_timeout', :wait, true)"), {"wait": f"{wait_s * 1000:.0f}ms"}
            )
            try:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _key(name)})
            except OperationalError as error:
                if getattr(error.orig, "sqlstate", None) != "55P03":
                    raise
                mine = False
            else:
                mine = True
            yield mine

    def may_pass(self, error: DBAPIError) -> bool:
        """Whether the database is only away for the moment, as while it is started again."""
        if not isinstance(error, OperationalError):
            return error.connection_invalidated
        state = getattr(error.orig, "sqlstate", None) or ""
        reason = str(error.orig)
        return state.startswith(("57P", "08")) or (not state and any(sign in reason for sign in _AWAY))

    def cure(self, error: DBAPIError) -> str:
        """What to do about ``error``; empty where its own words must do."""
        state = getattr(error.orig, "sqlstate", None)
        if state in _CURES:
            return _CURES[state]
        if state or not isinstance(error, OperationalError):
            return ""
        return next(cure for sign, cure in _CONNECT_CURES.items() if sign in str(error.orig))


def _begin(connection: Connection) -> None:
    if connection.get_execution_options().get("answerable_write", False):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_key('write')})")


def _key(name: str) -> int:
    """The number of the lock ``name``; other programs on the same database have other names."""
    return int.from_bytes(hashlib.sha256(f"answerable {name}".encode()).digest()[:7])
