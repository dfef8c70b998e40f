"""The connection to the database: opening it, bringing its tables up to date, transactions, foreign errors.

Foreign errors (SQLAlchemy's, the driver's) are translated here and nowhere else.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock
from sqlalchemy import Connection, Engine, create_engine, event, insert, inspect, select, text, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError

from rag.store.tables import clock, ticks
from rag.types import InvalidInput, StoreUnavailable

MIGRATIONS = Path(__file__).parent / "migrations"
HEAD = "0005"  # newest revision in migrations/versions; a test compares the two
BUSY_MS = 30_000  # how long a writer waits for its turn before it gives up


class Database:
    """An engine whose write transactions take turns and number their changes."""

    def __init__(self, engine: Engine):
        self._engine = engine
        self._writer = engine.execution_options(answerable_write=True)

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database throughout. Raises StoreUnavailable."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise _translate(error, self._engine) from error

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that waits its turn, and is kept whole or not at all. Raises StoreUnavailable."""
        try:
            with self._writer.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise _translate(error, self._engine) from error


def utc(value: datetime) -> datetime:
    """A time read from a row: SQLite keeps none of its zone, all ours are in UTC."""
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def tick(connection: Connection) -> int:
    """Take the next sequence number, and mark it.

    The clock's row stays locked until the transaction ends, so the order of numbers is the order of commits.
    """
    connection.execute(update(clock).values(seq=clock.c.seq + 1))
    seq = int(connection.execute(select(clock.c.seq)).scalar_one())
    connection.execute(insert(ticks).values(seq=seq, mark=secrets.token_hex(8)))
    return seq


def open_database(url: str) -> Database:
    """The database at ``url``, its tables created or upgraded.

    Raises InvalidInput for a URL that cannot be used, StoreUnavailable when the database cannot be reached, is locked,
    is not a database, or was made by a newer version of the program.
    """
    engine = _connect(url)
    try:
        _migrate(engine)
    except DBAPIError as error:
        raise _translate(error, engine) from error
    return Database(engine)


def _connect(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InvalidInput(
            f"ANSWERABLE_DATABASE_URL={url!r} is not a database URL; try sqlite:////path/file"
        ) from error
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        shown = parsed.render_as_string(hide_password=True)
        raise InvalidInput(f"ANSWERABLE_DATABASE_URL={shown!r}: this version keeps its rows in a SQLite file only")
    try:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(f"cannot make the folder of {parsed.database}: {error.strerror}") from error
    engine = create_engine(parsed, connect_args={"timeout": BUSY_MS / 1000, "check_same_thread": False})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(raw: sqlite3.Connection, _record: object) -> None:
    raw.isolation_level = None  # the driver would begin transactions by itself, too late; _begin_sqlite does
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


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes the lock at once: taking it at the first write can fail at once with "locked", whatever the timeout
    writes = connection.get_execution_options().get("answerable_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _migrate(engine: Engine) -> None:
    if _revision(engine) == HEAD:
        return  # the usual start: Alembic, slow to import, is not needed
    database = str(engine.url.database)
    with FileLock(database + ".migrate.lock"):
        found = _revision(engine)
        if found == HEAD:
            return
        if found is not None and found > HEAD:
            raise StoreUnavailable(
                f"{database} has schema {found}, newer than this program's {HEAD}; upgrade the program, or restore "
                "a backup made before the upgrade"
            )
        _upgrade(engine)


def _upgrade(engine: Engine) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.execution_options(answerable_write=True).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _revision(engine: Engine) -> str | None:
    """The schema's revision; None for an empty database."""
    with engine.begin() as connection:
        tables = inspect(connection).get_table_names()
        if "alembic_version" in tables:
            return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())
        if tables:
            raise StoreUnavailable(
                f"{engine.url.database} is a database of another program (tables: {', '.join(sorted(tables)[:4])}); "
                "set ANSWERABLE_DATABASE_URL to a new file"
            )
    return None


def _translate(error: DBAPIError, engine: Engine) -> StoreUnavailable:
    where = engine.url.database
    reason = str(error.orig)
    cures = {
        "locked": f"another process has been writing for over {BUSY_MS // 1000} s; try again when it is done",
        "full": "the disk is full; make room and run the command again, nothing finished is lost",
        "readonly": "the file or its folder is read-only; fix its permissions",
        "unable to open": "the path cannot be opened; check that its folder exists and may be written",
        "not a database": "the file is not a database of ours; move it away or restore a backup",
        "FOREIGN KEY": "the collection was deleted while a document went in; run the command again",
        "malformed": "the file is damaged; restore a backup, or move it away and ingest again",
    }
    cure = next((cure for sign, cure in cures.items() if sign in reason), None)
    if cure is None and isinstance(error, DatabaseError):
        cure = "see the message of the database"
    return StoreUnavailable(f"database {where}: {reason}: {cure}")
