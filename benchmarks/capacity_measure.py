"""What a chunk, a question and a token cost here, in processor time, which other work on the machine does not change.

Measured are the product's own paths: `Ingester.ingest_paths` over FOLDER, then the golden questions over examples/ one
by one, then each search alone while the rows are multiplied by copies.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.load import golden_questions
from benchmarks.memory import resident
from ingest.build import build_ingester
from rag.build import Search, build_pipeline, build_search
from rag.index.bench import synthetic
from rag.pipeline import Answered, ClaimChecked, PassagesFound, Pipeline
from rag.settings import Settings
from rag.store import Collection, Source
from rag.types import Chunk, ParsedDocument, Question

ROOT = Path(__file__).resolve().parent.parent
COPIES = 15  # of the documents, to see how searching grows
SEARCHES = 40


@dataclass(frozen=True, slots=True)
class Asked:
    """Core-seconds of one question: to find and rerank, to write, to check; tokens read and written."""

    find: float
    write: float
    check: float
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Measured:
    """Costs: core-seconds, bytes. ``bm25`` and ``dense`` are (chunks, core-seconds a search) at two sizes."""

    chunks: int
    ingest_s_a_chunk: float
    row_bytes_a_chunk: float
    asked: tuple[Asked, ...]
    bm25: tuple[tuple[int, float], ...]
    dense: tuple[tuple[int, float], ...]
    server_bytes: int


def measure(settings: Settings, folder: Path, documents: int, count: int) -> Measured:
    """All costs: of ``documents`` files of ``folder`` and ``count`` golden questions."""
    with scratch(settings) as search:
        chunks, ingest_s = ingested(settings, search, sorted(folder.rglob("*.html"))[:documents], "corpus")
        ingested(settings, search, [ROOT / "examples"], "default")
        pipeline = build_pipeline(settings, search)
        asked = tuple(ask(pipeline, text) for text in golden_questions()[: count + 1])[1:]  # the first one warms up
        corpus, before = search.store.collections.get("corpus"), size_of(settings)
        small = (search.store.chunks.count(corpus), *searched(pipeline, corpus))
        copy(search, corpus)
        grown = search.store.chunks.count(corpus) - small[0]
        large = (small[0] + grown, *searched(pipeline, corpus))
        return Measured(
            chunks,
            ingest_s / chunks,
            (size_of(settings) - before) / grown,
            asked,
            ((small[0], small[1]), (large[0], large[1])),
            ((small[0], small[2]), (large[0], large[2])),
            resident(os.getpid()),
        )


@contextmanager
def scratch(settings: Settings) -> Iterator[Search]:
    """Store and index in a folder of their own; gone at the end."""
    database = Path(settings.database.removeprefix("sqlite:///"))
    database.parent.mkdir(parents=True, exist_ok=True)
    search = build_search(settings)
    try:
        yield search
    finally:
        search.store.close()


def scratch_settings(settings: Settings, folder: Path) -> Settings:
    """The same with an empty database and index in ``folder``."""
    update = {"database_url": f"sqlite:///{folder / 'capacity.db'}", "index_url": str(folder / "index")}
    return settings.model_copy(update=update)


def ingested(settings: Settings, search: Search, paths: Sequence[Path], name: str) -> tuple[int, float]:
    """Chunks written, and core-seconds of this process and the readers' processes."""
    started = used()
    report = build_ingester(settings, search).ingest_paths(paths, name)
    return report.chunks, used() - started


def ask(pipeline: Pipeline, text: str) -> Asked:
    """One question through the pipeline, alone."""
    marks = [time.process_time()]
    writing = marks[0]
    for event in pipeline.events(Question(text)):
        now = time.process_time()
        if isinstance(event, PassagesFound):
            marks.append(now)
            writing = now
        elif isinstance(event, Answered):
            usage = event.answer.usage
            return Asked(
                marks[1] - marks[0], writing - marks[1], now - writing, usage.prompt_tokens, usage.completion_tokens
            )
        elif not isinstance(event, ClaimChecked):
            writing = now
    raise AssertionError("events() ends with Answered")


def searched(pipeline: Pipeline, collection: Collection) -> tuple[float, float]:
    """Core-seconds of a search by words, and of one by meaning among vectors alone, the query being encoded already."""
    retriever, questions = pipeline.retriever, golden_questions()[:SEARCHES]
    vectors = retriever.encoder.encode(questions)  # (SEARCHES, D)
    retriever.index.search(collection, vectors[:1], 30)  # takes in what is new
    retriever.index.settle(collection)  # processor time of merging in the background would count as the searches'
    started = time.process_time()
    for text in questions:
        retriever.search(text, collection, 30, "bm25")
    by_words = time.process_time() - started
    started = time.process_time()
    for row in range(len(vectors)):
        retriever.index.search(collection, vectors[row : row + 1], 30)
    return by_words / SEARCHES, (time.process_time() - started) / SEARCHES


def copy(search: Search, collection: Collection) -> None:
    """COPIES of every document with other vectors: posting lists and lists of vectors grow as with real ones."""
    store = search.store
    originals = [store.documents.get(row.id) for row in store.documents.all(collection)]
    ids = store.chunks.changes(collection, -1).ids
    passages: dict[str, list[Chunk]] = {}
    for passage in store.chunks.passages(ids).values():
        part = Chunk(passage.start, passage.end, passage.text, passage.heading, passage.page)
        passages.setdefault(passage.document_id, []).append(part)
    pool = synthetic(len(ids), collection.dimension).astype(np.float32)  # (N, D); once, for it takes long to begin
    for number in range(COPIES):
        for document in originals:
            parts = passages.get(document.id, [])
            parsed = ParsedDocument(document.title, document.text, document.reader)
            rows = np.random.default_rng(number).choice(pool, len(parts))
            store.documents.put(collection, Source(f"{document.uri}#{number}", f"{number:064}"), parsed, parts, rows)


def used() -> float:
    """Core-seconds of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def size_of(settings: Settings) -> int:
    """Bytes of the database, its log included."""
    path = Path(settings.database.removeprefix("sqlite:///"))
    return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))


def measure_in_scratch(settings: Settings, folder: Path, documents: int, count: int) -> Measured:
    """`measure` with rows that are thrown away."""
    with tempfile.TemporaryDirectory(prefix="answerable-capacity-") as temporary:
        return measure(scratch_settings(settings, Path(temporary)), folder, documents, count)
