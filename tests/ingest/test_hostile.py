"""The hostile set: each file costs itself alone, with a reason, and the honest ones beside it go in."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import event

from ingest.chunk import ChunkOptions
from ingest.fetch import OpenFile
from ingest.run import Ingester, IngestReport, Limits
from ingest.sandbox import Recipe, Worker
from rag.types import DocumentRejected, StoreUnavailable
from tests.fakes import HashEncoder, Shelf
from tests.ingest import hostile
from tests.ingest.golden import make

MOST = 50_000_000


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shelf, Path, IngestReport]:
    folder = tmp_path_factory.mktemp("hostile") / "files"
    hostile.write(folder)
    shelf = Shelf.open(tmp_path_factory.mktemp("home"))
    return shelf, folder, _ingester(shelf).ingest_paths([folder], "default")


def _ingester(shelf: Shelf, limits: Limits | None = None) -> Ingester:
    options = ChunkOptions()
    return Ingester(HashEncoder(), shelf.store, shelf.retriever.index, options, MOST, limits or Limits(), 2)


def _texts(shelf: Shelf) -> dict[str, str]:
    rows = shelf.store.documents.all(shelf.store.collections.get("default"))
    return {row.uri: shelf.store.documents.get(row.id).text for row in rows}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("bomb.docx", "unpacks to 60 MB"),
        ("bomb.zip!/zeros.txt", "unpacks to over 50 MB"),
        ("entities.odt", "broken OpenDocument text"),
        ("encrypted.pdf", "encrypted; save it without a password"),
        ("cut.pdf", "no readable PDF|page"),
        ("escape.zip!/../../evil.txt", "leads out of the archive"),
        ("escape.zip!//abs.txt", "leads out of the archive"),
        ("escape.tar.gz!/../evil.txt", "leads out of the archive"),
        ("escape.tar.gz!/link.txt", "a link"),
        ("escape.docx", "broken Word file"),
        ("deep.json", "nested too deeply"),
        ("nulls.txt", "binary data"),
        ("wrong.docx", "no Word file"),
        ("wrong.xlsx", "no spreadsheet"),
        ("huge.txt", "1000.0 MB, at most 50 MB.*ANSWERABLE_MAX_FILE_MB"),
    ],
)
def test_it_fails_with_its_reason(ingested: tuple[Shelf, Path, IngestReport], name: str, said: str) -> None:
    import re

    shelf, folder, report = ingested
    reasons = {failure.uri: failure.reason for failure in report.failed}
    reason = reasons.get(f"{folder}/{name}", "")
    assert re.search(said, reason), f"{name}: {reason!r}"
    assert "\n" not in reason
    kept = {row.uri: row.reason for row in shelf.store.outcomes.all(shelf.store.collections.get("default"), "failed")}
    assert kept[f"{folder}/{name}"] == reason


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("honest.txt", "two metres high"),
        ("honest.docx", "26 days of leave"),
        ("honest.pdf", "A page of words."),
        ("xref.pdf", "A page of words."),
        ("bomb.zip!/note.txt", "A note beside the bomb."),
        ("escape.zip!/inside.txt", "Good words."),
        ("escape.tar.gz!/inside.txt", "Good words in a tar."),
        ("line.txt", "word word"),
        ("wrong.txt", "Model: Skua 200 | Price: 310 EUR"),
    ],
)
def test_what_can_be_read_is_in(ingested: tuple[Shelf, Path, IngestReport], name: str, words: str) -> None:
    shelf, folder, _ = ingested
    assert words in _texts(shelf)[f"{folder}/{name}"]


def test_nothing_of_the_machine_got_in_and_nothing_got_out(ingested: tuple[Shelf, Path, IngestReport]) -> None:
    shelf, folder, _ = ingested
    assert not any("root:" in text for text in _texts(shelf).values())
    assert not Path("/tmp/answerable-escaped.txt").exists()
    assert not (folder.parent / "evil.txt").exists()


def test_a_pipe_is_not_waited_for(ingested: tuple[Shelf, Path, IngestReport]) -> None:
    _, folder, report = ingested
    assert (f"{folder}/pipe.txt", "no plain file") in [(one.uri, one.reason) for one in report.skipped]


def test_no_file_is_without_an_outcome(ingested: tuple[Shelf, Path, IngestReport]) -> None:
    shelf, folder, _ = ingested
    kept = {row.uri for row in shelf.store.outcomes.all(shelf.store.collections.get("default"))}
    assert {str(path) for path in folder.iterdir()} <= kept


def test_failures_are_remembered_and_retried_when_asked(ingested: tuple[Shelf, Path, IngestReport]) -> None:
    shelf, folder, first = ingested
    (folder / "wrong.docx").write_bytes(make.word_handbook() + b"\n")
    (folder / "nulls.txt").write_text("Words.")
    report = _ingester(shelf).ingest_paths([], "default", retry_failed=True)
    assert report.added == 2
    assert len(report.failed) == len(first.failed) - 2


def test_a_file_over_its_time_is_given_up(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "slow.pdf").write_bytes(hostile.plain_pdf(6000))
    (folder / "z.txt").write_text("After it comes an honest file.")
    report = _ingester(Shelf.open(tmp_path / "home"), Limits(seconds=0.05)).ingest_paths(
        [folder / "slow.pdf"], "default"
    )
    assert "takes over 0.05 s" in report.failed[0].reason and "ANSWERABLE_FILE_SECONDS" in report.failed[0].reason
    assert _ingester(Shelf.open(tmp_path / "home")).ingest_paths([folder / "z.txt"], "default").added == 1


def test_a_file_over_its_memory_and_one_over_its_text_are_given_up(tmp_path: Path) -> None:
    recipe = Recipe("", 256, ChunkOptions(), Limits(memory=800_000_000, chars=1000))
    worker = Worker(recipe)
    try:
        large = _write(tmp_path / "large.txt", b"many words " * 4_000_000)
        assert re_said(worker, large, "more memory|killed|over 0.001 million")
        long = _write(tmp_path / "long.txt", b"words " * 500)
        assert re_said(worker, long, "over 0.001 million characters")
        short = _write(tmp_path / "short.txt", b"A few words.")
        assert _read(worker, short) == ["A few words."]
    finally:
        worker.close()


def test_a_worker_that_dies_costs_one_file(tmp_path: Path) -> None:
    worker = Worker(Recipe("", 256, ChunkOptions(), Limits()))
    note = _write(tmp_path / "note.txt", b"A note.")
    try:
        assert _read(worker, note) == ["A note."]
        assert worker._process is not None
        worker._process.kill()
        worker._process.wait()
        assert _read(worker, note) == ["A note."]
    finally:
        worker.close()


def test_a_file_that_changes_while_it_is_read_is_not_taken_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = _write(tmp_path / "note.txt", b"Half a note.")
    monkeypatch.setattr(OpenFile, "still", lambda _self: False)
    report = _ingester(Shelf.open(tmp_path / "home")).ingest_paths([note], "default")
    assert report.added == 0 and "changes while it is read" in report.failed[0].reason


def test_no_permission_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note = _write(tmp_path / "note.txt", b"A closed note.")
    honest: Callable[..., int] = os.open

    def refusing(path: object, *rest: int, **more: int) -> int:
        if path == note:
            raise PermissionError(13, "Permission denied")
        return honest(path, *rest, **more)

    monkeypatch.setattr("ingest.fetch.os.open", refusing)
    report = _ingester(Shelf.open(tmp_path / "home")).ingest_paths([note], "default")
    assert "Permission denied; check its permissions" in report.failed[0].reason


def test_a_full_disk_stops_in_one_line_and_keeps_what_is_finished(tmp_path: Path) -> None:
    """SQLite's own limit on pages gives the very error of a full disk."""
    shelf = Shelf.open(tmp_path / "home")
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(30):
        (folder / f"{number:02}.txt").write_text(f"Document {number}. " + f"It holds words {number}. " * 800)

    @event.listens_for(shelf.store.documents._database.kind.engine, "connect")
    def bound(raw: object, _record: object) -> None:
        raw.execute("PRAGMA max_page_count=200")  # type: ignore[attr-defined]

    shelf.store.documents._database.kind.engine.dispose()
    with pytest.raises(StoreUnavailable, match="the disk is full; make room"):
        _ingester(shelf).ingest_paths([folder], "default")
    whole = Shelf.open(tmp_path / "home")
    before = len(whole.store.documents.all(whole.store.collections.get("default")))
    assert _ingester(whole).ingest_paths([folder], "default").added == 30 - before
    assert whole.retriever.index.check(whole.store.collections.get("default")).problem == ""


@pytest.mark.slow
def test_ten_thousand_pages_go_in(tmp_path: Path) -> None:
    book = _write(tmp_path / "book.pdf", hostile.plain_pdf(10_000))
    shelf = Shelf.open(tmp_path / "home")
    report = _ingester(shelf, Limits(seconds=600)).ingest_paths([book], "default")
    assert report.failed == ()
    (row,) = shelf.store.documents.all(shelf.store.collections.get("default"))
    assert len(row.pages) == 10_000


def _write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _read(worker: Worker, path: Path) -> list[str]:
    with path.open("rb") as file:
        return [part.document.text for part in worker.read(path.name, file.fileno(), MOST)]  # type: ignore[union-attr]


def re_said(worker: Worker, path: Path, said: str) -> bool:
    with pytest.raises(DocumentRejected, match=said):
        _read(worker, path)
    return True
