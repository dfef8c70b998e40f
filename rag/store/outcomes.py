"""Outcomes: what became of each file at its last ingest. One row a file, and one for each document in an archive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from sqlalchemy import delete, insert, select

from rag.store.collections import Collection
from rag.store.database import Database, patient
from rag.store.tables import outcomes

_BATCH = 500  # rows one IN (...) takes


@dataclass(frozen=True, slots=True)
class Outcome:
    """``status``: added, changed, unchanged, renamed, skipped or failed; ``reason`` says why, or what was left out.

    ``content_hash`` and ``reader`` are of the bytes that were read, empty where none were. ``documents`` is how many
    documents the file gave: 1, 0, or as many as an archive holds.
    """

    uri: str
    status: str
    reason: str = ""
    content_hash: str = ""
    reader: str = ""
    documents: int = 0


@patient
class Outcomes:
    """Reading and writing of outcomes."""

    def __init__(self, database: Database):
        self._database = database

    def record(self, collection: Collection, rows: Sequence[Outcome]) -> None:
        """Keep ``rows`` in place of those of the same uris, in one transaction; the last of one uri counts."""
        latest = {row.uri: row for row in rows}
        uris = list(latest)
        now = datetime.now(UTC)
        values = [{"collection_id": collection.id, "at": now, **asdict(row)} for row in latest.values()]
        if not values:
            return
        of_collection = delete(outcomes).where(outcomes.c.collection_id == collection.id)
        with self._database.write() as connection:
            for first in range(0, len(uris), _BATCH):
                connection.execute(of_collection.where(outcomes.c.uri.in_(uris[first : first + _BATCH])))
            connection.execute(insert(outcomes), values)

    def forget(self, collection: Collection, uris: Sequence[str]) -> None:
        """Drop the rows of ``uris``."""
        of_collection = delete(outcomes).where(outcomes.c.collection_id == collection.id)
        if not uris:
            return
        with self._database.write() as connection:
            for first in range(0, len(uris), _BATCH):
                connection.execute(of_collection.where(outcomes.c.uri.in_(uris[first : first + _BATCH])))

    def all(self, collection: Collection, status: str = "") -> tuple[Outcome, ...]:
        """The outcomes of a collection by uri; of one ``status`` where it is given."""
        query = select(outcomes).where(outcomes.c.collection_id == collection.id).order_by(outcomes.c.uri)
        if status:
            query = query.where(outcomes.c.status == status)
        with self._database.read() as connection:
            return tuple(
                Outcome(row.uri, row.status, row.reason, row.content_hash, row.reader, row.documents)
                for row in connection.execute(query)
            )
