"""`eval generate`: a question set made from a collection, each question with its answer and evidence.

Rules turn sentences and table rows into questions (eval/question_rules.py); only what the service finds, reads, answers
and supports the same is kept (eval/round_trip.py). Some kept questions are asked of the nearest passages of other
documents instead, which lack the answer: those rows are unanswerable. A row is a qa row with more fields:

    {id, dataset, question, passages, answers, answerable, synthetic: true, rule, support,
     evidence: {document_id, uri, start, end, quote}, review: "" | "right" | "wrong"}

``document.text[start:end] == quote`` holds for the evidence. Such a set is biased towards what the service can do, as
everything in it was answered once: it finds what a change breaks, not what never worked.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from eval.question_rules import Draft, drafts_of_sentence, names_in
from eval.round_trip import KEPT, REASONS, Candidate, Outcome, RoundTrip
from eval.row_rules import drafts_of_rows
from ingest.run import Progress
from rag.sentences import sentences
from rag.store import Store
from rag.store.collections import Collection
from rag.types import InvalidInput, Passage

ALIKE = 0.9  # cosine of two questions from which on one of them is enough
MOST_OF_A_PASSAGE = 2
REPEATED = "asked twice"
ALL_REASONS = (REPEATED, *REASONS, KEPT)


@dataclass(frozen=True, slots=True)
class Plan:
    """``count``: rows wanted. ``unanswerable``: share of them, in [0, 0.5]. ``seed``: of the order of passages."""

    count: int = 100
    unanswerable: float = 0.2
    seed: int = 0


@dataclass(slots=True)
class Tally:
    """What became of the drafts: how many had each outcome, and how many rows are unanswerable."""

    outcomes: Counter[str] = field(default_factory=Counter)
    unanswerable: int = 0

    @property
    def drafts(self) -> int:
        """Drafts that were judged."""
        return sum(self.outcomes.values())

    def as_json(self) -> dict[str, Any]:
        """``drafts``, ``kept`` and its share (null without drafts), ``unanswerable``, and ``left_out`` by reason."""
        kept = self.outcomes[KEPT]
        return {
            "drafts": self.drafts,
            "kept": kept,
            "kept_share": kept / self.drafts if self.drafts else None,
            "unanswerable": self.unanswerable,
            "left_out": {reason: self.outcomes[reason] for reason in ALL_REASONS if reason != KEPT},
        }


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes rows from the collection of ``trip``."""

    trip: RoundTrip
    plan: Plan

    def rows(self, tally: Tally, progress: Progress) -> Iterator[dict[str, Any]]:
        """Up to ``plan.count`` rows, each as soon as it is known; fewer where the collection gives no more.

        Raises InvalidInput for a collection without passages or a plan that cannot be followed.
        """
        check_plan(self.plan)
        passages = self._passages()
        draw = random.Random(self.plan.seed)
        draw.shuffle(passages)
        kept: list[Any] = []  # vectors of the questions so far
        used: dict[int, bool] = {}  # passage -> whether its rows are answerable
        made = 0
        for candidate in _candidates(passages):
            outcome = self._judge(candidate, kept, used)
            tally.outcomes[outcome.reason] += 1
            if outcome.reason == KEPT:
                row = self._row(candidate, outcome, made + 1, draw.random() < self.plan.unanswerable, used)
                tally.unanswerable += not row["answerable"]
                kept.append(self._vector(candidate.draft))
                made += 1
                yield row
            progress(made, self.plan.count)
            if made == self.plan.count:
                return

    def _judge(self, candidate: Candidate, kept: Sequence[Any], used: dict[int, bool]) -> Outcome:
        vector = self._vector(candidate.draft)
        # What a row without an answer rests on may stand in no other row: --open makes one collection of all.
        if used.get(candidate.passage.chunk_id) is False or any(float(vector @ other) >= ALIKE for other in kept):
            return Outcome(REPEATED)
        return self.trip.test(candidate)

    def _vector(self, draft: Draft) -> Any:
        return self.trip.pipeline.retriever.encoder.encode([draft.question])[0]  # (D,)

    def _row(
        self, candidate: Candidate, outcome: Outcome, number: int, without: bool, used: dict[int, bool]
    ) -> dict[str, Any]:
        fresh = candidate.passage.chunk_id not in used
        passages = self.trip.without_its_document(candidate) if without and fresh else ()
        passages = () if any(used.get(passage.chunk_id) is False for passage in passages) else passages
        answerable = not passages
        used[candidate.passage.chunk_id] = answerable
        return row_json(candidate, outcome, number, passages, self.trip.collection)

    def _passages(self) -> list[Passage]:
        store: Store = self.trip.pipeline.retriever.store
        ids = [i for batch in store.chunks.texts(self.trip.collection) for i, _, _ in batch]
        if not ids:
            cure = "ingest documents into it first"
            raise InvalidInput(f'collection "{self.trip.collection.name}" has no passages; {cure}')
        found = store.chunks.passages(ids)
        return [found[i] for i in ids if i in found]


def row_json(
    candidate: Candidate, outcome: Outcome, number: int, others: Sequence[Passage], collection: Collection
) -> dict[str, Any]:
    """The line of a row; ``others``: the passages of one that has no answer, empty for one that has."""
    draft, own = candidate.draft, candidate.passage
    shown = others or (own,)
    return {
        "id": f"synthetic-{number:04d}",
        "dataset": f"synthetic-{collection.name}",
        "question": draft.question,
        "passages": [{"title": passage.title, "text": passage.text} for passage in shown],
        "answers": [] if others else [draft.answer],
        "answerable": not others,
        "synthetic": True,
        "rule": draft.rule,
        "support": round(outcome.support, 4),
        "evidence": {
            "document_id": own.document_id,
            "uri": own.uri,
            "start": own.start + candidate.start,
            "end": own.start + candidate.end,
            "quote": own.text[candidate.start : candidate.end],
        },
        "review": "",
    }


def check_plan(plan: Plan) -> None:
    """Raises InvalidInput for a count below 1 or a share of unanswerable questions outside [0, 0.5]."""
    if plan.count < 1:
        raise InvalidInput(f"{plan.count} questions are wanted; ask for at least 1")
    if not 0 <= plan.unanswerable <= 0.5:
        raise InvalidInput(f"a share of {plan.unanswerable} unanswerable questions is wanted; give 0 to 0.5")


def _candidates(passages: Sequence[Passage]) -> Iterator[Candidate]:
    """Every draft, at most some of each passage at a time, so that a short set covers many documents.

    A question that two passages answer differently is left out, for it has no one answer.
    """
    names = names_in(passage.text for passage in passages)
    found = [list(candidates_of(passage, names)) for passage in passages]
    answers: dict[str, set[str]] = {}
    for each in (one.draft for some in found for one in some):
        answers.setdefault(each.question.lower(), set()).add(each.answer.lower())
    clear = [[one for one in some if len(answers[one.draft.question.lower()]) == 1] for some in found]
    for first in range(0, max(map(len, clear), default=0), MOST_OF_A_PASSAGE):
        for some in clear:
            yield from some[first : first + MOST_OF_A_PASSAGE]


def candidates_of(passage: Passage, names: frozenset[str]) -> Iterator[Candidate]:
    """The drafts of a passage's sentences and rows, in order."""
    for start, end in sentences(passage.text):
        sentence = passage.text[start:end]
        if passage.text[end : end + 1].strip():  # cut within a word: "rowvalue.*"
            continue
        for draft in drafts_of_sentence(sentence, passage.heading, names):
            yield Candidate(draft, passage, start, end)
    for draft, start, end in drafts_of_rows(passage.text, passage.title):
        yield Candidate(draft, passage, start, end)
