"""Upload jobs: queued -> running -> done or failed. A row is the truth, so a job outlives every process.

The worker that runs a job signs ``beat_at`` every few seconds; a running job whose signature is old has lost its worker
and is taken again, at most MAX_ATTEMPTS times in all: a file that kills its reader must not kill it for ever.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, insert, or_, select, update

from rag.store.database import Database, patient, utc
from rag.store.tables import jobs
from rag.types import NotFound

STALE_S = 30.0  # a worker that has not signed for so long is dead
MAX_ATTEMPTS = 3
_LOST = f"the worker process died {MAX_ATTEMPTS} times while it read these files; upload them one by one to find out"


@dataclass(frozen=True, slots=True)
class Job:
    """A job's row: ``done`` of ``total`` files are dealt with; ``report`` is empty until the end."""

    id: str
    collection: str
    status: str
    files: tuple[str, ...]
    total: int
    done: int
    report: dict[str, Any]
    error: str
    attempts: int
    created_at: datetime
    finished_at: datetime | None


@patient
class Jobs:
    """Reading and writing of jobs."""

    def __init__(self, database: Database):
        self._database = database

    def add(self, collection: str, files: Sequence[str], job_id: str = "") -> Job:
        """Queue a job for ``files``, names of files that lie in its folder already."""
        row = {
            "id": job_id or uuid.uuid4().hex,
            "collection": collection,
            "status": "queued",
            "files": json.dumps(list(files)),
            "total": len(files),
            "done": 0,
            "report": "",
            "error": "",
            "attempts": 0,
            "created_at": datetime.now(UTC),
            "beat_at": 0.0,
        }
        with self._database.add() as connection:
            connection.execute(insert(jobs).values(row))
        return self.get(str(row["id"]))

    def take(self) -> Job | None:
        """The oldest job that waits, or whose worker died, now running under the caller; None where nothing waits."""
        now = time.time()
        lost = (jobs.c.status == "running") & (jobs.c.beat_at < now - STALE_S)
        waiting = select(jobs).where(or_(jobs.c.status == "queued", lost)).order_by(jobs.c.created_at, jobs.c.id)
        with self._database.write() as connection:
            for row in connection.execute(waiting).all():
                given_up = row.attempts >= MAX_ATTEMPTS
                change: dict[str, Any] = {"status": "running", "beat_at": now, "attempts": row.attempts + 1}
                if given_up:
                    change = {"status": "failed", "error": _LOST, "finished_at": datetime.now(UTC)}
                connection.execute(update(jobs).where(jobs.c.id == row.id).values(change))
                if not given_up:
                    taken = connection.execute(select(jobs).where(jobs.c.id == row.id)).one()
                    return _job(taken)
        return None

    def beat(self, job_id: str, done: int | None = None) -> None:
        """Sign that the job's worker lives, and how many files it has dealt with."""
        change: dict[str, Any] = {"beat_at": time.time()} | ({} if done is None else {"done": done})
        self._change(job_id, change)

    def finish(self, job_id: str, report: dict[str, Any], error: str = "") -> None:
        """The job's end: with a report, or with the error that kept it from having one."""
        change = {
            "status": "failed" if error else "done",
            "report": json.dumps(report),
            "error": error,
            "finished_at": datetime.now(UTC),
        }
        self._change(job_id, change if error else change | {"done": jobs.c.total})

    def give_back(self, job_id: str) -> None:
        """Queue a running job again, because its worker was asked to stop; that does not count as an attempt."""
        self._change(job_id, {"status": "queued", "attempts": jobs.c.attempts - 1})

    def get(self, job_id: str) -> Job:
        """The job of that id. Raises NotFound."""
        with self._database.read() as connection:
            row = connection.execute(select(jobs).where(jobs.c.id == job_id)).one_or_none()
        if row is None:
            raise NotFound(f"job {job_id!r} does not exist")
        return _job(row)

    def latest(self, collections: Sequence[str] | None, limit: int) -> tuple[Job, ...]:
        """Jobs, newest first; of ``collections`` only, None for all."""
        query = select(jobs).order_by(jobs.c.created_at.desc(), jobs.c.id).limit(limit)
        if collections is not None:
            query = query.where(jobs.c.collection.in_(collections))
        with self._database.read() as connection:
            return tuple(_job(row) for row in connection.execute(query))

    def open(self) -> int:
        """How many jobs wait or run."""
        query = select(func.count()).select_from(jobs).where(jobs.c.status.in_(("queued", "running")))
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def _change(self, job_id: str, values: dict[str, Any]) -> None:
        with self._database.add() as connection:
            connection.execute(update(jobs).where(jobs.c.id == job_id).values(values))


def _job(row: Any) -> Job:
    return Job(
        id=row.id,
        collection=row.collection,
        status=row.status,
        files=tuple(json.loads(row.files)),
        total=row.total,
        done=row.done,
        report=json.loads(row.report) if row.report else {},
        error=row.error,
        attempts=row.attempts,
        created_at=utc(row.created_at),
        finished_at=utc(row.finished_at) if row.finished_at else None,
    )
