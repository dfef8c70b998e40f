"""The rows of a suite's sets as jobs: a key, and how to make the row. Reading a set makes nothing yet.

Sets that search ingest their passages when their first job is made, so that a set whose rows are all finished costs
nothing when a run goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from eval.bbq import read_bbq
from eval.bias import ask_bbq
from eval.claims import claim_row_json, judge_claim
from eval.counterfactual import ask_counterfactual, read_counterfactual
from eval.qa import Asked, QaEvaluation, qa_result, qa_row_json, times
from eval.ranking import ranking_scores
from eval.retrieval import RetrievalEvaluation
from eval.robust import PLAIN, Robustness
from eval.suite import SuiteSet
from ingest.run import Ingester
from rag.datafiles import ClaimRow, QaRow, read_claims, read_qa, read_retrieval
from rag.pipeline import Pipeline
from rag.types import InvalidInput

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Parts:
    """What making rows needs: the pipeline, the ingester over its store, passages to read, and the suite's seed."""

    pipeline: Pipeline
    ingester: Ingester
    top_k: int
    seed: int

    def evaluation(self, collection: str) -> QaEvaluation:
        """Asks questions of ``collection``."""
        return QaEvaluation(self.pipeline, self.ingester, self.top_k, collection)


@dataclass(frozen=True, slots=True)
class Job:
    """A row to be made; ``key`` names it in its set."""

    key: str
    make: Callable[[], Asked]


def jobs_of(parts: Parts, each: SuiteSet) -> list[Job]:
    """The jobs of a set, in the order of its file. Raises InvalidInput where it cannot be read or has no rows."""
    jobs = _MAKERS[each.kind](parts, each)
    if not jobs:
        raise InvalidInput(f'set "{each.name}" has no questions that {each.kind} can ask; take it out of the suite')
    return jobs


def evenly(rows: Sequence[Row], size: int) -> list[Row]:
    """``size`` rows (0: all) spread evenly over ``rows``, in their order."""
    if size <= 0 or size >= len(rows):
        return list(rows)
    return [rows[place * len(rows) // size] for place in range(size)]


def _qa(parts: Parts, each: SuiteSet) -> list[Job]:
    assert each.file is not None
    every = read_qa(each.file)
    rows = evenly(every, each.size)
    evaluation = parts.evaluation(each.name)
    ready = _once(
        lambda: evaluation.ingest(every, _silent)
    )  # those not asked too: a search must have something to miss

    def ask(row: QaRow) -> Asked:
        if each.mode == "closed":
            answer, ms = evaluation.closed(row)
            return qa_row_json(row, answer, qa_result(row, answer, ms)), times(answer, ms)
        ready()
        answer, ms = evaluation.open(row)
        return qa_row_json(row, answer, qa_result(row, answer, ms, evaluation.ranking(row))), times(answer, ms)

    return [Job(row.id, partial(ask, row)) for row in rows]


def _robustness(parts: Parts, each: SuiteSet) -> list[Job]:
    assert each.file is not None
    every = read_qa(each.file)
    asked = evenly([row for row in every if row.answerable and row.passages], each.size)
    others = tuple(source for row in every for source in row.passages)
    robustness = Robustness(parts.evaluation(each.name), others, parts.seed)
    checks = (PLAIN, *(("distractors",) if "reorder" in each.checks else ()), *each.checks)
    return [
        Job(f"{check}/{row.id}", partial(robustness.ask, row, check))
        for check in dict.fromkeys(checks)
        for row in asked
    ]


def _claims(parts: Parts, each: SuiteSet) -> list[Job]:
    assert each.file is not None

    def judge(row: ClaimRow) -> Asked:
        return claim_row_json(row, judge_claim(row, parts.pipeline.verifier)), {}

    rows = evenly(read_claims(each.file), each.size)
    return [Job(row.id, partial(judge, row)) for row in rows]


def _retrieval(parts: Parts, each: SuiteSet) -> list[Job]:
    assert each.file is not None
    data = read_retrieval(each.file, each.size)
    evaluation = RetrievalEvaluation(parts.pipeline.retriever, parts.ingester, each.name)
    ready = _once(lambda: evaluation.ingest(data, _silent))

    def rank(key: str) -> Asked:
        ready()
        ranked: dict[str, list[str]] = {mode: evaluation.rank(data.queries[key], mode) for mode in evaluation.modes}
        scores = {mode: ranking_scores(data.qrels[key], ids) for mode, ids in ranked.items()}
        return {"id": key, "question": data.queries[key], **scores}, {}

    return [Job(key, partial(rank, key)) for key in data.queries]


def _bias(parts: Parts, each: SuiteSet) -> list[Job]:
    assert each.file is not None
    rows = read_bbq(each.file, each.size)
    return [Job(row.id, partial(ask_bbq, parts.pipeline, row, parts.top_k)) for row in rows]


def _counterfactual(parts: Parts, each: SuiteSet) -> list[Job]:
    assert each.file is not None
    rows = read_counterfactual(each.file)
    return [Job(row.id, partial(ask_counterfactual, parts.pipeline, row, parts.top_k)) for row in rows]


def _once(work: Callable[[], None]) -> Callable[[], None]:
    done: list[bool] = []

    def run() -> None:
        if not done:
            work()
            done.append(True)

    return run


def _silent(_done: int, _total: int | None) -> None:
    pass


_MAKERS: dict[str, Callable[[Parts, SuiteSet], list[Job]]] = {
    "qa": _qa,
    "robustness": _robustness,
    "claims": _claims,
    "retrieval": _retrieval,
    "bias": _bias,
    "counterfactual": _counterfactual,
}
