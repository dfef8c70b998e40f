"""The connection to the database: opening it, bringing its tables up to date, transactions, foreign errors.

What the kinds of database do not share is in rag/store/sqlite.py and rag/store/postgres.py. Foreign errors
(SQLAlchemy's, the drivers') are translated here and nowhere else.
"""

from __future__ import annotations

import functools
import inspect as python
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, insert, inspect, select, text, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from rag.store.postgres import Postgres
from rag.store.sqlite import Sqlite
from rag.store.tables import clock, ticks
from rag.types import InvalidInput, StoreLost, StoreUnavailable

MIGRATIONS = Path(__file__).parent / "migrations"
HEAD = "0005"  # newest revision in migrations/versions; a test compares the two
AWAY_S = 20.0  # how long a transaction waits for a server that is being started again
_LOOK_S = 0.2

Table = TypeVar("Table")


class Database:
    """An engine whose write transactions take turns and number their changes."""

    def __init__(self, kind: Sqlite | Postgres):
        self.kind = kind

    def close(self) -> None:
        """Give all connections back."""
        self.kind.engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database throughout. Raises StoreUnavailable."""
        with self._begin(self.kind.reader) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that waits its turn, and is kept whole or not at all. Raises StoreUnavailable."""
        with self._begin(self.kind.writer) as connection:
            yield connection

    @contextmanager
    def add(self) -> Iterator[Connection]:
        """The same for rows that no index follows: it waits for no other writer where the database can do without."""
        with self._begin(self.kind.adder) as connection:
            yield connection

    @contextmanager
    def turn(self, name: str, wait_s: float) -> Iterator[bool]:
        """Hold the lock ``name``, which one process at a time has; gives False where it was not free in time."""
        try:
            with self.kind.turn(name, wait_s) as mine:
                yield mine
        except DBAPIError as error:
            raise _translate(error, self.kind) from error

    @contextmanager
    def _begin(self, engine: Engine) -> Iterator[Connection]:
        try:
            with self._connected(engine) as connection, connection.begin():
                yield connection
        except DBAPIError as error:
            raise _translate(error, self.kind) from error

    def _connected(self, engine: Engine) -> Connection:
        """A connection; waits for a server that is away for the moment."""
        until = time.monotonic() + AWAY_S
        while True:
            try:
                return engine.connect()
            except PoolTimeout as error:
                raise StoreUnavailable(
                    f"database {self.kind.where}: all connections of this process are busy; try again"
                ) from error
            except DBAPIError as error:
                if not self.kind.may_pass(error) or time.monotonic() > until:
                    raise
            time.sleep(_LOOK_S)


def patient(cls: type[Table]) -> type[Table]:
    """Every public method of ``cls`` is run once more when its connection broke on the way.

    For classes whose methods are one transaction each, which may run twice: most broken ones were undone, and one that
    was kept although nobody could say so is made again to the same end, or refused as Superseded or NotFound.
    """
    for name, method in list(vars(cls).items()):
        generates = python.isgeneratorfunction(python.unwrap(method)) if callable(method) else False
        if python.isfunction(method) and not name.startswith("_") and not generates:
            setattr(cls, name, _twice(method))
    return cls


def _twice(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def run(*arguments: Any, **named: Any) -> Any:
        try:
            return method(*arguments, **named)
        except StoreLost:
            return method(*arguments, **named)

    return run


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
    kind = _kind(url)
    try:
        if _revision(kind) != HEAD:  # the usual start: Alembic, slow to import, is not needed
            kind.migrating(lambda engine: _migrate(kind, engine))
    except DBAPIError as error:
        raise _translate(error, kind) from error
    return Database(kind)


def _kind(url: str) -> Sqlite | Postgres:
    try:
        parsed = make_url(url.replace("postgres://", "postgresql://", 1))
    except ArgumentError as error:
        raise InvalidInput(
            f"ANSWERABLE_DATABASE_URL={url!r} is not a database URL; try sqlite:////path/file or "
            "postgresql://user:password@host/database"
        ) from error
    kinds: dict[str, type[Sqlite | Postgres]] = {"sqlite": Sqlite, "postgresql": Postgres}
    if parsed.get_backend_name() not in kinds or not parsed.database:
        shown = parsed.render_as_string(hide_password=True)
        raise InvalidInput(
            f"ANSWERABLE_DATABASE_URL={shown!r}: use sqlite:////path/file or postgresql://user:password@host/database"
        )
    return kinds[parsed.get_backend_name()](parsed)


def _migrate(kind: Sqlite | Postgres, engine: Engine) -> None:
    found = _revision(kind)
    if found == HEAD:
        return
    if found is not None and found > HEAD:
        raise StoreUnavailable(
            f"{kind.where} has schema {found}, newer than this program's {HEAD}; upgrade the program, or restore "
            "a backup made before the upgrade"
        )
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _revision(kind: Sqlite | Postgres) -> str | None:
    """The schema's revision; None for an empty database."""
    with kind.engine.begin() as connection:
        tables = inspect(connection).get_table_names()
        if "alembic_version" in tables:
            return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())
        if tables:
            raise StoreUnavailable(
                f"{kind.where} is a database of another program (tables: {', '.join(sorted(tables)[:4])}); "
                "set ANSWERABLE_DATABASE_URL to a new one"
            )
    return None


def _translate(error: DBAPIError, kind: Sqlite | Postgres) -> StoreUnavailable:
    reason = next(iter(str(error.orig).strip().splitlines()), type(error.orig).__name__)
    if error.connection_invalidated:
        return StoreLost(f"database {kind.where}: {reason}: the connection broke; try again")
    return StoreUnavailable(f"database {kind.where}: {reason}: {kind.cure(error) or 'see the message of the database'}")
