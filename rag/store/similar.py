"""Documents that are nearly the same, by MinHash and banding.

A signature is a row of uint32 minima; the share of equal places estimates the Jaccard similarity of two documents'
word shingles (Broder 1997). Signatures are cut into bands of ``ROWS`` places; documents that share one band whole are
compared place by place. With 16 bands of 4, two documents of similarity .8 share one with probability .9998.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, delete, insert, select, update

from rag.store.collections import Collection
from rag.store.database import Database, patient
from rag.store.tables import bands, documents, signatures

ROWS = 4  # places of a band
ALIKE = 0.8  # similarity from which documents are reported
_MOST = 200  # documents that are compared with one: a form letter shares its bands with thousands


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two documents that are nearly the same: their uris, and the estimated similarity of their words in [0, 1]."""

    uri: str
    of: str
    similarity: float


@patient
class Similar:
    """Looking up of documents alike; signatures are written with their document, in rag/store/documents.py."""

    def __init__(self, database: Database):
        self._database = database

    def find(self, collection: Collection, document_id: str) -> Duplicate | None:
        """The most similar other document of the collection, if it is alike; among equals the first uri."""
        mine = select(bands.c.band).where(bands.c.document_id == document_id)
        others = (
            select(bands.c.document_id)
            .where(bands.c.collection_id == collection.id, bands.c.band.in_(mine), bands.c.document_id != document_id)
            .distinct()
            .order_by(bands.c.document_id)
            .limit(_MOST)
        )
        query = select(documents.c.uri, signatures.c.signature).join_from(
            documents, signatures, documents.c.id == signatures.c.document_id
        )
        with self._database.read() as connection:
            own = connection.execute(query.where(documents.c.id == document_id)).one_or_none()
            rows = connection.execute(query.where(documents.c.id.in_(others))).all() if own else []
        if own is None:
            return None
        found = [Duplicate(own.uri, row.uri, _share(own.signature, row.signature)) for row in rows]
        alike = [one for one in found if one.similarity >= ALIKE]
        return min(alike, key=lambda one: (-one.similarity, one.of), default=None)


def remember(connection: Connection, collection_id: int, document_id: str, signature: bytes) -> None:
    """Write a document's signature and bands; nothing for an empty signature."""
    if not signature:
        return
    width = 4 * ROWS
    parts = [signature[at : at + width].hex() for at in range(0, len(signature), width)]
    values = {"document_id": document_id, "collection_id": collection_id, "signature": signature}
    connection.execute(insert(signatures).values(values))
    rows = [
        {"collection_id": collection_id, "band": f"{number}:{part}", "document_id": document_id}
        for number, part in enumerate(parts)
    ]
    connection.execute(insert(bands), rows)


def forget(connection: Connection, document_id: str) -> None:
    """Remove a document's signature and bands."""
    connection.execute(delete(signatures).where(signatures.c.document_id == document_id))
    connection.execute(delete(bands).where(bands.c.document_id == document_id))


def move(connection: Connection, before: str, after: str) -> None:
    """Give the signature and bands of document ``before`` to ``after``."""
    for table in (signatures, bands):
        connection.execute(update(table).where(table.c.document_id == before).values(document_id=after))


def _share(one: bytes, other: bytes) -> float:
    """The share of equal places of two signatures."""
    a, b = np.frombuffer(one, "<u4"), np.frombuffer(other, "<u4")
    return float(np.mean(a == b)) if len(a) == len(b) else 0.0
