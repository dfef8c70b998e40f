"""What readers said of answers: a thumb, and the answer that they would have liked."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import insert, select

from rag.store.answers import Answers
from rag.store.database import Database, patient, utc
from rag.store.tables import feedback


@dataclass(frozen=True, slots=True)
class FeedbackRow:
    """One reader's word on an answer: ``verdict`` is "up" or "down"; ``correction`` may be empty."""

    id: str
    answer_id: str
    verdict: str
    correction: str
    created_at: datetime


@patient
class Feedback:
    """Reading and writing of feedback."""

    def __init__(self, database: Database):
        self._database = database
        self._answers = Answers(database)

    def put(self, answer_id: str, verdict: str, correction: str, key_id: str) -> FeedbackRow:
        """Keep a word on an answer. Raises NotFound when there is no such answer."""
        self._answers.collection_of(answer_id)
        row = FeedbackRow(uuid.uuid4().hex, answer_id, verdict, correction, datetime.now(UTC))
        values = {
            "id": row.id,
            "answer_id": answer_id,
            "verdict": verdict,
            "correction": correction,
            "key_id": key_id,
            "created_at": row.created_at,
        }
        with self._database.add() as connection:
            connection.execute(insert(feedback).values(values))
        return row

    def of(self, answer_id: str) -> tuple[FeedbackRow, ...]:
        """All that was said of an answer, oldest first."""
        query = select(feedback).where(feedback.c.answer_id == answer_id).order_by(feedback.c.created_at)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return tuple(
            FeedbackRow(row.id, row.answer_id, row.verdict, row.correction, utc(row.created_at)) for row in rows
        )
