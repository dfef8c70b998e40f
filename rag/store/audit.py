"""The audit log: who changed what, and who was refused what. No document text and no question enters it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import delete, func, insert, select

from rag.store.database import Database, patient, utc
from rag.store.tables import audit

KEPT = 100_000  # entries; older ones go
_CLEAN_EVERY = 1000


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line: which key ("" without one) did ``action``, such as "DELETE /v1/documents/…", with which HTTP status."""

    key_id: str
    action: str
    target: str
    status: int
    request_id: str
    at: datetime | None = None


@patient
class Audit:
    """Writing and reading of the audit log."""

    def __init__(self, database: Database):
        self._database = database

    def put(self, entry: AuditEntry) -> None:
        """Append a line, dated now."""
        values = {
            "at": datetime.now(UTC),
            "key_id": entry.key_id,
            "action": entry.action,
            "target": entry.target,
            "status": entry.status,
            "request_id": entry.request_id,
        }
        with self._database.add() as connection:
            connection.execute(insert(audit).values(values))
            last = int(connection.execute(select(func.max(audit.c.id))).scalar_one())
            if last % _CLEAN_EVERY == 0:
                connection.execute(delete(audit).where(audit.c.id <= last - KEPT))

    def latest(self, limit: int) -> tuple[AuditEntry, ...]:
        """The last lines, newest first."""
        query = select(audit).order_by(audit.c.id.desc()).limit(limit)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return tuple(AuditEntry(r.key_id, r.action, r.target, r.status, r.request_id, utc(r.at)) for r in rows)
