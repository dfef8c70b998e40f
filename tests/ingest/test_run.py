"""Ingest: incremental, whole documents or nothing, one bad file costs itself alone, kill -9 loses nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ingest import known, run
from ingest.chunk import ChunkOptions
from ingest.discover import discover
from ingest.run import Document, Ingester
from rag.store import Collection, Source, Store
from rag.types import InvalidInput, ParsedDocument
from tests.backend import database_url, has_rows, variables
from tests.fakes import HashEncoder, Shelf

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf.open(tmp_path / "home")


@pytest.fixture
def ingester(shelf: Shelf) -> Ingester:
    return ingester_for(shelf)


def ingester_for(shelf: Shelf, max_bytes: int = 1_000_000) -> Ingester:
    return Ingester(HashEncoder(), shelf.store, shelf.retriever.index, ChunkOptions(), max_bytes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    (folder / "manuals").mkdir(parents=True)
    (folder / "a.md").write_text("# Heater\n\nThe heater switches on below three degrees.\n")
    (folder / "b.txt").write_text("The battery lasts a year in the field.")
    (folder / "manuals" / "c.html").write_text("<title>Mast</title><h1>Mast</h1><p>The mast is two metres high.</p>")
    return folder


def collection(shelf: Shelf) -> Collection:
    return shelf.store.collections.get("default")


def rows(store: Store, name: str = "default") -> list[tuple[object, ...]]:
    """Everything of a collection that must come out the same, whatever happened on the way."""
    target = store.collections.get(name)
    ids = store.chunks.changes(target, -1)
    passages = store.chunks.passages(ids.ids)
    vectors = dict(zip(ids.ids, ids.vectors, strict=True))
    kept = [(p.uri, p.start, p.end, p.text, p.heading, vectors[i].tobytes()) for i, p in passages.items()]
    documents = [(d.uri, d.title, d.content_hash, d.chunk_count) for d in store.documents.all(target)]
    return sorted(kept) + sorted(documents)


def test_a_folder_goes_in(shelf: Shelf, ingester: Ingester, folder: Path) -> None:
    steps: list[tuple[int, int | None]] = []
    report = ingester.ingest_paths([folder], "default", progress=lambda done, total: steps.append((done, total)))
    assert (report.added, report.changed, report.unchanged, report.failed) == (3, 0, 0, ())
    assert report.chunks == shelf.store.chunks.count(collection(shelf)) == 3
    assert steps[-1] == (3, 3)
    for document in shelf.store.documents.all(collection(shelf)):
        assert Path(document.uri).is_absolute()
    ids = shelf.store.chunks.changes(collection(shelf), -1).ids
    for passage in shelf.store.chunks.passages(ids).values():
        assert shelf.store.documents.get(passage.document_id).text[passage.start : passage.end] == passage.text
        assert passage.heading.startswith(passage.title)


def test_a_second_run_changes_nothing(shelf: Shelf, ingester: Ingester, folder: Path) -> None:
    ingester.ingest_paths([folder], "default")
    before, seq = rows(shelf.store), shelf.store.chunks.seq()
    report = ingester.ingest_paths([folder], "default")
    assert (report.added, report.changed, report.unchanged, report.chunks) == (0, 0, 3, 0)
    assert rows(shelf.store) == before and shelf.store.chunks.seq() == seq


def test_touching_a_file_is_no_change_and_editing_it_is(shelf: Shelf, ingester: Ingester, folder: Path) -> None:
    ingester.ingest_paths([folder], "default")
    os.utime(folder / "b.txt", (1, 1))
    (folder / "a.md").write_text("# Heater\n\nThe heater switches on below five degrees.\n")
    report = ingester.ingest_paths([folder], "default")
    assert (report.added, report.changed, report.unchanged) == (0, 1, 2)
    assert [hit.passage.uri for hit in shelf.retriever.search("three degrees", collection(shelf), 3, "bm25")] != []
    texts = " ".join(str(row[3]) for row in rows(shelf.store) if len(row) == 6)
    assert "five degrees" in texts and "three degrees" not in texts


def test_a_new_reader_version_reads_again(
    shelf: Shelf, ingester: Ingester, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingester.ingest_paths([folder], "default")
    monkeypatch.setattr(known, "CURRENT", frozenset({"txt/999"}))
    assert ingester.ingest_paths([folder / "b.txt"], "default").changed == 1


def test_prune_removes_what_is_gone_under_the_paths_and_nothing_else(
    shelf: Shelf, ingester: Ingester, folder: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere.txt"
    elsewhere.write_text("Kept although it is gone, for it was not under the folder.")
    ingester.ingest_paths([folder, elsewhere], "default")
    elsewhere.unlink()
    (folder / "b.txt").unlink()
    assert ingester.ingest_paths([folder], "default").removed == 0
    assert ingester.ingest_paths([folder], "default", prune=True).removed == 1
    uris = {document.uri for document in shelf.store.documents.all(collection(shelf))}
    assert str(folder / "b.txt") not in uris and str(elsewhere) in uris
    assert shelf.retriever.search("battery field", collection(shelf), 3, "bm25") == ()


def test_bad_files_are_reported_and_the_others_go_in(shelf: Shelf, folder: Path) -> None:
    (folder / "empty.txt").write_bytes(b"")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 not really")
    (folder / "binary.txt").write_bytes(bytes(range(256)) * 50)
    (folder / "large.txt").write_text("words " * 1000)
    (folder / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    (folder / ".hidden.txt").write_text("hidden")
    report = ingester_for(shelf, max_bytes=5000).ingest_paths([folder], "default")
    assert report.added == 3
    reasons = {Path(failure.uri).name: failure.reason for failure in report.failed}
    assert set(reasons) == {"empty.txt", "broken.pdf", "binary.txt", "large.txt"}
    assert "empty" in reasons["empty.txt"]
    assert "ANSWERABLE_MAX_FILE_MB" in reasons["large.txt"]
    assert {Path(s.uri).name: s.reason for s in report.skipped} == {
        "photo.jpg": "no reader for .jpg",
        ".hidden.txt": "hidden file",
    }


def test_a_file_named_outright_is_never_skipped_silently(ingester: Ingester, folder: Path) -> None:
    (folder / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    report = ingester.ingest_paths([folder / "photo.jpg"], "default")
    assert report.added == 0 and "no reader for .jpg" in report.failed[0].reason


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_reported(ingester: Ingester, folder: Path) -> None:
    (folder / "b.txt").chmod(0)
    assert "check its permissions" in ingester.ingest_paths([folder], "default").failed[0].reason


def test_a_file_that_vanishes_meanwhile_is_reported(
    ingester: Ingester, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = list(discover([folder]))
    monkeypatch.setattr(run, "discover", lambda _paths: found)
    (folder / "b.txt").unlink()
    assert "cannot be read" in ingester.ingest_paths([folder], "default").failed[0].reason


def test_links_out_of_the_folder_are_not_followed(ingester: Ingester, folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("The secret.")
    (folder / "link.txt").symlink_to(secret)
    (folder / "inside.txt").symlink_to(folder / "b.txt")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "more.txt").write_text("More secrets.")
    (folder / "linked-folder").symlink_to(outside)
    report = ingester.ingest_paths([folder], "default")
    assert [(Path(s.uri).name, s.reason) for s in report.skipped] == [("link.txt", "symbolic link out of the folder")]
    assert report.added == 4


def test_a_path_that_does_not_exist_stops_before_anything_is_written(ingester: Ingester, folder: Path) -> None:
    with pytest.raises(InvalidInput, match="does not exist"):
        ingester.ingest_paths([folder, folder / "nowhere"], "default")


def test_records_go_in_like_files(shelf: Shelf, ingester: Ingester) -> None:
    documents = [Document(Source(f"r{i}", f"h{i}"), ParsedDocument("", f"Record number {i}.", "r/1")) for i in range(3)]
    assert ingester.ingest_documents(documents, "default").added == 3
    assert ingester.ingest_documents(documents, "default").unchanged == 3


def test_two_ingests_of_one_folder_at_once_leave_one_copy(shelf: Shelf, folder: Path) -> None:
    import threading

    reports = []
    runs = [
        threading.Thread(target=lambda: reports.append(ingester_for(shelf).ingest_paths([folder], "default")))
        for _ in range(3)
    ]
    for one in runs:
        one.start()
    for one in runs:
        one.join()
    assert len(reports) == 3
    assert len(shelf.store.documents.all(collection(shelf))) == 3
    assert shelf.store.chunks.count(collection(shelf)) == 3
    assert shelf.retriever.index.check(collection(shelf)).problem == ""


@pytest.mark.models
def test_kill_9_during_an_ingest_then_ingest_again(models_home: Path, tmp_path: Path) -> None:
    """Killed at two moments: what was finished is kept, and the next run ends with the very rows of a quiet one."""
    folder = tmp_path / "documents"
    folder.mkdir()
    for i in range(80):
        text = "\n\n".join(f"Sentence {j} of document {i} tells of part {i * 37 + j}." for j in range(24))
        (folder / f"{i:03}.txt").write_text(text)
    quiet = _home(tmp_path / "quiet", models_home)
    assert _ingest(quiet, folder).wait() == 0
    expected = rows(_store(quiet))

    disturbed = _home(tmp_path / "disturbed", models_home)
    kept = []
    for wanted in (1, 50):
        process = _ingest(disturbed, folder)
        _wait_for(disturbed, wanted, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kept.append(_documents(disturbed))
        assert kept == sorted(kept)
    assert 0 < kept[0] < 80
    assert _ingest(disturbed, folder).wait() == 0
    assert rows(_store(disturbed)) == expected
    store = _store(disturbed)
    shelf = Shelf.open(disturbed)
    assert shelf.retriever.index.check(store.collections.get("default")).problem == ""


def _home(home: Path, models_home: Path) -> Path:
    home.mkdir()
    (home / "models").symlink_to(models_home / "models")
    return home


def _ingest(home: Path, folder: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {"ANSWERABLE_HOME": str(home), **variables(home)}
    command = [sys.executable, str(ROOT / "answerable.py"), "ingest", str(folder), "--json"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)


def _store(home: Path) -> Store:
    return Store.open(database_url(home))


def _documents(home: Path) -> int:
    store = _store(home)
    try:
        return len(store.documents.all(store.collections.get("default")))
    finally:
        store.close()


def _wait_for(home: Path, documents: int, process: subprocess.Popen[bytes]) -> None:
    """Until that many documents are committed; fails when the process ends first."""
    while True:
        assert process.poll() is None, "the ingest ended before it could be killed; give it more documents"
        if has_rows(home):
            try:
                if _documents(home) >= documents:
                    return
            except Exception:  # the tables or the collection are being made
                pass
        time.sleep(0.02)
