"""The rows: documents, chunks with their vectors, collections, answers, keys, jobs. SQL is the truth, an index a view.

Every change takes the next sequence number inside its transaction, and writers take turns, so whoever has read up to
number n has seen every change up to n: that is what lets an index, in this process or another, catch up exactly.
SQLAlchemy stays inside this folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import select

from rag.store.answers import Answers, KeptAnswer
from rag.store.audit import Audit, AuditEntry
from rag.store.chunks import Changes, Chunks
from rag.store.collections import Collection, Collections, check_encoder
from rag.store.copy import COPYING, Copied, Progress, copy_rows
from rag.store.database import Database, open_database
from rag.store.documents import Documents, Source, StoredDocument, document_key
from rag.store.eval_runs import EvalRuns, KeptRun
from rag.store.feedback import Feedback, FeedbackRow
from rag.store.jobs import Job, Jobs
from rag.store.keys import ROLES, Key, Keys
from rag.store.labels import Labels
from rag.store.outcomes import Outcome, Outcomes
from rag.store.similar import Duplicate, Similar
from rag.store.tables import clock
from rag.types import StoreUnavailable

__all__ = [
    "ROLES",
    "AuditEntry",
    "Changes",
    "Collection",
    "Copied",
    "Duplicate",
    "FeedbackRow",
    "Job",
    "KeptAnswer",
    "KeptRun",
    "Key",
    "Outcome",
    "Source",
    "Store",
    "StoredDocument",
    "check_encoder",
    "document_key",
]


class Store:
    """All tables of one database. Safe to use from several threads, and beside other processes."""

    def __init__(self, database: Database):
        self._database = database
        self.collections = Collections(database)
        self.documents = Documents(database)
        self.chunks = Chunks(database)
        self.answers = Answers(database)
        self.keys = Keys(database)
        self.jobs = Jobs(database)
        self.eval_runs = EvalRuns(database)
        self.feedback = Feedback(database)
        self.audit = Audit(database)
        self.labels = Labels(database)
        self.outcomes = Outcomes(database)
        self.similar = Similar(database)
        with database.read() as connection:
            self.id: str = connection.execute(select(clock.c.store_id)).scalar_one()
        if self.id.startswith(COPYING):
            raise StoreUnavailable(
                f"database {database.kind.where} holds a copy that is not complete; run answerable migrate again"
            )

    @contextmanager
    def turn(self, name: str, wait_s: float) -> Iterator[bool]:
        """Hold the lock ``name`` of this database, which one process at a time has, for as long as it is open.

        Gives False where it was not free in time. It ends with its holder, however that ends.
        """
        with self._database.turn(name, wait_s) as mine:
            yield mine

    @classmethod
    def open(cls, url: str) -> Store:
        """Open the database at ``url``, creating or upgrading its tables.

        Raises InvalidInput for a URL that cannot be used, and StoreUnavailable when the database cannot be reached, is
        locked, or was made by a newer version.
        """
        return cls(open_database(url))

    def copy_to(self, url: str, progress: Progress) -> Copied:
        """Copy all rows into the database at ``url``: see rag/store/copy.py. Raises InvalidInput, StoreUnavailable."""
        target = open_database(url)
        try:
            return copy_rows(self._database, target, progress)
        finally:
            target.close()

    def close(self) -> None:
        """Give all connections back."""
        self._database.close()
