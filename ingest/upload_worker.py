"""The process that reads uploads, so that answering never waits for an ingest. `run_worker` is its whole life.

It takes jobs from the database one after the other, and ends when none is left for IDLE_S. It is polite: lowest
priority, one thread. Asked to stop, it hands its job back; what it had finished is found unchanged the next time.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog

from ingest.build import build_ingester
from ingest.run import Ingester, IngestReport
from ingest.uploads import forget, settle
from rag.build import build_search
from rag.settings import Settings
from rag.store import Job, Store, document_key
from rag.types import AnswerableError, NotFound

log = structlog.get_logger()

IDLE_S = 20.0
_BEAT_S = 3.0
_LOOK_S = 0.3
_NICE = 15


def run_worker(settings: Settings, parent: int) -> None:
    """Read uploads until there is nothing more to do or process ``parent`` is gone."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # KeyboardInterrupt: the transaction under way is undone
    os.nice(_NICE)
    quiet = settings.model_copy(update={"threads": 1})
    search = build_search(quiet)
    ingester = build_ingester(quiet, search)
    idle_since = time.monotonic()
    try:
        while time.monotonic() < idle_since + IDLE_S and os.getppid() == parent:
            job = search.store.jobs.take()
            if job is None:
                time.sleep(_LOOK_S)
                continue
            with _signed(search.store, job, parent):
                run_job(ingester, job, settings.uploads_folder)
            idle_since = time.monotonic()
    except KeyboardInterrupt:
        log.info("worker stopped")
    finally:
        search.store.close()


def run_job(ingester: Ingester, job: Job, uploads: Path) -> None:
    """Read the files of a job and write its end into its row. Interrupted, it queues the job again."""
    jobs = ingester.store.jobs
    try:
        paths = settle(uploads, job.id, job.collection, job.files)
        report = ingester.ingest_paths(paths, job.collection, progress=lambda done, _total: jobs.beat(job.id, done))
        _sweep(ingester.store, job, report, uploads)
        jobs.finish(job.id, report_json(report))
    except KeyboardInterrupt:
        jobs.give_back(job.id)
        raise
    except AnswerableError as error:
        jobs.finish(job.id, {}, str(error))
    except Exception as error:
        log.exception("job failed", job=job.id)
        jobs.finish(job.id, {}, f"unexpected {type(error).__name__}; the server's log has it")


def report_json(report: IngestReport) -> dict[str, Any]:
    """The report as `ingest --json` prints it, with bare file names."""
    failed = [{"uri": Path(failure.uri).name, "reason": failure.reason} for failure in report.failed]
    return asdict(report) | {"skipped": len(report.skipped), "failed": failed}


def _sweep(store: Store, job: Job, report: IngestReport, uploads: Path) -> None:
    """Delete files that could not be read, unless an older document of that name goes on living."""
    for failure in report.failed:
        try:
            store.documents.collection_of(document_key(job.collection, failure.uri))
        except NotFound:
            forget(uploads, failure.uri)


@contextmanager
def _signed(store: Store, job: Job, parent: int) -> Iterator[None]:
    """Sign the job's row while it runs, and stop when the server is gone."""
    done = threading.Event()

    def sign() -> None:
        while not done.wait(_BEAT_S):
            if os.getppid() != parent:
                os.kill(os.getpid(), signal.SIGTERM)
                return
            try:
                store.jobs.beat(job.id)
            except AnswerableError as error:
                log.warning("job not signed", job=job.id, error=str(error))

    thread = threading.Thread(target=sign, name="job-beat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
