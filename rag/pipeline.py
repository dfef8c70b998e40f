"""Question -> Answer: retrieve, generate, verify, and stand by the answer or refuse.

`Pipeline.events` is the one way through; `Pipeline.answer` takes its last event. Each event is one step that a client
may show: passages first, then words as they are written, then each claim with its support, then the whole answer.
"""

from __future__ import annotations

import time
import uuid
from collections import abc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rag.answer_support import AnswerRater, Draft
from rag.answerable import Answerability
from rag.choose import Check, Chooser, Written
from rag.followup import standalone
from rag.generate import Generator, Piece
from rag.policy import REFUSAL, Policy, refuse_before
from rag.prompt import ParsedAnswer, Prompt, build_prompt, parse_answer
from rag.reader import Reader
from rag.retrieve import Found, Retriever
from rag.select import distinct, merged
from rag.sentences import sentences
from rag.types import (
    Answer,
    Citation,
    Claim,
    Hit,
    InvalidInput,
    ModelNames,
    NotFound,
    Page,
    Passage,
    Question,
    Timings,
    Usage,
)
from rag.verify import Judgement, Verifier

MAX_TOP_K = 50
NEVER = 2.0  # a refuse_at that no probability reaches
SPARE = 3  # hits beyond top_k, to take the place of those that repeat a better one


@dataclass(frozen=True, slots=True)
class PassagesFound:
    """The passages that will be read, before a word is written."""

    hits: tuple[Hit, ...]


@dataclass(frozen=True, slots=True)
class TextWritten:
    """The next piece of the answer, as the generator writes it; not verified yet."""

    text: str


@dataclass(frozen=True, slots=True)
class StillWriting:
    """Nothing new to show; given so that whoever reads can stop here."""


@dataclass(frozen=True, slots=True)
class ClaimChecked:
    """A sentence of the answer with its verdict."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class Answered:
    """The end: the whole answer, or the refusal."""

    answer: Answer


Event = PassagesFound | TextWritten | StillWriting | ClaimChecked | Answered


@dataclass(frozen=True, slots=True)
class Limits:
    """Token budgets of a prompt and an answer, and the longest question in characters."""

    passage_tokens: int = 600
    max_new_tokens: int = 96
    max_question_chars: int = 4000


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The stages of an answer, as rag/build.py put them together."""

    retriever: Retriever
    generator: Generator
    verifier: Verifier
    policy: Policy
    limits: Limits
    reader: Reader | None = None
    rater: AnswerRater | None = None
    answerability: Answerability | None = None

    def answer(self, question: Question) -> Answer:
        """The answer to ``question``. Raises InvalidInput, NotFound, EncoderChanged, StoreUnavailable."""
        for event in self.events(question):
            if isinstance(event, Answered):
                return event.answer
        raise AssertionError("events() ends with Answered")

    def events(self, question: Question) -> Iterator[Event]:
        """The steps of answering ``question`` from its collection; the last one is Answered."""
        check_question(question, self.limits)
        started = time.perf_counter()
        found = self._found(question, None)
        yield from self._read(question, found, _since(started))

    def events_from(self, question: Question, passages: Sequence[Passage]) -> Iterator[Event]:
        """The same from the nearest of the given passages, which need not be in the store."""
        check_question(question, self.limits)
        started = time.perf_counter()
        found = self._found(question, passages)
        yield from self._read(question, found, _since(started))

    def _found(self, question: Question, passages: Sequence[Passage] | None) -> Found:
        """The nearest of ``passages``, or, without any given, what the question's collection has."""
        asked, wanted = standalone(question), question.top_k + SPARE
        if passages is not None:
            return self.retriever.rank(asked, passages, wanted)
        collection = self.retriever.store.collections.get(question.collection)
        return self.retriever.find(asked, collection, wanted, question.where)

    def _read(self, question: Question, found: Found, total_ms: float) -> Iterator[Event]:
        hits = distinct(found.hits, question.top_k)
        answer = Answer(
            id=uuid.uuid4().hex,
            question=question.text,
            answer=REFUSAL,
            abstained=True,
            reason=refuse_before(hits, self.policy, found.answerable),
            support=0.0,
            answerable=found.answerable,
            passages=hits,
            timings_ms=Timings(retrieve=total_ms - found.rerank_ms, rerank=found.rerank_ms, total=total_ms),
            models=self.models(),
        )
        yield PassagesFound(hits)
        if not answer.reason:
            answer = yield from self._write(question, answer)
        yield Answered(answer)

    def _write(self, question: Question, answer: Answer) -> abc.Generator[Event, None, Answer]:
        started = time.perf_counter()
        prompt = self._prompt(question, answer.passages)
        pieces: list[Piece] = []
        for piece in self.generator.stream(prompt, self.limits.max_new_tokens, self.policy.refuse_at):
            pieces.append(piece)
            yield TextWritten(piece.text) if piece.text else StillWriting()
        written = _written(question, pieces, prompt, answer.passages)
        generate_ms = _since(started)
        started = time.perf_counter()
        choice = self.chooser.choose(standalone(question), prompt.passages, written, self._checks(question, prompt))
        for claim in choice.claims:
            yield ClaimChecked(claim)
        verify_ms = _since(started)
        timings = replace(answer.timings_ms, generate=generate_ms, verify=verify_ms)
        return replace(
            answer,
            answer=REFUSAL if choice.reason else choice.parsed.text,
            abstained=bool(choice.reason),
            reason=choice.reason,
            support=0.0 if choice.reason else choice.support,
            answerable=answer.answerable if choice.answerable is None else choice.answerable,
            unanswerable=written.unanswerable,
            claims=() if choice.reason else choice.claims,
            usage=self._usage(prompt, pieces),
            models=self.models(),  # once more: a generator elsewhere may have told its name only now
            timings_ms=replace(timings, total=timings.total + generate_ms + verify_ms),
        )

    def _usage(self, prompt: Prompt, pieces: Sequence[Piece]) -> Usage:
        read = max((piece.prompt_tokens for piece in pieces), default=0)
        return Usage(read or self.generator.prompt_tokens(prompt), sum(piece.tokens for piece in pieces))

    def drafts(self, question: Question, passages: Sequence[Passage] | None = None) -> Iterator[Draft]:
        """What could be answered, from the collection or from given ``passages``, the generator never stopped.

        For fitting the ratings (benchmarks/fit_answers.py). Raises what `answer` raises.
        """
        if hits := distinct(self._found(question, passages).hits, question.top_k):
            prompt, written = self._tried(question, hits, NEVER)
            yield from self.chooser.drafts(
                standalone(question), prompt.passages, written, self._checks(question, prompt)
            )

    def signals(self, question: Question, passages: Sequence[Passage]) -> dict[str, float] | None:
        """What tells whether ``passages`` answer, after an answer was tried; None where nothing does.

        For fitting that (benchmarks/fit_answered.py). Raises what `answer` raises.
        """
        hits = distinct(self._found(question, passages).hits, question.top_k)
        prompt, written = self._tried(question, hits, self.policy.refuse_at)
        return self.chooser.signals(standalone(question), prompt.passages, written)

    def _tried(self, question: Question, hits: Sequence[Hit], refuse_at: float) -> tuple[Prompt, Written]:
        prompt = self._prompt(question, hits)
        pieces = list(self.generator.stream(prompt, self.limits.max_new_tokens, refuse_at))
        return prompt, _written(question, pieces, prompt, hits)

    def _prompt(self, question: Question, hits: Sequence[Hit]) -> Prompt:
        passages = merged([hit.passage for hit in hits], self._text_of)
        return build_prompt(question, passages, self.limits.passage_tokens, self.generator.count_tokens)

    def _checks(self, question: Question, prompt: Prompt) -> Check:
        return lambda parsed: self.check(question.text, parsed, prompt.passages)

    def check(self, question: str, parsed: ParsedAnswer, passages: Sequence[Passage]) -> tuple[Claim, ...]:
        """Each sentence of the answer as a claim, judged against ``passages``, with citations by evidence."""
        spans = sentences(parsed.text)
        texts = [parsed.text[start:end] for start, end in spans]
        if not texts:
            return ()
        judgements = self.verifier.verify(texts, passages, question)
        pages = self._pages(passages)
        return tuple(
            Claim(
                text,
                start,
                end,
                judged.support,
                judged.verdict,
                _citations(judged, passages, pages),
                tuple((start + first, start + last) for first, last in judged.unsupported),
            )
            for text, (start, end), judged in zip(texts, spans, judgements, strict=True)
        )

    def _pages(self, passages: Sequence[Passage]) -> dict[str, tuple[Page, ...]]:
        paged = {passage.document_id for passage in passages if passage.page is not None}
        return self.retriever.store.documents.pages(paged)

    def _text_of(self, document_id: str) -> str | None:
        """None for passages that were given, or whose document was deleted since they were found."""
        try:
            return self.retriever.store.documents.get(document_id).text
        except NotFound:
            return None

    @property
    def chooser(self) -> Chooser:
        """What decides between the generator's answer and the reader's."""
        return Chooser(self.policy, self.reader, self.rater, self.answerability)

    def models(self) -> ModelNames:
        """Which model does which job."""
        encoder, reranker = self.retriever.encoder, self.retriever.reranker
        return ModelNames(
            generator=f"{self.generator.name}@{self.generator.fingerprint}",
            retriever=f"{encoder.name}@{encoder.fingerprint}",
            reranker=f"{reranker.name}@{reranker.fingerprint}" if reranker else "",
            verifier=f"{self.verifier.name}@{self.verifier.fingerprint}",
        )


def _written(question: Question, pieces: Sequence[Piece], prompt: Prompt, hits: Sequence[Hit]) -> Written:
    parsed = parse_answer("".join(piece.text for piece in pieces), len(prompt.passages))
    nearest = max((hit.dense for hit in hits if hit.dense is not None), default=0.0)
    return Written(parsed, pieces, nearest, bool(question.history))


def check_question(question: Question, limits: Limits) -> None:
    """Raises InvalidInput for a question that cannot be asked: empty, too long, a top_k out of range."""
    length = len(question.text)
    if not question.text.strip():
        raise InvalidInput("the question is empty; ask something in words")
    if not is_text(question.text):
        raise InvalidInput("the question holds half of a character (a lone surrogate); send it as UTF-8")
    if length > limits.max_question_chars:
        raise InvalidInput(
            f"the question has {length} characters, at most {limits.max_question_chars} are taken; shorten it, "
            "or ingest the long text and ask about it"
        )
    if not 1 <= question.top_k <= MAX_TOP_K:
        raise InvalidInput(f"top_k is {question.top_k}, it must be from 1 to {MAX_TOP_K}")


def is_text(value: str) -> bool:
    """Whether ``value`` can be written as UTF-8, as every store and every reply must."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _citations(
    judged: Judgement, passages: Sequence[Passage], pages: dict[str, tuple[Page, ...]]
) -> tuple[Citation, ...]:
    return tuple(
        Citation(
            document_id=passage.document_id,
            title=passage.title,
            uri=passage.uri,
            page=page_at(pages.get(passage.document_id, ()), passage.start + evidence.start),
            start=passage.start + evidence.start,
            end=passage.start + evidence.end,
            quote=passage.text[evidence.start : evidence.end],
            score=evidence.score,
        )
        for evidence in judged.evidence
        for passage in (passages[evidence.passage],)
    )


def page_at(pages: Sequence[Page], offset: int) -> int | None:
    """The number of the page that holds character ``offset``; None where the document has no pages."""
    return next((page.number for page in pages if page.start <= offset < page.end), None)


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000
