"""Answers given, kept as the JSON of the public contract, so that feedback and reports can refer to them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert, select

from rag.store.database import Database, patient, utc
from rag.store.tables import answers
from rag.types import NotFound


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer that was given: when, from which collection, and the Answer object of the public contract."""

    created_at: datetime
    collection: str
    body: dict[str, Any]


@patient
class Answers:
    """Reading and writing of answers."""

    def __init__(self, database: Database):
        self._database = database

    def put(self, answer_id: str, collection: str, body: dict[str, Any]) -> None:
        """Keep an answer; ``body`` is the Answer object of the public contract."""
        row = {"id": answer_id, "collection": collection, "created_at": datetime.now(UTC), "body": json.dumps(body)}
        with self._database.add() as connection:
            connection.execute(insert(answers).values(row))

    def get(self, answer_id: str) -> dict[str, Any]:
        """The Answer object of that id. Raises NotFound."""
        with self._database.read() as connection:
            body = connection.execute(select(answers.c.body).where(answers.c.id == answer_id)).scalar_one_or_none()
        if body is None:
            raise NotFound(f"answer {answer_id!r} does not exist")
        return dict(json.loads(body))

    def collection_of(self, answer_id: str) -> str:
        """The name of the collection that the answer came from. Raises NotFound."""
        query = select(answers.c.collection).where(answers.c.id == answer_id)
        with self._database.read() as connection:
            name = connection.execute(query).scalar_one_or_none()
        if name is None:
            raise NotFound(f"answer {answer_id!r} does not exist")
        return str(name)

    def latest(self, collections: Sequence[str] | None, limit: int, offset: int = 0) -> tuple[KeptAnswer, ...]:
        """Answers given, newest first; of ``collections`` only, None for all."""
        query = select(answers).order_by(answers.c.created_at.desc(), answers.c.id).limit(limit).offset(offset)
        if collections is not None:
            query = query.where(answers.c.collection.in_(collections))
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return tuple(KeptAnswer(utc(row.created_at), row.collection, dict(json.loads(row.body))) for row in rows)
