"""Which answer stands: what the generator wrote, the reader's span, or none; and how probable it is right.

Both are checked claim by claim like any text and rated as answers (rag/answer_support.py). A short answer gives way to
the span where that is rated higher by the policy's margin; a refusal of the generator, or an answer that nothing
supports, is tried once more with the span where the reader is sure that there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from rag import answerable
from rag.answer_support import AnswerRater, Draft
from rag.answerable import Answerability
from rag.answers import normalise
from rag.generate import Piece
from rag.policy import Policy, refuse_after, replaceable
from rag.prompt import ParsedAnswer
from rag.reader import Reader, Reading
from rag.types import Claim, Passage

_NOTHING_READ = Reading(1.0)
_MARKER = "["

Check = Callable[[ParsedAnswer], tuple[Claim, ...]]


@dataclass(frozen=True, slots=True)
class Written:
    """What the generator wrote: parsed, and its pieces.

    ``nearest``: the best passage's cosine; ``turn``: whether the question is one of a conversation.
    """

    parsed: ParsedAnswer
    pieces: Sequence[Piece]
    nearest: float
    turn: bool = False

    @property
    def unanswerable(self) -> float | None:
        """The generator's probability that the passages lack the answer; None where it cannot tell."""
        return self.pieces[0].unanswerable if self.pieces else None

    @property
    def sure(self) -> tuple[float, ...]:
        """The probabilities of the answer's own tokens, without the marker of its passage; none of a refusal."""
        found: list[float] = []
        if self.parsed.refused:
            return ()
        for piece in self.pieces:
            if _MARKER in piece.text:
                break
            found.append(piece.probability)
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Choice:
    """An answer with its claims and its support in [0, 1]; ``reason`` says why it is withdrawn, "" that it stands.

    ``answerable``: the probability in (0, 1) that the passages answer; None where nothing tells.
    """

    parsed: ParsedAnswer
    claims: tuple[Claim, ...]
    support: float
    reason: str = ""
    answerable: float | None = None


@dataclass(frozen=True, slots=True)
class Chooser:
    """The parts of a choice; without a reader or a rater it does with what there is."""

    policy: Policy
    reader: Reader | None = None
    rater: AnswerRater | None = None
    answerability: Answerability | None = None

    def choose(self, asked: str, passages: Sequence[Passage], written: Written, check: Check) -> Choice:
        """The answer to ``asked``, the question made to stand by itself. ``check`` judges a text's claims."""
        reading = self._read(asked, passages)
        choice = self._better(written, reading, check)
        if self.answerability is None or not self._tells(written):
            return choice
        signals = answerable.features(asked, _own_draft(reading, written), passages)
        return replace(choice, answerable=self.answerability.probability(signals, written.turn))

    def signals(self, asked: str, passages: Sequence[Passage], written: Written) -> dict[str, float] | None:
        """What tells whether the passages answer, for fitting; None where nothing does."""
        if not self._tells(written):
            return None
        return answerable.features(asked, _own_draft(self._read(asked, passages), written), passages)

    def _tells(self, written: Written) -> bool:
        return self.reader is not None and written.unanswerable is not None

    def _better(self, written: Written, reading: Reading, check: Check) -> Choice:
        own = self._own(written, reading, check)
        if not self._second_tried(own, reading):
            return own
        span = ParsedAnswer(reading.spans[0].text, (), refused=False)
        if normalise(span.text) == normalise(own.parsed.text):
            return own
        second = self._rated(_draft(span, reading, written), span, check)
        needed = own.support + self.policy.read_over if not own.reason else 0.0
        return own if second.reason or second.support < needed else second

    def drafts(self, asked: str, passages: Sequence[Passage], written: Written, check: Check) -> Iterator[Draft]:
        """Everything that could be answered, with what is known of it: for fitting the ratings."""
        reading = self._read(asked, passages)
        texts = {written.parsed.text: written.parsed}
        if reading.spans:
            texts.setdefault(reading.spans[0].text, ParsedAnswer(reading.spans[0].text, (), refused=False))
        for parsed in texts.values():
            if not parsed.refused and (claims := check(parsed)):
                yield replace(_draft(parsed, reading, written), support=_least(claims))

    def _read(self, asked: str, passages: Sequence[Passage]) -> Reading:
        return self.reader.read(asked, passages, n_best=3) if self.reader is not None else _NOTHING_READ

    def _own(self, written: Written, reading: Reading, check: Check) -> Choice:
        if written.parsed.refused:
            return Choice(written.parsed, (), 0.0, refuse_after(written.parsed, (), None, self.policy))
        return self._rated(_own_draft(reading, written), written.parsed, check)

    def _rated(self, draft: Draft, parsed: ParsedAnswer, check: Check) -> Choice:
        claims = check(parsed)
        draft = replace(draft, support=_least(claims))
        rated = None if self.rater is None or self.reader is None else self.rater.rate(draft)
        reason = refuse_after(parsed, claims, rated, self.policy)
        return Choice(parsed, claims, draft.support if rated is None else rated, reason)

    def _second_tried(self, own: Choice, reading: Reading) -> bool:
        if not reading.spans:
            return False
        if own.reason:
            return reading.no_answer < self.policy.read_below
        return replaceable(own.parsed) and own.support + self.policy.read_over < 1


def _draft(parsed: ParsedAnswer, reading: Reading, written: Written) -> Draft:
    """The draft before it is checked."""
    return Draft(parsed.text, 0.0, reading, written.parsed.text, written.sure, written.unanswerable, written.nearest)


def _own_draft(reading: Reading, written: Written) -> Draft:
    return _draft(written.parsed, reading, written)


def _least(claims: Sequence[Claim]) -> float:
    return min((claim.support for claim in claims), default=0.0)
