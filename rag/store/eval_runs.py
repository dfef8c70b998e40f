"""Runs of eval: their figures for lists, and each whole as the text of its file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, insert, select

from rag.store.database import Database, patient, utc
from rag.store.tables import eval_runs
from rag.types import NotFound


@dataclass(frozen=True, slots=True)
class KeptRun:
    """A run without its rows: when it was kept, and its figures as its file has them."""

    name: str
    kind: str
    data: str
    metrics: Mapping[str, Any]
    created_at: datetime


@patient
class EvalRuns:
    """Reading and writing of runs."""

    def __init__(self, database: Database):
        self._database = database

    def put(self, run: KeptRun, body: str) -> None:
        """Keep a run; ``body`` is the text of its file. One of the same name is the same run, and is replaced."""
        row = {
            "name": run.name,
            "kind": run.kind,
            "data": run.data,
            "metrics": json.dumps(run.metrics),
            "body": body,
            "created_at": run.created_at.astimezone(UTC),
        }
        with self._database.write() as connection:
            connection.execute(delete(eval_runs).where(eval_runs.c.name == run.name))
            connection.execute(insert(eval_runs).values(row))

    def latest(self, limit: int) -> tuple[KeptRun, ...]:
        """Runs without their rows, newest first."""
        columns = (
            eval_runs.c.name,
            eval_runs.c.kind,
            eval_runs.c.data,
            eval_runs.c.metrics,
            eval_runs.c.created_at,
        )
        query = select(*columns).order_by(eval_runs.c.created_at.desc(), eval_runs.c.name).limit(limit)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return tuple(
            KeptRun(row.name, row.kind, row.data, dict(json.loads(row.metrics)), utc(row.created_at)) for row in rows
        )

    def body(self, name: str) -> str:
        """The text of a run's file. Raises NotFound."""
        with self._database.read() as connection:
            found = connection.execute(select(eval_runs.c.body).where(eval_runs.c.name == name)).scalar_one_or_none()
        if found is None:
            raise NotFound(f"run {name!r} does not exist; give a run file, or a name that the page lists")
        return str(found)
