"""Metadata of documents that came through a program, such as langchain's, as the JSON that it gave."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import delete, insert, select

from rag.store.database import Database, patient
from rag.store.tables import labels


@patient
class Labels:
    """Reading and writing of a document's metadata; it goes with its document."""

    def __init__(self, database: Database):
        self._database = database

    def put(self, document_id: str, metadata: dict[str, Any]) -> None:
        """Keep ``metadata``, which JSON must be able to hold, in place of what was there."""
        values = {"document_id": document_id, "metadata": json.dumps(metadata)}
        with self._database.write() as connection:
            connection.execute(delete(labels).where(labels.c.document_id == document_id))
            connection.execute(insert(labels).values(values))

    def of(self, document_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The metadata of those documents that have any, by id."""
        query = select(labels).where(labels.c.document_id.in_(sorted(set(document_ids))))
        with self._database.read() as connection:
            return {row.document_id: dict(json.loads(row.metadata)) for row in connection.execute(query)}
