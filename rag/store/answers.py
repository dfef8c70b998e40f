"""Answers given, kept as the JSON of the public contract, so that feedback and reports can refer to them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert, select

from rag.store.database import Database
from rag.store.tables import answers
from rag.types import NotFound


class Answers:
    """Reading and writing of answers."""

    def __init__(self, database: Database):
        self._database = database

    def put(self, answer_id: str, collection: str, body: dict[str, Any]) -> None:
        """Keep an answer; ``body`` is the Answer object of the public contract."""
        row = {"id": answer_id, "collection": collection, "created_at": datetime.now(UTC), "body": json.dumps(body)}
        with self._database.write() as connection:
            connection.execute(insert(answers).values(row))

    def get(self, answer_id: str) -> dict[str, Any]:
        """The Answer object of that id. Raises NotFound."""
        with self._database.read() as connection:
            body = connection.execute(select(answers.c.body).where(answers.c.id == answer_id)).scalar_one_or_none()
        if body is None:
            raise NotFound(f"answer {answer_id!r} does not exist")
        return dict(json.loads(body))
