"""What changes between two runs: renames, copies, archives, documents alike, other ingests, a followed folder."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ingest.chunk import ChunkOptions
from ingest.run import Ingester
from ingest.watch import watch
from rag.store import Source, Store
from rag.types import Chunk, ParsedDocument, Superseded
from tests.fakes import HashEncoder, Shelf


class CountingEncoder(HashEncoder):
    """Counts the texts it was asked for."""

    texts = 0

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.texts += len(texts)
        return super().encode(texts)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf.open(tmp_path / "home")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "mast.txt").write_text("The mast is two metres high.\nIt stands on the roof.")
    (folder / "note.md").write_text("# Heater\n\nThe heater switches on below three degrees.\n")
    return folder


def ingester(shelf: Shelf, encoder: HashEncoder | None = None) -> Ingester:
    return Ingester(encoder or HashEncoder(), shelf.store, shelf.retriever.index, ChunkOptions(), 1_000_000, workers=1)


def uris(store: Store) -> list[str]:
    return [Path(row.uri).name for row in store.documents.all(store.collections.get("default"))]


def test_a_renamed_file_is_not_embedded_again(shelf: Shelf, folder: Path) -> None:
    encoder = CountingEncoder()
    one = ingester(shelf, encoder)
    one.ingest_paths([folder], "default")
    target = shelf.store.collections.get("default")
    before, asked = shelf.store.chunks.changes(target, -1), encoder.texts
    (folder / "mast.txt").rename(folder / "tall_pole.txt")
    (folder / "sub").mkdir()
    (folder / "note.md").rename(folder / "sub" / "note.md")
    report = one.ingest_paths([folder], "default")
    assert (report.renamed, report.added, report.removed, report.chunks, encoder.texts) == (2, 0, 0, 0, asked)
    assert uris(shelf.store) == ["note.md", "tall_pole.txt"]
    after = shelf.store.chunks.changes(target, -1)
    assert np.array_equal(after.ids, before.ids) and np.array_equal(after.vectors, before.vectors)
    for passage in shelf.store.chunks.passages(after.ids).values():
        assert passage.heading.startswith(passage.title)
        assert shelf.store.documents.get(passage.document_id).text[passage.start : passage.end] == passage.text
    # The title that came from the file's name is the new name's, in full text too.
    assert [hit.passage.title for hit in shelf.retriever.search("tall pole", target, 1, "bm25")] == ["tall pole"]
    assert one.ingest_paths([folder], "default").unchanged == 2


def test_a_copy_is_a_document_of_its_own_and_reported(shelf: Shelf, folder: Path) -> None:
    words = " ".join(f"word{number} of the long note" for number in range(60))
    (folder / "long.txt").write_text(words)
    ingester(shelf).ingest_paths([folder], "default")
    (folder / "copy.txt").write_text(words + " with one more word")
    (folder / "other.txt").write_text(" ".join(f"thing{number} in another text" for number in range(60)))
    report = ingester(shelf).ingest_paths([folder], "default")
    assert report.added == 2
    assert [(Path(pair.uri).name, Path(pair.of).name) for pair in report.duplicates] == [("copy.txt", "long.txt")]
    assert 0.8 <= report.duplicates[0].similarity <= 1.0


def test_an_archive_gives_a_document_a_file_and_follows_its_changes(shelf: Shelf, folder: Path) -> None:
    box = folder / "box.zip"
    _zip(box, {"a.txt": "Words of the first.", "sub/b.md": "# Second\n\nWords of the second.", "c.bin": "x"})
    report = ingester(shelf).ingest_paths([box], "default")
    assert report.added == 2 and [failure.uri for failure in report.failed] == [f"{box}!/c.bin"]
    again = ingester(shelf).ingest_paths([box], "default")
    assert (again.unchanged, again.added, again.bytes) == (2, 0, 0)
    assert again.failed == report.failed
    _zip(box, {"a.txt": "Words of the first.", "d.txt": "Words of the fourth."})
    changed = ingester(shelf).ingest_paths([box], "default")
    assert (changed.unchanged, changed.added, changed.removed) == (1, 1, 1)
    box.unlink()
    assert ingester(shelf).ingest_paths([folder], "default", prune=True).removed == 2


def test_older_bytes_never_undo_newer_ones(shelf: Shelf) -> None:
    """Two ingests at once: the slower one, which read the file before it changed, must not write over the other's."""
    target = shelf.store.collections.ensure("default", "ha54ha54ha54", 64)
    vectors = np.eye(1, 64, dtype=np.float32)

    def put(text: str, replaces: str | None) -> None:
        source = Source("/a.txt", f"hash of {text}", b"", replaces)
        shelf.store.documents.put(target, source, ParsedDocument("a", text, "txt/1"), [Chunk(0, 3, text[:3])], vectors)

    put("old text", "")
    put("new text", "hash of old text")
    with pytest.raises(Superseded):
        put("old text again", "hash of old text")
    with pytest.raises(Superseded):
        put("first text", "")
    (row,) = shelf.store.documents.all(target)
    assert row.content_hash == "hash of new text"


def test_a_document_that_went_in_meanwhile_is_looked_at_again(shelf: Shelf, folder: Path) -> None:
    class Rival(HashEncoder):
        """While it embeds, another ingest of the same folder runs to its end."""

        ran = False

        def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
            if not self.ran:
                self.ran = True
                ingester(Shelf.open(shelf.home)).ingest_paths([folder], "default")
            return super().encode(texts)

    report = ingester(shelf, Rival()).ingest_paths([folder], "default")
    assert (report.added, report.unchanged, report.failed) == (0, 2, ())
    assert len(uris(shelf.store)) == 2


def test_a_followed_folder_is_in_step(shelf: Shelf, folder: Path) -> None:
    stop = threading.Event()
    reports = watch(ingester(shelf), [folder], "default", stop, every=0.05)
    assert next(reports).added == 2
    (folder / "new.txt").write_text("New words came.")
    (folder / "mast.txt").unlink()
    report = next(reports)
    assert (report.added, report.removed) == (1, 1)
    assert uris(shelf.store) == ["new.txt", "note.md"]
    stop.set()
    assert list(reports) == []


def test_outcomes_go_with_their_collection(shelf: Shelf, folder: Path) -> None:
    ingester(shelf).ingest_paths([folder], "default")
    target = shelf.store.collections.get("default")
    assert {row.status for row in shelf.store.outcomes.all(target)} == {"added"}
    shelf.store.collections.delete("default")
    assert shelf.store.outcomes.all(target) == ()


def _zip(path: Path, members: dict[str, str]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
