"""`eval qa`: ask every question of a data file, from its own passages or from a collection made of all of them.

Own passages: the record's passages, cut like documents are, are ranked by the encoder and read; nothing is searched.
Open: every passage of the file is ingested into a fresh collection in a throw-away store, and must be found there.
Either way the passage that a citation names is known, so citations can be scored against the gold passages.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from eval.metrics import CheckedClaim, QaResult, qa_metrics, score_answer
from eval.ranking import ranking_scores
from eval.runs import Run, describe_data, split_timings
from eval.scratch import answer_settings, scratch_search
from ingest.build import build_ingester
from ingest.chunk import chunk
from ingest.run import Document, Ingester, Progress
from rag.build import build_pipeline
from rag.datafiles import QaRow, SourceText, read_qa
from rag.followup import standalone
from rag.pipeline import Answered, Event, Pipeline
from rag.settings import Settings
from rag.store import Source
from rag.types import Answer, Claim, ParsedDocument, Passage, Question, Usage, Verdict

COLLECTION = "eval"
Asked = tuple[dict[str, Any], dict[str, float]]  # the line of a row in a run file, and its times in milliseconds
RANKED = 60  # passages in the ranking that retrieval figures are read from
READER = "record/1"


@dataclass(frozen=True, slots=True)
class QaEvaluation:
    """What asking needs: the pipeline, and the ingester over the same store (its chunk options cut the passages)."""

    pipeline: Pipeline
    ingester: Ingester
    top_k: int
    collection: str = COLLECTION

    def ask_closed(self, rows: Sequence[QaRow], progress: Progress) -> Iterator[tuple[QaRow, Answer, float]]:
        """Each row with its answer from its own passages, and the wall time in milliseconds."""
        for done, row in enumerate(rows, start=1):
            yield row, *self.closed(row)
            progress(done, len(rows))

    def ask_open(self, rows: Sequence[QaRow], progress: Progress) -> Iterator[tuple[QaRow, Answer, float]]:
        """Ingest every passage of ``rows``, then each row with its answer from that collection."""
        self.ingest(rows, progress)
        for done, row in enumerate(rows, start=1):
            yield row, *self.open(row)
            progress(done, len(rows))

    def ingest(self, rows: Sequence[QaRow], progress: Progress) -> None:
        """Put every passage of ``rows`` into the collection."""
        sources = dict.fromkeys(source for row in rows for source in row.passages)
        self.ingester.ingest_documents((as_document(source) for source in sources), self.collection, progress)

    def closed(self, row: QaRow) -> tuple[Answer, float]:
        """The answer to ``row`` from its own passages, and the wall time in milliseconds."""
        return finished(self.pipeline.events_from(self.question(row), self.passages(row)))

    def open(self, row: QaRow) -> tuple[Answer, float]:
        """The answer to ``row`` from the collection, and the wall time in milliseconds."""
        return finished(self.pipeline.events(self.question(row)))

    def ranking(self, row: QaRow) -> dict[str, float]:
        """How well the collection's search ranks the passages that answer ``row``; empty for an unanswerable one."""
        if not row.answerable or not row.passages:
            return {}
        retriever = self.pipeline.retriever
        collection = retriever.store.collections.get(self.collection)
        hits = retriever.search(standalone(self.question(row)), collection, RANKED)
        gold = {passage_key(source): 1 for source in row.passages}
        scores = ranking_scores(gold, list(dict.fromkeys(hit.passage.uri for hit in hits)))
        return {name: score for name, score in scores.items() if name != "recall@100"}  # RANKED are too few for it

    def question(self, row: QaRow) -> Question:
        """What is asked of a row."""
        return Question(row.question, self.collection, row.history, self.top_k)

    def passages(self, row: QaRow) -> list[Passage]:
        """The row's own passages, cut like documents are."""
        return [part for source in row.passages for part in self._cut(source)]

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


def qa_result(row: QaRow, answer: Answer, latency_ms: float, ranking: Mapping[str, float] | None = None) -> QaResult:
    """The scored form of an answer; ``ranking`` as QaEvaluation.ranking gives it."""
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
        usage=answer.usage,
        ranking=ranking or {},
    )


def qa_row_json(row: QaRow, answer: Answer, result: QaResult) -> dict[str, Any]:
    """The line of a question in a run file: what was asked, read, answered, and how it scored; no times of the day."""
    return {
        "id": row.id,
        "dataset": row.dataset,
        "kind": row.kind,
        "question": row.question,
        "history": [asdict(turn) for turn in row.history],
        "answerable": row.answerable,
        "golds": list(row.answers),
        "answer": result.answer,
        "refused": result.refused,
        "reason": answer.reason,
        "support": answer.support,
        "claims": [_claim_json(claim) for claim in answer.claims],
        "cited": [list(claim.cited) for claim in result.claims],
        "passages": [hit.passage.uri for hit in answer.passages],
        "read": [
            {"uri": p.uri, "title": p.title, "text": p.text, "score": hit.score}
            for hit in answer.passages
            for p in (hit.passage,)
        ],
        "gold_passages": sorted(result.gold_passages),
        "ranking": dict(result.ranking),
        "tokens": asdict(answer.usage),
        **asdict(score_answer(result)),
    }


def read_qa_row(row: Mapping[str, Any]) -> QaResult:
    """What ``qa_row_json`` wrote, as the record that figures are made of; its time is not among it."""
    claims = zip(row["claims"], row["cited"], strict=True)
    return QaResult(
        id=row["id"],
        answerable=row["answerable"],
        golds=tuple(row["golds"]),
        answer=row["answer"],
        refused=row["refused"],
        support=row["support"],
        claims=tuple(CheckedClaim(Verdict(claim["verdict"]), tuple(cited)) for claim, cited in claims),
        gold_passages=frozenset(row.get("gold_passages", ())),
        usage=Usage(**row["tokens"]),
        ranking=row.get("ranking", {}),
    )


def _claim_json(claim: Claim) -> dict[str, Any]:
    quotes = [{"uri": cited.uri, "quote": cited.quote, "score": cited.score} for cited in claim.citations]
    return {
        "text": claim.text,
        "start": claim.start,
        "end": claim.end,
        "support": claim.support,
        "verdict": claim.verdict.value,
        "quotes": quotes,
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


def times(answer: Answer, ms: float) -> dict[str, float]:
    """The wall time of an answer and of each of its stages, in milliseconds."""
    return asdict(answer.timings_ms) | {"total": ms}


def as_document(source: SourceText) -> Document:
    """A passage of a data file as a document to ingest."""
    digest = hashlib.sha256(source.text.encode()).hexdigest()
    return Document(Source(passage_key(source), digest), _parsed(source))


def _parsed(source: SourceText) -> ParsedDocument:
    return ParsedDocument(title=source.title, text=source.text, reader=READER)
