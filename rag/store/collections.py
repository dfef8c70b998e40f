"""Collections: named sets of documents, each embedded by one encoder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, insert, select

from rag.store.database import Database, patient, tick
from rag.store.tables import bands, chunks, collections, deletions, documents, outcomes, signatures
from rag.types import EncoderChanged, InvalidInput, NotFound

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection's row: ``encoder`` is the fingerprint of the encoder its vectors (of ``dimension``) come from."""

    id: int
    name: str
    encoder: str
    dimension: int


@patient
class Collections:
    """Reading and writing of collections."""

    def __init__(self, database: Database):
        self._database = database

    def all(self) -> tuple[Collection, ...]:
        """All collections, by name."""
        with self._database.read() as connection:
            rows = connection.execute(select(collections).order_by(collections.c.name)).all()
        return tuple(_collection(row) for row in rows)

    def get(self, name: str) -> Collection:
        """The collection ``name``. Raises NotFound, naming those there are."""
        with self._database.read() as connection:
            row = connection.execute(select(collections).where(collections.c.name == name)).one_or_none()
        if row is None:
            known = ", ".join(c.name for c in self.all()) or "none yet"
            raise NotFound(f"collection {name!r} does not exist (there are: {known}); ingest documents into it first")
        return _collection(row)

    def ensure(self, name: str, encoder: str, dimension: int) -> Collection:
        """The collection ``name``, made when it is not there.

        Raises InvalidInput for a bad name, and EncoderChanged when its vectors come from another encoder.
        """
        if not NAME.fullmatch(name):
            raise InvalidInput(f"collection name {name!r}: use 1 to 64 letters, digits, '-' or '_'")
        row = {"name": name, "encoder": encoder, "dimension": dimension, "created_at": datetime.now(UTC)}
        of_name = select(collections).where(collections.c.name == name)
        with self._database.read() as connection:
            found = connection.execute(of_name).one_or_none()
        if found is None:
            with self._database.write() as connection:  # looked up again: another process may have made it meanwhile
                found = connection.execute(of_name).one_or_none()
                if found is None:
                    connection.execute(insert(collections).values(row))
                    found = connection.execute(of_name).one()
        return check_encoder(_collection(found), encoder)

    def delete(self, name: str) -> int:
        """Delete a collection and all it holds; returns how many documents went. Raises NotFound."""
        target = self.get(name)
        with self._database.write() as connection:
            tick(connection)
            connection.execute(delete(chunks).where(chunks.c.collection_id == target.id))
            for table in (deletions, bands, signatures, outcomes):
                connection.execute(delete(table).where(table.c.collection_id == target.id))
            gone = connection.execute(delete(documents).where(documents.c.collection_id == target.id)).rowcount
            connection.execute(delete(collections).where(collections.c.id == target.id))
        return int(gone)


def check_encoder(collection: Collection, encoder: str) -> Collection:
    """``collection`` itself, when ``encoder`` made its vectors. Raises EncoderChanged with the cure."""
    if collection.encoder != encoder:
        raise EncoderChanged(
            f"collection {collection.name!r} was embedded by encoder {collection.encoder}, but {encoder} is in use; "
            f"run: answerable index rebuild --collection {collection.name} --embed"
        )
    return collection


def _collection(row: Any) -> Collection:
    return Collection(row.id, row.name, row.encoder, row.dimension)
