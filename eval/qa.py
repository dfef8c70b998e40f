"""`eval qa`: ask every question of a data file, from its own passages or from a collection made of all of them.

Own passages: the record's passages, cut like documents are, are ranked by the encoder and read; nothing is searched.
Open: every passage of the file is ingested into a fresh collection in a throw-away store, and must be found there.
Either way the passage that a citation names is known, so citations can be scored against the gold passages.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from eval.metrics import CheckedClaim, QaResult, qa_metrics, score_answer
from eval.runs import Run, describe_data, split_timings
from eval.scratch import answer_settings, scratch_search
from ingest.build import build_ingester
from ingest.chunk import chunk
from ingest.run import Document, Ingester, Progress
from rag.build import build_pipeline
from rag.datafiles import QaRow, SourceText, read_qa
from rag.pipeline import Answered, Event, Pipeline
from rag.settings import Settings
from rag.store import Source
from rag.types import Answer, ParsedDocument, Passage, Question

COLLECTION = "eval"
READER = "record/1"


@dataclass(frozen=True, slots=True)
class QaEvaluation:
    """What asking needs: the pipeline, and the ingester over the same store (its chunk options cut the passages)."""

    pipeline: Pipeline
    ingester: Ingester
    top_k: int

    def ask_closed(self, rows: Sequence[QaRow], progress: Progress) -> Iterator[tuple[QaRow, Answer, float]]:
        """Each row with its answer from its own passages, and the wall time in milliseconds."""
        for done, row in enumerate(rows, start=1):
            passages = [part for source in row.passages for part in self._cut(source)]
            yield row, *finished(self.pipeline.events_from(self._question(row), passages))
            progress(done, len(rows))

    def ask_open(self, rows: Sequence[QaRow], progress: Progress) -> Iterator[tuple[QaRow, Answer, float]]:
        """Ingest every passage of ``rows``, then each row with its answer from that collection."""
        sources = dict.fromkeys(source for row in rows for source in row.passages)
        self.ingester.ingest_documents((as_document(source) for source in sources), COLLECTION, progress)
        for done, row in enumerate(rows, start=1):
            yield row, *finished(self.pipeline.events(self._question(row)))
            progress(done, len(rows))

    def _question(self, row: QaRow) -> Question:
        return Question(row.question, COLLECTION, row.history, self.top_k)

    def _cut(self, source: SourceText) -> Iterator[Passage]:
        parsed = _parsed(source)
        for part in chunk(parsed, self.pipeline.retriever.encoder.count_tokens, self.ingester.options):
            uri = passage_key(source)
            yield Passage(0, uri, source.title, uri, part.start, part.end, part.text, source.title)


def run_qa(settings: Settings, file: Path, limit: int, from_collection: bool, progress: Progress) -> Run:
    """Ask the first ``limit`` questions (0: all) of ``file``; ``from_collection`` asks open, as above.

    Raises InvalidInput for a file that cannot be read, ModelMissing and ModelBroken.
    """
    rows = read_qa(file, limit)
    with scratch_search(settings) as search:
        pipeline = build_pipeline(settings, search)
        evaluation = QaEvaluation(pipeline, build_ingester(settings, search), settings.top_k)
        ask = evaluation.ask_open if from_collection else evaluation.ask_closed
        asked = [(row, answer, qa_result(row, answer, ms)) for row, answer, ms in ask(rows, progress)]
    results = [result for _, _, result in asked]
    metrics, times = split_timings(qa_metrics(results))
    return Run(
        kind="qa",
        metrics=metrics,
        settings=answer_settings(settings) | {"limit": limit, "open": from_collection},
        models=asdict(pipeline.models()),
        seed=0,
        data=describe_data(file),
        rows=[qa_row_json(*each) for each in asked],
        timings={"metrics": times, "rows": {result.id: result.latency_ms for result in results}},
    )


def passage_key(source: SourceText) -> str:
    """A stable name for a passage of a data file, used as its uri: a hash of title and text."""
    return hashlib.sha256(f"{source.title}\0{source.text}".encode()).hexdigest()[:16]


def qa_result(row: QaRow, answer: Answer, latency_ms: float) -> QaResult:
    """The scored form of an answer."""
    claims = tuple(
        CheckedClaim(claim.verdict, tuple(cited.uri for cited in claim.citations)) for claim in answer.claims
    )
    gold = frozenset(passage_key(source) for source in row.passages) if row.answerable else frozenset()
    return QaResult(
        id=row.id,
        answerable=row.answerable,
        golds=row.answers,
        answer="" if answer.abstained else answer.answer,
        refused=answer.abstained,
        support=answer.support,
        claims=claims,
        gold_passages=gold,
        latency_ms=latency_ms,
    )


def qa_row_json(row: QaRow, answer: Answer, result: QaResult) -> dict[str, Any]:
    """The line of a question in a run file: what was asked, answered, and how it scored; no ids or times of the day."""
    return {
        "id": row.id,
        "question": row.question,
        "answerable": row.answerable,
        "golds": list(row.answers),
        "answer": result.answer,
        "refused": result.refused,
        "reason": answer.reason,
        "support": answer.support,
        "claims": [{"text": c.text, "support": c.support, "verdict": c.verdict.value} for c in answer.claims],
        "cited": [list(claim.cited) for claim in result.claims],
        "passages": [hit.passage.uri for hit in answer.passages],
        "tokens": asdict(answer.usage),
        **asdict(score_answer(result)),
    }


def finished(events: Iterator[Event]) -> tuple[Answer, float]:
    """The answer that ``events`` end with, and the wall time in milliseconds."""
    started = time.perf_counter()
    last = None
    for event in events:
        last = event
    if not isinstance(last, Answered):
        raise AssertionError("events end with Answered")
    return last.answer, (time.perf_counter() - started) * 1000


def as_document(source: SourceText) -> Document:
    """A passage of a data file as a document to ingest."""
    digest = hashlib.sha256(source.text.encode()).hexdigest()
    return Document(Source(passage_key(source), digest), _parsed(source))


def _parsed(source: SourceText) -> ParsedDocument:
    return ParsedDocument(title=source.title, text=source.text, reader=READER)
