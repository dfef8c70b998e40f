"""Whether a made question comes back: found in the collection, read and answered the same, and supported.

A question that rules made of one sentence may be vague, or nonsense. One that leads search back to its passage, out of
the whole collection, and to which reader and generator, neither of which saw the rule's answer, both give that answer,
with the check's support, seldom is. Alberti et al., "Synthetic QA Corpora Generation with Roundtrip Consistency",
ACL 2019, for the idea; each test here is one that the service makes anyway.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from eval.question_rules import Draft
from rag.answers import normalise, token_f1
from rag.pipeline import SPARE, Pipeline
from rag.select import distinct
from rag.sentences import sentences
from rag.store.collections import Collection
from rag.types import Answer, Hit, Passage, Question, Verdict
from rag.words import read_words

LEAST_WORDS = 3  # stems that a question must have to say what it is about
LEAST_WORDS_OF_A_PREDICATE = 4
SAME_F1 = 0.6
NEAR_OWN = 0.45  # least cosine of a question to its own passage, by which it speaks of what that is about
NO_ANSWER = 0.5  # the reader's probability of "none" from which on other passages are taken to lack the answer
NEAR = 0.35  # least cosine of a passage that a question without an answer is to be asked of
RIVAL = 0.6  # share of a question's stems from which on another sentence speaks of the same thing
_DEPTH = 20
_NAME = re.compile(r"\w[_/.-]\w|[A-Z]{2}")  # beside what begins with a capital: a file, a setting, a command
_MODAL = frozenset({"may", "might", "must"})

# Why a draft is left out, in the order of the tests; KEPT is none of them.
KEPT = "kept"
VAGUE, NOT_FOUND, RIVALLED, READ, ANSWERED, UNSUPPORTED = (
    "vague",
    "not found",
    "told otherwise elsewhere",
    "read otherwise",
    "answered otherwise",
    "unsupported",
)
REASONS = (VAGUE, NOT_FOUND, RIVALLED, READ, ANSWERED, UNSUPPORTED)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A draft and where it comes from: characters [start, end) of the text of ``passage``."""

    draft: Draft
    passage: Passage
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """``reason`` is KEPT or why not; ``support`` in [0, 1] is the check's for the pipeline's own answer."""

    reason: str
    support: float = 0.0


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """Asks the whole pipeline of ``collection``, reading ``top_k`` passages."""

    pipeline: Pipeline
    collection: Collection
    top_k: int

    def test(self, candidate: Candidate) -> Outcome:
        """The tests in order of their cost, up to the first that fails. Raises what Pipeline.answer raises."""
        draft = candidate.draft
        if is_vague(draft):
            return Outcome(VAGUE)
        hits = distinct(self._find(draft.question, self.top_k + SPARE), self.top_k)
        own = [hit for hit in hits if holds(hit.passage, candidate)]
        if not own:
            return Outcome(NOT_FOUND)
        if max(hit.dense or 0.0 for hit in own) < NEAR_OWN:
            return Outcome(VAGUE)
        if self._rivalled(candidate):
            return Outcome(RIVALLED)
        if not self._reads(draft, [hit.passage for hit in hits]):
            return Outcome(READ)
        answer = self.pipeline.answer(Question(draft.question, self.collection.name, (), self.top_k))
        if answer.abstained or not same_answer(answer.answer, draft.answer):
            return Outcome(ANSWERED)
        if not _is_supported(answer):
            return Outcome(UNSUPPORTED, answer.support)
        return Outcome(KEPT, answer.support)

    def without_its_document(self, candidate: Candidate) -> tuple[Passage, ...]:
        """The nearest passages of other documents, where they are near and lack the answer; else none.

        The reader must hold it likelier than not that they do, and none may hold the answer's words, nor a sentence
        that speaks of the same thing with half of them.
        """
        own = candidate.passage.document_id
        hits = [hit for hit in self._find(candidate.draft.question, _DEPTH) if hit.passage.document_id != own]
        hits = list(distinct(hits, self.top_k))
        passages = tuple(hit.passage for hit in hits)
        if not hits or max(hit.dense or 0.0 for hit in hits) < NEAR or self.pipeline.reader is None:
            return ()
        wanted = normalise(candidate.draft.answer)
        if wanted in ("yes", "no") or any(f" {wanted} " in f" {normalise(one.text)} " for one in passages):
            return ()
        if any(tells(sentence, candidate.draft) for one in passages for sentence in other_sentences(one, candidate)):
            return ()
        reading = self.pipeline.reader.read(candidate.draft.question, passages, n_best=1)
        return passages if reading.no_answer >= NO_ANSWER else ()

    def _rivalled(self, candidate: Candidate) -> bool:
        """Whether another sentence near the question gives another number of the same unit: "seven years"."""
        told = read_words(candidate.draft.answer).quantities
        if not told:
            return False
        asked = read_words(candidate.draft.question).stems
        for hit in self._find(candidate.draft.question, _DEPTH):
            for sentence in other_sentences(hit.passage, candidate):
                words = read_words(sentence)
                if len(asked & words.stems) >= RIVAL * len(asked) and differ(told, words.quantities):
                    return True
        return False

    def _find(self, question: str, k: int) -> Sequence[Hit]:
        return self.pipeline.retriever.find(question, self.collection, k).hits

    def _reads(self, draft: Draft, passages: Sequence[Passage]) -> bool:
        """Whether the reader's best span is the answer; "No" is no span, and without a reader nothing is read."""
        if self.pipeline.reader is None or draft.answer == "No":
            return True
        spans = self.pipeline.reader.read(draft.question, passages, n_best=1).spans
        return bool(spans) and same_answer(spans[0].text, draft.answer)


def is_vague(draft: Draft) -> bool:
    """Whether a question has too few words to say what it is about.

    One for a subject ("What may be kept in the corridor?") has only its predicate, and one for a reason leans on what
    went before, so they need more of them, or a name.
    """
    words = read_words(draft.question)
    if draft.rule not in ("subject", "reason") or words.names or words.numbers or _NAME.search(draft.question):
        return len(words.stems) < LEAST_WORDS
    return len(words.stems - _MODAL) < LEAST_WORDS_OF_A_PREDICATE


def holds(passage: Passage, candidate: Candidate) -> bool:
    """Whether a passage has the candidate's evidence: neighbouring passages may share a sentence."""
    own = candidate.passage
    first, last = own.start + candidate.start, own.start + candidate.end
    return passage.document_id == own.document_id and passage.start <= first and last <= passage.end


def other_sentences(passage: Passage, candidate: Candidate) -> Iterator[str]:
    """The sentences of a passage but for the candidate's evidence."""
    own = candidate.passage
    first, last = own.start + candidate.start - passage.start, own.start + candidate.end - passage.start
    for start, end in sentences(passage.text):
        if passage.document_id != own.document_id or end <= first or last <= start:
            yield passage.text[start:end]


def tells(sentence: str, draft: Draft) -> bool:
    """Whether a sentence speaks of what is asked and holds half of the answer's stems."""
    words = read_words(sentence).stems
    asked, told = read_words(draft.question).stems, read_words(draft.answer).stems
    return len(asked & words) >= RIVAL * len(asked) and 2 * len(told & words) >= len(told)


def differ(ours: frozenset[tuple[str, str]], theirs: frozenset[tuple[str, str]]) -> bool:
    """Whether two sets of (number, unit) share a unit but no quantity."""
    return not ours & theirs and not {unit for _, unit in ours}.isdisjoint(unit for _, unit in theirs)


def same_answer(said: str, gold: str) -> bool:
    """Whether two answers say the same: all numbers of ``gold``, and its words or the better part of both."""
    ours, theirs = normalise(said), normalise(gold)
    if not theirs or not read_words(gold).numbers <= read_words(said).numbers:
        return False
    if theirs in ("yes", "no"):
        return ours.split()[:1] == [theirs]
    within = f" {theirs} " in f" {ours} " and len(ours.split()) <= 3 * len(theirs.split()) + 8
    return within or token_f1(said, [gold]) >= SAME_F1


def _is_supported(answer: Answer) -> bool:
    return bool(answer.claims) and all(claim.verdict is Verdict.SUPPORTED for claim in answer.claims)
