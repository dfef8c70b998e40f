"""Chunks as retrieval needs them: passages by id, changes since a sequence number, full-text search."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, func, select, update

from rag.store import fulltext
from rag.store.collections import Collection
from rag.store.database import Database, patient, tick
from rag.store.tables import chunks, clock, collections, deletions, documents, ticks
from rag.types import Filter, Passage, StoreUnavailable

_SCAN = 5_000  # rows of one block of a snapshot
_BATCH = 500  # rows one IN (...) takes and one page of a scan holds


@dataclass(frozen=True, slots=True)
class Changes:
    """What came and went in a collection: ids (N,) with vectors (N, D), ids that went (M,), and up to which number."""

    seq: int
    ids: NDArray[np.int64]
    vectors: NDArray[np.float32]
    deleted: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All vectors of a collection at one moment: how many, as of which change, and blocks of ids (B,) with (B, D)."""

    seq: int
    count: int
    blocks: Iterator[tuple[NDArray[np.int64], NDArray[np.float16]]]


@patient
class Chunks:
    """Reading of chunks; they are written with their document, in rag/store/documents.py."""

    def __init__(self, database: Database):
        self._database = database

    def passages(self, chunk_ids: Iterable[int]) -> dict[int, Passage]:
        """The passages of those ids that still exist, by id."""
        wanted = sorted({int(i) for i in chunk_ids})
        query = select(chunks, documents.c.title, documents.c.uri).join(documents)
        found: dict[int, Passage] = {}
        with self._database.read() as connection:
            for first in range(0, len(wanted), _BATCH):
                batch = query.where(chunks.c.id.in_(wanted[first : first + _BATCH]))
                for row in connection.execute(batch):
                    found[row.id] = Passage(
                        chunk_id=row.id,
                        document_id=row.document_id,
                        title=row.title,
                        uri=row.uri,
                        start=row.start,
                        end=row.stop,
                        text=row.text,
                        heading=row.heading,
                        page=row.page,
                    )
        return found

    def count(self, collection: Collection) -> int:
        """How many chunks the collection has."""
        query = select(func.count()).select_from(chunks).where(chunks.c.collection_id == collection.id)
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def seq(self) -> int:
        """The number of the last committed change: one cheap read that tells whether anything is new."""
        with self._database.read() as connection:
            return int(connection.execute(select(clock.c.seq)).scalar_one())

    def mark(self, seq: int) -> str:
        """The random mark of change number ``seq``; empty for a change that this database never made."""
        with self._database.read() as connection:
            return connection.execute(select(ticks.c.mark).where(ticks.c.seq == seq)).scalar_one_or_none() or ""

    def changes(self, collection: Collection, after: int) -> Changes:
        """What came and went in ``collection`` after sequence number ``after``, as of one moment."""
        came = select(chunks.c.id, chunks.c.vector).where(chunks.c.collection_id == collection.id, chunks.c.seq > after)
        went = select(deletions.c.chunk_id).where(deletions.c.collection_id == collection.id, deletions.c.seq > after)
        with self._database.read() as connection:
            seq = int(connection.execute(select(clock.c.seq)).scalar_one())
            rows = connection.execute(came.order_by(chunks.c.id)).all()
            deleted = connection.execute(went).scalars().all()
        ids, vectors = _block(rows, collection.dimension)
        return Changes(seq, ids, vectors.astype(np.float32), np.array(deleted, dtype=np.int64))

    @contextmanager
    def snapshot(self, collection: Collection) -> Iterator[Snapshot]:
        """The collection's vectors, by id, block by block; one state of the database for as long as it is open."""
        of = chunks.c.collection_id == collection.id
        query = select(chunks.c.id, chunks.c.vector).where(of).order_by(chunks.c.id)
        with self._database.read() as connection:
            seq = int(connection.execute(select(clock.c.seq)).scalar_one())
            count = int(connection.execute(select(func.count()).select_from(chunks).where(of)).scalar_one())
            pages = connection.execution_options(yield_per=_SCAN).execute(query).partitions()
            yield Snapshot(seq, count, (_block(page, collection.dimension) for page in pages))

    def search(
        self, collection: Collection, words: Sequence[str], limit: int, allowed: NDArray[np.int64] | None = None
    ) -> list[tuple[int, float]]:
        """(id, BM25 score, higher is better) of the chunks that hold any of ``words``, best first.

        ``allowed``: ids to keep to; None for all.
        """
        with self._database.read() as connection:
            return fulltext.search(connection, collection, words, limit, allowed)

    def vectors(self, chunk_ids: NDArray[np.int64], dimension: int) -> NDArray[np.float32]:
        """The vectors of those ids, (N, D); a row of zeros for one that is gone."""
        kept: dict[int, bytes] = {}
        wanted = sorted(set(chunk_ids.tolist()))
        with self._database.read() as connection:
            for first in range(0, len(wanted), _BATCH):
                of = select(chunks.c.id, chunks.c.vector).where(chunks.c.id.in_(wanted[first : first + _BATCH]))
                kept.update((row.id, row.vector) for row in connection.execute(of))
        nothing = bytes(2 * dimension)
        raw = np.frombuffer(b"".join(kept.get(i, nothing) for i in chunk_ids.tolist()), dtype="<f2")
        return raw.reshape(len(chunk_ids), dimension).astype(np.float32)

    def matching(self, collection: Collection, where: Filter) -> NDArray[np.int64]:
        """The ids, rising, of the chunks whose document ``where`` lets through."""
        query = select(chunks.c.id).join(documents).where(chunks.c.collection_id == collection.id, *_conditions(where))
        with self._database.read() as connection:
            found = connection.execute(query.order_by(chunks.c.id)).scalars().all()
        return np.array(found, dtype=np.int64)

    def texts(self, collection: Collection) -> Iterator[list[tuple[int, str, str]]]:
        """Batches of (id, heading, text) over the collection's chunks, by id."""
        query = select(chunks.c.id, chunks.c.heading, chunks.c.text).where(chunks.c.collection_id == collection.id)
        last = -1
        while True:
            with self._database.read() as connection:
                rows = connection.execute(query.where(chunks.c.id > last).order_by(chunks.c.id).limit(_BATCH)).all()
            if not rows:
                return
            yield [(row.id, row.heading, row.text) for row in rows]
            last = rows[-1].id

    def set_vectors(
        self, collection: Collection, encoder: str, ids: Sequence[int], vectors: NDArray[np.float32]
    ) -> None:
        """Give the collection's chunks ``ids`` new vectors, (len(ids), D), made by ``encoder``, in one transaction.

        Raises StoreUnavailable when chunks came or went since the caller read them: run it again.
        """
        values = {"encoder": encoder, "dimension": vectors.shape[1]}
        with self._database.write() as connection:
            seq = tick(connection)
            present = connection.execute(select(chunks.c.id).where(chunks.c.collection_id == collection.id)).scalars()
            if set(present) != set(ids):
                raise StoreUnavailable(f"collection {collection.name!r} changed while it was embedded; run it again")
            for chunk_id, vector in zip(ids, vectors.astype("<f2"), strict=True):
                change = {"vector": vector.tobytes(), "seq": seq}
                connection.execute(update(chunks).where(chunks.c.id == chunk_id).values(change))
            connection.execute(update(collections).where(collections.c.id == collection.id).values(values))


def _block(rows: Sequence[Any], dimension: int) -> tuple[NDArray[np.int64], NDArray[np.float16]]:
    """Ids (B,) and vectors (B, D) of rows with both."""
    raw = np.frombuffer(b"".join(row.vector for row in rows), dtype="<f2")
    return np.array([row.id for row in rows], dtype=np.int64), raw.reshape(len(rows), dimension)


def _conditions(where: Filter) -> Iterator[ColumnElement[bool]]:
    if where.path:
        yield documents.c.uri.ilike(_pattern(where.path), escape="\\")
    if where.title:
        yield documents.c.title.ilike(f"%{_literal(where.title)}%", escape="\\")
    if where.kind:
        yield documents.c.uri.ilike(f"%.{_literal(where.kind.lstrip('.'))}", escape="\\")
    if where.after:
        yield documents.c.updated_at >= where.after.astimezone(UTC)
    if where.before:
        yield documents.c.updated_at < where.before.astimezone(UTC)


def _pattern(path: str) -> str:
    return _literal(path).replace("*", "%").replace("?", "_")


def _literal(value: str) -> str:
    """``value`` with what LIKE reads as a wildcard taken as it stands."""
    return re.sub(r"([\\%_])", r"\\\1", value)
