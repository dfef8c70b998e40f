"""Documents: the normalised text of each file, once, with the chunks cut from it; written whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, delete, func, insert, select, update

from rag.store.collections import Collection
from rag.store.database import Database, patient, tick
from rag.store.similar import forget, move, remember
from rag.store.tables import chunks, collections, deletions, documents
from rag.types import Chunk, InvalidInput, NotFound, Page, ParsedDocument, Superseded


@dataclass(frozen=True, slots=True)
class Source:
    """Where a document came from: its address, and the SHA-256 of the bytes that were read.

    ``signature``: the MinHash of its words, little-endian uint32; empty where nobody looks for documents alike.
    ``replaces``: the content hash of the row to be replaced, "" for no row; None where any row may be replaced.
    """

    uri: str
    content_hash: str
    signature: bytes = b""
    replaces: str | None = None


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document's row; ``text`` is empty in listings."""

    id: str
    uri: str
    title: str
    content_hash: str
    reader: str
    chunk_count: int
    pages: tuple[Page, ...]
    text: str = ""


@patient
class Documents:
    """Reading and writing of documents."""

    def __init__(self, database: Database):
        self._database = database

    def put(
        self,
        collection: Collection,
        source: Source,
        document: ParsedDocument,
        parts: Sequence[Chunk],
        vectors: NDArray[np.float32],
    ) -> str:
        """Write a document and its chunks in one transaction, in place of the one of the same uri; returns its id.

        ``vectors``: shape (len(parts), collection.dimension), unit rows; kept as float16, little-endian.
        Raises InvalidInput for another shape, and Superseded when the row is not the one that ``source`` replaces.
        """
        expected = (len(parts), collection.dimension)
        if vectors.shape != expected:
            raise InvalidInput(f"{source.uri}: vectors of shape {vectors.shape}, expected {expected}")
        key = document_key(collection.name, source.uri)
        with self._database.write() as connection:
            _check_replaced(connection, key, source)
            seq = tick(connection)
            _drop_chunks(connection, key, seq)
            forget(connection, key)
            connection.execute(delete(documents).where(documents.c.id == key))
            values = {
                "id": key,
                "collection_id": collection.id,
                "uri": source.uri,
                "title": document.title,
                "content_hash": source.content_hash,
                "reader": document.reader,
                "text": document.text,
                "pages": json.dumps([[page.number, page.start, page.end] for page in document.pages]),
                "chunk_count": len(parts),
                "updated_at": datetime.now(UTC),
            }
            connection.execute(insert(documents).values(values))
            blobs = vectors.astype("<f2")
            rows = [
                {"document_id": key, "collection_id": collection.id, "seq": seq, **_chunk_values(part, blob.tobytes())}
                for part, blob in zip(parts, blobs, strict=True)
            ]
            if rows:
                # in few statements of many rows, their ids in this order: triggers run once a statement
                connection.execute(insert(chunks).returning(chunks.c.id, sort_by_parameter_order=True), rows)
            remember(connection, collection.id, key, source.signature)
        return key

    def rename(self, collection: Collection, old: str, new: str, title: str) -> str:
        """Give the document of uri ``old`` the uri ``new`` and ``title``; its chunks and vectors stay. Returns its id.

        A chunk's heading path that begins with the old title begins with the new one after. Raises NotFound when
        ``old`` is gone, and Superseded when ``new`` is there already.
        """
        before, after = document_key(collection.name, old), document_key(collection.name, new)
        with self._database.write() as connection:
            row = connection.execute(select(documents).where(documents.c.id == before)).one_or_none()
            if row is None:
                raise _not_found(before)
            if connection.execute(select(documents.c.id).where(documents.c.id == after)).first():
                raise Superseded(f"{new} was ingested meanwhile")
            tick(connection)
            values = dict(row._mapping) | {"id": after, "uri": new, "title": title, "updated_at": datetime.now(UTC)}
            connection.execute(insert(documents).values(values))
            connection.execute(update(chunks).where(chunks.c.document_id == before).values(document_id=after))
            connection.execute(delete(documents).where(documents.c.id == before))
            move(connection, before, after)
            if title != row.title:
                _retitle(connection, after, row.title, title)
        return after

    def delete(self, document_id: str) -> None:
        """Delete a document; its chunks are gone from every search at once. Raises NotFound."""
        with self._database.write() as connection:
            _drop_chunks(connection, document_id, tick(connection))
            forget(connection, document_id)
            if not connection.execute(delete(documents).where(documents.c.id == document_id)).rowcount:
                raise _not_found(document_id)

    def get(self, document_id: str) -> StoredDocument:
        """The document with its text and page map. Raises NotFound."""
        with self._database.read() as connection:
            row = connection.execute(select(documents).where(documents.c.id == document_id)).one_or_none()
        if row is None:
            raise _not_found(document_id)
        return _stored(row, row.text)

    def collection_of(self, document_id: str) -> str:
        """The name of the collection that holds the document. Raises NotFound."""
        query = select(collections.c.name).join(documents).where(documents.c.id == document_id)
        with self._database.read() as connection:
            name = connection.execute(query).scalar_one_or_none()
        if name is None:
            raise _not_found(document_id)
        return str(name)

    def counts(self) -> dict[str, tuple[int, int]]:
        """Documents and chunks of each collection that has any, by name."""
        numbers = (func.count(), func.coalesce(func.sum(documents.c.chunk_count), 0))
        query = select(collections.c.name, *numbers).join(documents).group_by(collections.c.name)
        with self._database.read() as connection:
            return {name: (int(count), int(parts)) for name, count, parts in connection.execute(query)}

    def pages(self, document_ids: Iterable[str]) -> dict[str, tuple[Page, ...]]:
        """The page maps of those documents that exist, by id."""
        query = select(documents.c.id, documents.c.pages).where(documents.c.id.in_(sorted(document_ids)))
        with self._database.read() as connection:
            return {row.id: _pages(row.pages) for row in connection.execute(query)}

    def all(self, collection: Collection, limit: int | None = None, offset: int = 0) -> tuple[StoredDocument, ...]:
        """The documents of a collection by uri, without their text: all, or ``limit`` of them after ``offset``."""
        columns = [column for column in documents.c if column.name != "text"]
        query = select(*columns).where(documents.c.collection_id == collection.id).order_by(documents.c.uri)
        query = query.limit(limit).offset(offset)
        with self._database.read() as connection:
            return tuple(_stored(row, "") for row in connection.execute(query))


def document_key(collection: str, uri: str) -> str:
    """The id of a document: the same collection and uri give the same id, through changes and rebuilds."""
    return hashlib.sha256(f"{collection}\0{uri}".encode("utf-8", "surrogateescape")).hexdigest()[:20]


def _check_replaced(connection: Connection, key: str, source: Source) -> None:
    """Two ingests at once: whoever read the older bytes must not undo the newer ones."""
    if source.replaces is None:
        return
    of_key = select(documents.c.content_hash).where(documents.c.id == key)
    if (connection.execute(of_key).scalar_one_or_none() or "") != source.replaces:
        raise Superseded(f"{source.uri} was ingested or deleted meanwhile")


def _retitle(connection: Connection, document_id: str, old: str, new: str) -> None:
    """Put ``new`` where chunks' heading paths begin with the title ``old``."""
    of_document = select(chunks.c.id, chunks.c.heading).where(chunks.c.document_id == document_id)
    for row in connection.execute(of_document).all():
        if row.heading == old or row.heading.startswith(f"{old} > "):
            heading = new + row.heading[len(old) :]
            connection.execute(update(chunks).where(chunks.c.id == row.id).values(heading=heading))


def _drop_chunks(connection: Connection, document_id: str, seq: int) -> None:
    of_document = chunks.c.document_id == document_id
    gone = connection.execute(select(chunks.c.id, chunks.c.collection_id).where(of_document)).all()
    if not gone:
        return
    connection.execute(delete(chunks).where(of_document))
    rows = [{"chunk_id": row.id, "collection_id": row.collection_id, "seq": seq} for row in gone]
    connection.execute(insert(deletions), rows)


def _chunk_values(part: Chunk, vector: bytes) -> dict[str, object]:
    return {
        "start": part.start,
        "stop": part.end,
        "page": part.page,
        "heading": part.heading,
        "text": part.text,
        "vector": vector,
    }


def _stored(row: Any, text: str) -> StoredDocument:
    pages = _pages(row.pages)
    return StoredDocument(row.id, row.uri, row.title, row.content_hash, row.reader, row.chunk_count, pages, text)


def _pages(text: str) -> tuple[Page, ...]:
    return tuple(Page(*page) for page in json.loads(text))


def _not_found(document_id: str) -> NotFound:
    return NotFound(f"document {document_id!r} does not exist; list them with: answerable documents list")
