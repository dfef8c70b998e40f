"""The worker process: jobs given back, lost and given up."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from ingest.chunk import ChunkOptions
from ingest.run import Ingester
from ingest.upload_worker import run_job
from ingest.uploads import forget, settle, staging
from rag.store import Store
from rag.store.jobs import MAX_ATTEMPTS, STALE_S
from tests.backend import database_url
from tests.fakes import HashEncoder, Shelf


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf.open(tmp_path)


def stage(shelf: Shelf, **files: str) -> str:
    names = [f"{name}.txt" for name in files]
    job = shelf.store.jobs.add("default", names)
    folder = staging(shelf.home / "uploads", job.id)
    folder.mkdir(parents=True)
    for name, text in zip(names, files.values(), strict=True):
        (folder / name).write_text(text)
    return job.id


def ingester(shelf: Shelf) -> Ingester:
    return Ingester(HashEncoder(), shelf.store, shelf.retriever.index, ChunkOptions(target=32), 1_000_000)


def test_a_stopped_worker_hands_its_job_back_and_the_next_one_ends_it(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = stage(shelf, a="Tea costs 2 pounds.", b="Coffee costs 3 pounds.")
    job = shelf.store.jobs.take()
    assert job
    beat = shelf.store.jobs.beat

    def stopped(job_id: str, done: int | None = None) -> None:
        beat(job_id, done)
        raise KeyboardInterrupt

    monkeypatch.setattr(shelf.store.jobs, "beat", stopped)
    with pytest.raises(KeyboardInterrupt):
        run_job(ingester(shelf), job, shelf.home / "uploads")
    monkeypatch.undo()
    assert (shelf.store.jobs.get(job_id).status, shelf.store.jobs.get(job_id).attempts) == ("queued", 0)
    again = shelf.store.jobs.take()
    assert again
    run_job(ingester(shelf), again, shelf.home / "uploads")
    done = shelf.store.jobs.get(job_id)
    assert (done.status, done.done, done.report["failed"]) == ("done", 2, [])
    assert len(shelf.store.documents.all(shelf.store.collections.get("default"))) == 2


def test_a_job_whose_worker_died_is_taken_again_but_not_for_ever(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = stage(shelf, a="text")
    now = time.time()
    for attempt in range(MAX_ATTEMPTS):
        job = shelf.store.jobs.take()
        assert job and job.attempts == attempt + 1
        assert shelf.store.jobs.take() is None  # it is running, and signed
        now += STALE_S + 1
        monkeypatch.setattr("rag.store.jobs.time.time", lambda at=now: at)
    assert shelf.store.jobs.take() is None
    given_up = shelf.store.jobs.get(job_id)
    assert given_up.status == "failed"
    assert "died 3 times" in given_up.error


def test_an_uploaded_file_goes_with_its_document_and_no_other_file_does(tmp_path: Path) -> None:
    uploads = tmp_path / "uploads"
    (uploads / "hr").mkdir(parents=True)
    inside, outside, deep = uploads / "hr" / "a.txt", tmp_path / "b.txt", uploads / "hr" / "c" / "d.txt"
    deep.parent.mkdir()
    for path in (inside, outside, deep):
        path.write_text("text")
    for uri in (str(inside), str(outside), str(deep), f"{uploads}/hr/../../b.txt", "langchain:a.txt"):
        forget(uploads, uri)
    assert [path.exists() for path in (inside, outside, deep)] == [False, True, True]


def test_files_moved_by_a_broken_run_are_found_again(tmp_path: Path) -> None:
    folder = staging(tmp_path, "job")
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (tmp_path / "hr").mkdir()
    (tmp_path / "hr" / "b.txt").write_text("b")
    assert [path.name for path in settle(tmp_path, "job", "hr", ["a.txt", "b.txt", "never-came.txt"])] == [
        "a.txt",
        "b.txt",
    ]


@pytest.mark.slow
@pytest.mark.models
@pytest.mark.timeout(600)
def test_a_killed_worker_loses_nothing(models_home: Path, tmp_path: Path) -> None:
    """The real process with the real encoder: killed in the middle of a job, it is started again and ends it."""
    import httpx

    from tests.api.live import serve_process, wait_for_job

    with serve_process(models_home, tmp_path / "home") as live, httpx.Client(base_url=live.url, timeout=120) as http:
        files = [("files", (f"{n}.txt", f"Item {n} costs {n} pounds. ".encode() * 200)) for n in range(30)]
        job = http.post("/v1/documents", files=files).json()["id"]
        while http.get(f"/v1/jobs/{job}").json()["status"] == "queued":
            time.sleep(0.05)
        for child in Path(f"/proc/{live.process.pid}/task/{live.process.pid}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)
        assert wait_for_job(http, job)["status"] == "done"
        assert http.get("/v1/documents").json()["total"] == 30
        store = Store.open(database_url(live.home))
        assert store.jobs.get(job).attempts <= 2
        store.close()
