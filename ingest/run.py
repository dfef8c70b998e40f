"""Files -> store: read what is new or changed, cut it, embed it, write it; one bad file costs that file alone.

Progress is what is committed: each document goes in, whole, in a transaction of its own, so a run that was killed is
taken up by running it again. Workers read and cut files (ingest/reading.py) while the encoder embeds what they gave so
far, a window of chunks of many documents at a time; at most one such window is lost to a kill.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ingest.chunk import ChunkOptions, chunk
from ingest.discover import Found, discover
from ingest.embed import embed, headed
from ingest.known import Known, file_of
from ingest.node import WINDOW, NodeResult
from ingest.readers.names import title_of
from ingest.reading import Crew, Ended, Event, Fresh, Kept, Moved, Reading
from ingest.report import Failure, IngestReport, Progress, Tally
from ingest.sandbox import Limits, Parsed, Recipe
from rag.encode import Encoder
from rag.index import Index
from rag.store import Collection, Outcome, Source, Store, document_key
from rag.types import NotFound, ParsedDocument, Superseded

__all__ = ["Document", "Failure", "IngestReport", "Ingester", "Limits", "Progress"]

_LIMITS = Limits()
_ROUNDS = 3  # times a document that another ingest changed meanwhile is looked at again


@dataclass(frozen=True, slots=True)
class Document:
    """A document to ingest: where it came from, and what a reader made of it."""

    source: Source
    parsed: ParsedDocument


class Nodes(Protocol):
    """Other machines that read, cut and embed files."""

    def read(self, files: Sequence[Found], recipe: Recipe, known: Known, most_bytes: int) -> Iterator[NodeResult]:
        """What becomes of ``files``, in parts and any order, each file once."""
        ...


@dataclass(slots=True)
class _Run:
    """One run's target, what was known, the tally, and files that must be looked at again."""

    target: Collection
    known: Known
    tally: Tally
    again: list[Found] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Ingester:
    """What ingesting needs: encoder, store, index, chunk lengths in tokens, the largest file in bytes.

    ``limits`` bound what one file may take; ``workers`` read files at once (0: one a core) and
    count tokens with the file ``tokenizer``, which must be the encoder's (None: they count words). With ``nodes`` these
    read and embed instead.
    """

    encoder: Encoder
    store: Store
    index: Index
    options: ChunkOptions
    max_bytes: int
    limits: Limits = _LIMITS
    workers: int = 0
    tokenizer: Path | None = None
    nodes: Nodes | None = None

    def ingest_paths(
        self,
        paths: Sequence[Path],
        collection: str,
        prune: bool = False,
        progress: Progress | None = None,
        retry_failed: bool = False,
    ) -> IngestReport:
        """Ingest files and folders; ``prune`` removes documents under ``paths`` whose file is gone.

        ``progress`` is called after each file. With ``retry_failed`` what failed before is read again, everywhere in
        the collection when ``paths`` is empty. Raises InvalidInput for a path that does not exist.
        """
        started = time.perf_counter()
        files = list(discover(paths))
        run = self._begin(collection, progress, len(files), retry_failed)
        if retry_failed and not paths:
            files = [Found(Path(uri)) for uri in sorted({file_of(f.uri) for f in self._failed(run)})]
            run.tally.total = len(files)
        self._read_all(files, run)
        for _ in range(_ROUNDS):
            if not run.again:
                break
            files, run.again = run.again, []
            run.known = Known.of(self.store, run.target, retry_failed)
            self._read_all(files, run)
        for found in run.again:
            run.tally.fail(
                Outcome(found.uri, "failed", f"{found.path.name}: other ingests keep changing it; try again")
            )
        if prune:
            self._prune(paths, run)
        return self._finish(run, started)

    def ingest_documents(
        self, documents: Iterable[Document], collection: str, progress: Progress | None = None
    ) -> IngestReport:
        """Ingest documents that were read already, such as the records of a data set."""
        started = time.perf_counter()
        run = self._begin(collection, progress, None, False)
        window: list[Fresh] = []
        for document in documents:
            source, parsed = document.source, document.parsed
            outcome = Outcome(source.uri, "", "", source.content_hash, parsed.reader, 1)
            if run.known.documents.get(source.uri) == (source.content_hash, parsed.reader):
                run.tally.keep(outcome)
                run.tally.step()
                continue
            parts = chunk(parsed, self.encoder.count_tokens, self.options)
            window.append(Fresh(Found(Path(source.uri)), Parsed("", source.content_hash, parsed, parts, b""), outcome))
            if _chunks(window) >= WINDOW:
                self._write(window, run)
                window = []
        self._write(window, run)
        return self._finish(run, started)

    def _begin(self, name: str, progress: Progress | None, total: int | None, retry: bool) -> _Run:
        target = self.store.collections.ensure(name, self.encoder.fingerprint, self.encoder.dimension)
        known = Known.of(self.store, target, retry)
        return _Run(target, known, Tally(frozenset(known.documents), progress, total))

    def _finish(self, run: _Run, started: float) -> IngestReport:
        self.store.outcomes.record(run.target, run.tally.take_outcomes())
        with _timed(run.tally, "index"):
            self.index.save(run.target)
        return run.tally.report(time.perf_counter() - started)

    def _failed(self, run: _Run) -> list[Outcome]:
        return [outcome for outcome in run.known.outcomes.values() if outcome.status == "failed"]

    def _read_all(self, files: Sequence[Found], run: _Run) -> None:
        """Reads ``files`` beside the embedding; documents and what ends them stay in the order they came in."""
        if not files:
            return
        recipe = Recipe(str(self.tokenizer or ""), self.encoder.max_tokens, self.options, self.limits)
        if self.nodes is not None:
            self._read_on_nodes(self.nodes.read(files, recipe, run.known, self.max_bytes), run)
            return
        workers = self.workers or len(os.sched_getaffinity(0))
        with closing(Crew.of(recipe, min(workers, len(files)))) as crew:
            self._read_here(Reading(crew, run.known, self.max_bytes), files, run)

    def _read_here(self, reading: Reading, files: Sequence[Found], run: _Run) -> None:
        window: list[Event] = []
        waiting = time.perf_counter()
        for event in reading.events(files):
            if event is not None:
                window.append(event)
            fresh = [one for one in window if isinstance(one, Fresh)]
            if _chunks(fresh) < WINDOW and (event is not None or not window) and len(window) < WINDOW:
                continue
            run.tally.seconds["wait"] += time.perf_counter() - waiting
            self._settle(window, run)
            for one in fresh:
                reading.release(one)
            window = []
            waiting = time.perf_counter()
        self._settle(window, run)

    def _read_on_nodes(self, results: Iterator[NodeResult], run: _Run) -> None:
        waiting = time.perf_counter()
        for result in results:
            run.tally.seconds["wait"] += time.perf_counter() - waiting
            self._settle(result.events, run, result.vectors)
            waiting = time.perf_counter()

    def _settle(self, window: Sequence[Event], run: _Run, vectors: NDArray[np.float32] | None = None) -> None:
        """Embeds and writes the documents of ``window``, then deals with its other events and keeps the outcomes."""
        self._write([event for event in window if isinstance(event, Fresh)], run, vectors)
        tally = run.tally
        for one in window:
            match one:
                case Kept(outcome):
                    {"skipped": tally.skip, "failed": tally.fail}.get(outcome.status, tally.keep)(outcome)
                case Moved():
                    self._rename(one, run)
                case Ended():
                    self._end(one, run)
        self.store.outcomes.record(run.target, tally.take_outcomes())

    def _end(self, event: Ended, run: _Run) -> None:
        """A file is read to its end: what an archive no longer holds goes."""
        run.tally.bytes += event.size
        run.tally.seconds["read"] += event.seconds
        if event.outcome is not None:
            for uri in run.known.within(event.outcome.uri):
                if uri not in event.members:
                    self._remove(document_key(run.target.name, uri), uri, run)
            run.tally.outcomes.append(event.outcome)
        run.tally.step()

    def _rename(self, event: Moved, run: _Run) -> None:
        title = title_of(event.old)
        try:
            old = self.store.documents.get(document_key(run.target.name, event.old))
            new_title = title_of(event.found.uri) if old.title == title else old.title
            self.store.documents.rename(run.target, event.old, event.found.uri, new_title)
        except (NotFound, Superseded):  # another ingest took it, or two files have these bytes
            run.again.append(event.found)
            return
        self.store.outcomes.forget(run.target, [event.old])
        run.tally.rename(event.outcome)

    def _write(self, fresh: Sequence[Fresh], run: _Run, vectors: NDArray[np.float32] | None = None) -> None:
        """Embeds the documents together (None: they are not yet) and writes each in its own transaction."""
        documents = [headed(event.parsed) for event in fresh]
        if vectors is None:
            with _timed(run.tally, "embed"):
                vectors = embed(self.encoder, documents)
        first = 0
        with _timed(run.tally, "write"):
            for event, one in zip(fresh, documents, strict=True):
                last = first + len(one.parts)
                self._put(event, one, vectors[first:last], run)
                first = last

    def _put(self, event: Fresh, one: Parsed, vectors: NDArray[np.float32], run: _Run) -> None:
        uri = event.outcome.uri
        before = run.known.documents.get(uri, ("", ""))[0]
        try:
            source = Source(uri, one.content_hash, one.signature, before)
            key = self.store.documents.put(run.target, source, one.document, one.parts, vectors)
        except Superseded:
            run.again.append(event.found)
            return
        run.known.documents[uri] = (one.content_hash, one.document.reader)
        run.tally.write(event.outcome, len(one.parts))
        if one.signature and (found := self.store.similar.find(run.target, key)):
            run.tally.duplicates.append(found)

    def _remove(self, document_id: str, uri: str, run: _Run) -> None:
        try:
            self.store.documents.delete(document_id)
        except NotFound:  # another ingest or the operator was quicker
            return
        self.store.outcomes.forget(run.target, [uri])
        run.tally.removed += 1

    def _prune(self, paths: Sequence[Path], run: _Run) -> None:
        """Removes documents and outcomes under ``paths`` whose file is gone."""
        roots = [path.resolve() for path in paths]

        def gone(uri: str) -> bool:
            file = Path(file_of(uri))
            return any(file.is_relative_to(root) for root in roots) and not os.path.lexists(file)

        for row in self.store.documents.all(run.target):
            if gone(row.uri):
                self._remove(row.id, row.uri, run)
        self.store.outcomes.forget(run.target, [uri for uri in run.known.outcomes if gone(uri)])


def _chunks(fresh: Sequence[Fresh]) -> int:
    return sum(len(event.parsed.parts) for event in fresh)


@contextmanager
def _timed(tally: Tally, stage: str) -> Iterator[None]:
    started = time.perf_counter()
    try:
        yield
    finally:
        tally.seconds[stage] += time.perf_counter() - started
