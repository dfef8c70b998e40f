"""All rows of one database into another, of the same kind or not: checked row by row, taken up where it was stopped.

Both sides are walked in the order of their primary keys, block by block. A row that is not as in the source is written,
one that the source lacks is deleted; so a copy that was killed goes on where it was, and one that is complete writes
nothing. Afterwards every row of both is compared once more. Until that has passed, the target carries the mark of an
unfinished copy and no Store opens on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, delete, func, insert, literal, select, text, tuple_, update

from rag.store.database import Database, utc
from rag.store.tables import (
    answers,
    audit,
    bands,
    chunks,
    clock,
    collections,
    deletions,
    documents,
    eval_runs,
    feedback,
    jobs,
    keys,
    labels,
    outcomes,
    signatures,
    ticks,
)
from rag.types import InvalidInput, StoreUnavailable

COPYING = "copying:"  # before the store's id while a copy into it is not complete
# Parents before those that point to them.
TABLES = (
    collections, documents, chunks, deletions, ticks, outcomes, signatures, bands, labels, answers, feedback, keys,
    jobs, audit, eval_runs,
)  # fmt: skip
_PARENTS = (documents, collections)  # what they lack goes last: until then rows may point to it that are yet to change
_NUMBERED = (collections, chunks, audit)  # ids that the database gives, and never again
_BLOCK = 1_000  # rows of a transaction

Row = dict[str, Any]
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy did: rows of each table, all of them compared; how many were written and deleted; the last change."""

    rows: dict[str, int]
    written: int
    deleted: int
    seq: int


def copy_rows(source: Database, target: Database, progress: Progress = lambda _done, _total: None) -> Copied:
    """Make ``target`` hold exactly the rows of ``source``, as of the moment of the call.

    Raises InvalidInput where the target holds rows of another store, or newer ones; StoreUnavailable where either
    cannot be reached, or where the rows differ in the end.
    """
    with source.read() as reading:
        store_id, seq = reading.execute(select(clock.c.store_id, clock.c.seq)).one()
        if store_id.startswith(COPYING):
            raise InvalidInput(f"{source.kind.where} is itself an unfinished copy; finish that first")
        _claim(target, store_id, seq)
        total = sum(_count(reading, table) for table in TABLES)
        _free_names(reading, target)
        deleted = sum(_delete_extra(reading, target, table) for table in reversed(TABLES) if table not in _PARENTS)
        written, done = 0, 0
        for table in TABLES:
            for block in _blocks(reading, table):
                written += _write(target, table, block)
                done += len(block)
                progress(done, total)
        deleted += sum(_delete_extra(reading, target, table) for table in _PARENTS)
        rows = {table.name: _compare(reading, target, table) for table in TABLES}
        _finish(reading, target, store_id, seq)
    return Copied(rows, written, deleted, seq)


def _claim(target: Database, store_id: str, seq: int) -> None:
    """Mark ``target`` as an unfinished copy of that store."""
    with target.write() as writing:
        theirs, moved = writing.execute(select(clock.c.store_id, clock.c.seq)).one()
        if theirs == store_id and moved > seq:
            raise InvalidInput(
                f"{target.kind.where} has gone on since it was copied (change {moved}, the source is at {seq}); "
                "copying again would undo that"
            )
        empty = not any(_count(writing, table) for table in TABLES)
        if theirs.removeprefix(COPYING) != store_id and not empty:
            raise InvalidInput(f"{target.kind.where} holds rows of another store; give an empty database")
        writing.execute(update(clock).values(store_id=COPYING + store_id))


def _free_names(reading: Connection, target: Database) -> None:
    """Take the names of collections that are gone, for others may have them now."""
    kept = set(reading.execute(select(collections.c.id)).scalars())
    with target.write() as writing:
        for gone in set(writing.execute(select(collections.c.id)).scalars()) - kept:
            writing.execute(update(collections).where(collections.c.id == gone).values(name=f"gone:{gone}"))


def _finish(reading: Connection, target: Database, store_id: str, seq: int) -> None:
    """Take over the numbers that ids and changes go on from, and the store's identity."""
    with target.write() as writing:
        for table in _NUMBERED:
            _go_on_from(writing, table.name, _last_id(reading, table))
        writing.execute(update(clock).values(store_id=store_id, seq=seq))


def _last_id(reading: Connection, table: Table) -> int:
    """The last id that was ever given; deleted rows count."""
    if reading.dialect.name == "sqlite":
        query = text("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = :name")
        return int(reading.execute(query, {"name": table.name}).scalar_one())
    query = text(f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {table.name}_id_seq")
    return int(reading.execute(query).scalar_one())


def _go_on_from(writing: Connection, name: str, last: int) -> None:
    values = {"name": name, "last": last}
    if writing.dialect.name == "postgresql":
        if last:
            writing.execute(text("SELECT setval(:name || '_id_seq', :last)"), values)
    elif not writing.execute(text("UPDATE sqlite_sequence SET seq = :last WHERE name = :name"), values).rowcount:
        writing.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :last)"), values)


def _blocks(connection: Connection, table: Table, only_keys: bool = False) -> Iterator[list[Row]]:
    """All rows in the order of their keys, some at a time."""
    key = list(table.primary_key.columns)
    query = select(*key) if only_keys else select(table)
    query = query.order_by(*key).limit(_BLOCK)
    after = query
    while rows := [_plain(row) for row in connection.execute(after)]:
        yield rows
        after = query.where(tuple_(*key) > _at(table, rows[-1]))


def _between(connection: Connection, table: Table, block: Sequence[Row]) -> dict[tuple[Any, ...], Row]:
    """The rows from the first to the last of ``block``, by key."""
    key = list(table.primary_key.columns)
    inside = (tuple_(*key) >= _at(table, block[0]), tuple_(*key) <= _at(table, block[-1]))
    return {_key(table, row): row for row in map(_plain, connection.execute(select(table).where(*inside)))}


def _write(target: Database, table: Table, block: Sequence[Row]) -> int:
    with target.read() as connection:
        there = _between(connection, table, block)
    new = [row for row in block if _key(table, row) not in there]
    changed = [row for row in block if there.get(_key(table, row), row) != row]
    if not new and not changed:
        return 0
    with target.write() as writing:
        for row in changed:
            writing.execute(update(table).where(tuple_(*table.primary_key.columns) == _at(table, row)).values(row))
        if new:  # returning, so that they go in few statements: triggers run once each
            writing.execute(insert(table).returning(next(iter(table.primary_key.columns))), new)
    return len(new) + len(changed)


def _delete_extra(reading: Connection, target: Database, table: Table) -> int:
    """Delete what the source lacks; returns how many rows went."""
    with target.read() as connection:
        blocks = list(_blocks(connection, table, only_keys=True))
    gone = 0
    for block in blocks:
        kept = _between(reading, table, block)
        extra = [row for row in block if _key(table, row) not in kept]
        if extra:
            with target.write() as writing:
                for row in extra:
                    writing.execute(delete(table).where(tuple_(*table.primary_key.columns) == _at(table, row)))
            gone += len(extra)
    return gone


def _compare(reading: Connection, target: Database, table: Table) -> int:
    """Compare every row of both; returns how many there are. Raises StoreUnavailable where one differs."""
    count = 0
    with target.read() as connection:
        for block in _blocks(reading, table):
            there = _between(connection, table, block)
            wrong = [_key(table, row) for row in block if there.get(_key(table, row)) != row]
            if wrong or len(there) != len(block):
                raise StoreUnavailable(
                    f"{target.kind.where}: table {table.name} differs from the source at {wrong[:1] or block[0]}; "
                    "something else writes there: stop it and run the copy again"
                )
            count += len(block)
        if _count(connection, table) != count:
            raise StoreUnavailable(
                f"{target.kind.where}: table {table.name} has rows that the source lacks; run it again"
            )
    return count


def _count(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def _key(table: Table, row: Row) -> tuple[Any, ...]:
    return tuple(row[column.name] for column in table.primary_key.columns)


def _at(table: Table, row: Row) -> Any:
    return tuple_(*(literal(row[column.name], column.type) for column in table.primary_key.columns))


def _plain(row: Any) -> Row:
    """A row as both kinds of database give it: times with their zone, no NUL in text, which PostgreSQL cannot hold."""
    return {name: _plain_value(value) for name, value in row._mapping.items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return utc(value)
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value
