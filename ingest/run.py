"""Files -> store: read what is new or changed, cut it, embed it, write it; one bad file costs that file alone.

Progress is what is committed: each document goes in, whole, in a transaction of its own, so a run that was killed is
taken up by running it again. Content hash and reader version decide what is unchanged. Embedding is the slow part, so
chunks of many documents are encoded together; at most one such batch is lost to a kill.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from ingest.chunk import ChunkOptions, chunk
from ingest.discover import Found, discover
from ingest.readers import read_document, reader_version
from rag.encode import Encoder
from rag.index import VectorIndex
from rag.store import Collection, Source, Store
from rag.types import Chunk, DocumentRejected, ParsedDocument

log = structlog.get_logger()

BATCH_CHUNKS = 128  # chunks that are encoded together; the encoder is as fast with these as with more

Progress = Callable[[int, int | None], None]  # documents dealt with, documents in all (None: not known)


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that did not go in, or was left out, and why."""

    uri: str
    reason: str


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What a run did: numbers of documents, chunks written, wall time in seconds."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    skipped: tuple[Failure, ...] = ()
    failed: tuple[Failure, ...] = ()
    chunks: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Document:
    """A document to ingest: where it came from, and what a reader made of it."""

    source: Source
    parsed: ParsedDocument


@dataclass(frozen=True, slots=True)
class _Cut:
    """A document with its chunks, ready to embed."""

    document: Document
    parts: tuple[Chunk, ...]


@dataclass(slots=True)
class _Tally:
    """The report while it grows."""

    known: dict[str, tuple[str, str]]  # uri -> content hash, reader
    progress: Progress | None
    total: int | None
    done: int = 0
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    chunks: int = 0
    skipped: list[Failure] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def write(self, uri: str, chunks: int) -> None:
        self.chunks += chunks
        if uri in self.known:
            self.changed += 1
        else:
            self.added += 1
        self._step()

    def keep(self) -> None:
        self.unchanged += 1
        self._step()

    def skip(self, uri: str, reason: str) -> None:
        self.skipped.append(Failure(uri, reason))
        self._step()

    def fail(self, uri: str, reason: str) -> None:
        self.failed.append(Failure(uri, reason))
        self._step()

    def _step(self) -> None:
        self.done += 1
        if self.progress:
            self.progress(self.done, self.total)

    def report(self, seconds: float) -> IngestReport:
        return IngestReport(
            added=self.added,
            changed=self.changed,
            unchanged=self.unchanged,
            removed=self.removed,
            skipped=tuple(self.skipped),
            failed=tuple(self.failed),
            chunks=self.chunks,
            seconds=seconds,
        )


@dataclass(frozen=True, slots=True)
class Ingester:
    """What ingesting needs: encoder, store, index, chunk length in tokens, and the largest file in bytes."""

    encoder: Encoder
    store: Store
    index: VectorIndex
    options: ChunkOptions
    max_bytes: int

    def ingest_paths(
        self, paths: Sequence[Path], collection: str, prune: bool = False, progress: Progress | None = None
    ) -> IngestReport:
        """Ingest files and folders; ``prune`` removes documents under ``paths`` whose file is gone.

        ``progress`` is called after each file. Raises InvalidInput for a path that does not exist.
        """
        started = time.perf_counter()
        files = list(discover(paths))
        target, tally = self._begin(collection, progress, len(files))
        self._write_all(self._read_all(files, tally), target, tally)
        if prune:
            self._prune(paths, target, tally)
        self.index.save(target)
        return tally.report(time.perf_counter() - started)

    def ingest_documents(
        self, documents: Iterable[Document], collection: str, progress: Progress | None = None
    ) -> IngestReport:
        """Ingest documents that were read already, such as the records of a data set."""
        started = time.perf_counter()
        target, tally = self._begin(collection, progress, None)
        fresh = (self._cut(document) for document in documents if _is_new(document, tally))
        self._write_all(fresh, target, tally)
        self.index.save(target)
        return tally.report(time.perf_counter() - started)

    def _begin(self, name: str, progress: Progress | None, total: int | None) -> tuple[Collection, _Tally]:
        target = self.store.collections.ensure(name, self.encoder.fingerprint, self.encoder.dimension)
        known = {row.uri: (row.content_hash, row.reader) for row in self.store.documents.all(target)}
        return target, _Tally(known, progress, total)

    def _read_all(self, files: Sequence[Found], tally: _Tally) -> Iterator[_Cut]:
        for found in files:
            if found.skipped:
                tally.skip(found.uri, found.skipped)
                continue
            tally.seen.add(found.uri)
            try:
                document = self._read(found, tally)
                if document is not None:
                    yield self._cut(document)
            except DocumentRejected as error:
                tally.fail(found.uri, str(error))
            except Exception as error:
                log.exception("reader crashed", uri=found.uri)
                tally.fail(found.uri, f"reader crashed: {type(error).__name__}: {error}")

    def _read(self, found: Found, tally: _Tally) -> Document | None:
        """The document, or None when the store has it already, of these bytes, read by this reader."""
        data = self._bytes(found.path)
        source = Source(found.uri, hashlib.sha256(data).hexdigest())
        if tally.known.get(found.uri) == (source.content_hash, reader_version(found.path.name, data)):
            tally.keep()
            return None
        return Document(source, read_document(found.path.name, data))

    def _bytes(self, path: Path) -> bytes:
        try:
            size = path.stat().st_size
            if size > self.max_bytes:
                limit = f"{self.max_bytes / 1e6:g} MB"
                raise DocumentRejected(
                    f"{path.name} has {size / 1e6:.1f} MB, at most {limit} are read; raise ANSWERABLE_MAX_FILE_MB"
                )
            return path.read_bytes()
        except OSError as error:
            raise DocumentRejected(f"{path.name} cannot be read: {error.strerror}; check its permissions") from error

    def _cut(self, document: Document) -> _Cut:
        """The document's chunks, each headed by the title and its heading path, which give it its subject."""
        title = document.parsed.title
        parts = chunk(document.parsed, self.encoder.count_tokens, self.options)
        return _Cut(document, tuple(replace(part, heading=_heading(title, part.heading)) for part in parts))

    def _write_all(self, cuts: Iterable[_Cut], target: Collection, tally: _Tally) -> None:
        for batch in _batches(cuts):
            # What the encoder reads is heading and text; only the text is cited.
            vectors = self.encoder.encode([f"{part.heading}\n{part.text}" for cut in batch for part in cut.parts])
            first = 0
            for cut in batch:
                last = first + len(cut.parts)
                source = cut.document.source
                self.store.documents.put(target, source, cut.document.parsed, cut.parts, vectors[first:last])
                first = last
                tally.write(source.uri, len(cut.parts))

    def _prune(self, paths: Sequence[Path], target: Collection, tally: _Tally) -> None:
        roots = [path.resolve() for path in paths]
        for row in self.store.documents.all(target):
            under = any(Path(row.uri).is_relative_to(root) for root in roots)
            if under and row.uri not in tally.seen and not Path(row.uri).exists():
                self.store.documents.delete(row.id)
                tally.removed += 1


def _is_new(document: Document, tally: _Tally) -> bool:
    same = tally.known.get(document.source.uri) == (document.source.content_hash, document.parsed.reader)
    if same:
        tally.keep()
    return not same


def _batches(cuts: Iterable[_Cut]) -> Iterator[list[_Cut]]:
    batch: list[_Cut] = []
    for cut in cuts:
        batch.append(cut)
        if sum(len(cut.parts) for cut in batch) >= BATCH_CHUNKS:
            yield batch
            batch = []
    if batch:
        yield batch


def _heading(title: str, path: str) -> str:
    return " > ".join(dict.fromkeys(part for part in (title, path) if part))
