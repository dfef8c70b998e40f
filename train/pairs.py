"""Questions with gold answers -> claims with labels, for the verifiers: right answers, and wrong ones hard to tell.

    python -m train.pairs data/qa/dev/nq_oracle.jsonl.gz --out pairs.jsonl --limit 1000

Each row gives a supported pair (question, gold answer, its passage) and one that is not, by turns:
    same passage    the gold answer of another question on the passage, or another span of it, of the same kind
                    (number, name, other)
    other answer    the gold answer, of the same kind, of another row
    other passage   the right answer on a passage that does not hold it, of the same title where there is one
A wrong answer shares no word stem with any gold answer. "yes" and "no" are swapped. The lines are those of a claims
file with "question", so that `eval claims` measures on them too.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from rag.datafiles import ClaimRow, Label, QaRow, SourceText
from rag.words import read_words
from train.claims_file import write_claims

_TRIES = 40
SPANS = {
    "number": re.compile(r"(?:[A-Z][a-z]+ )?\d[\d,.]*\d(?:, \d{4})?|\d+"),
    "name": re.compile(r"[A-Z][\w'’-]+(?: (?:of |the |de |van )?[A-Z][\w'’-]+)*"),
    "other": re.compile(r"(?<=\bthe )[a-z]+(?: [a-z]+)?|(?<=\ba )[a-z]+(?: [a-z]+)?"),
}
_SPACE_BEFORE = re.compile(r"\s+([,.;:!?%)\]])")
_SPACE_AFTER = re.compile(r"([(\[])\s+")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with one gold answer, all of them, and the one passage that holds it."""

    row: QaRow
    answer: str
    passage: SourceText


def make_pairs(rows: Sequence[QaRow], seed: int) -> list[ClaimRow]:
    """Two claims a usable row, one supported and one not; the same rows and seed give the same claims.

    Rows are skipped where unanswerable, where no single passage holds a gold answer (yes and no excepted), and where
    no wrong answer is found.
    """
    draw = random.Random(seed)
    asked = [found for row in rows if (found := _locate(row)) is not None]
    pools: dict[str, list[Asked]] = defaultdict(list)
    for one in asked:
        pools[answer_kind(one.answer)].append(one)
        pools[f"title {one.passage.title}"].append(one)
        pools[f"text {one.passage.text}"].append(one)
    pairs = []
    for number, one in enumerate(asked):
        wrong = _wrong(one, pools, draw, number)
        if wrong is not None:
            text, how, passage = wrong
            pairs.append(_claim(one, "gold", one.answer, one.passage, Label.SUPPORTED))
            pairs.append(_claim(one, how, text, passage, Label.NOT_SUPPORTED))
    return pairs


def answer_kind(answer: str) -> str:
    """ "yes/no", "number", "name" or "other": wrong answers are drawn from the same kind."""
    if answer.lower() in ("yes", "no"):
        return "yes/no"
    if any(character.isdigit() for character in answer):
        return "number"
    return "name" if answer[:1].isupper() else "other"


def tidy(text: str) -> str:
    """Joins punctuation that a tokeniser split off: "word , ( so )" becomes "word, (so)"."""
    text = text.replace("`` ", '"').replace(" ''", '"').replace("-LRB-", "(").replace("-RRB-", ")")
    return _SPACE_AFTER.sub(r"\1", _SPACE_BEFORE.sub(r"\1", text))


def _locate(row: QaRow) -> Asked | None:
    if not row.answerable:
        return None
    passages = [SourceText(passage.title, tidy(passage.text)) for passage in row.passages]
    for answer in map(tidy, row.answers):
        if answer_kind(answer) == "yes/no" and len(passages) == 1:
            return Asked(row, answer, passages[0])
        if holding := [passage for passage in passages if _holds(passage.text, answer)]:
            return Asked(row, answer, holding[0])
    return None


def _wrong(
    one: Asked, pools: dict[str, list[Asked]], draw: random.Random, turn: int
) -> tuple[str, str, SourceText] | None:
    kind = answer_kind(one.answer)
    if kind == "yes/no":
        return ("no" if one.answer.lower() == "yes" else "yes"), "swapped", one.passage
    if turn % 3 == 2:
        near = [other.passage for other in pools[f"title {one.passage.title}"] if one.passage.title]
        far = [draw.choice(pools[kind]).passage for _ in range(_TRIES)]
        passages = (passage for passage in (*draw.sample(near, len(near)), *far) if not _holds_any(passage.text, one))
        passage = next(passages, None)
        return None if passage is None else (one.answer, "other-passage", passage)
    if turn % 3 == 0 and (span := _wrong_span(one, kind, pools[f"text {one.passage.text}"], draw)):
        return span, "same-passage", one.passage
    others = (draw.choice(pools[kind]).answer for _ in range(_TRIES))
    answer = next((other for other in others if _differs(other, one) and not _holds(one.passage.text, other)), None)
    return None if answer is None else (answer, "other-answer", one.passage)


def _wrong_span(one: Asked, kind: str, neighbours: Sequence[Asked], draw: random.Random) -> str:
    golds = [other.answer for other in neighbours if answer_kind(other.answer) == kind]
    spans = sorted(set(SPANS[kind].findall(one.passage.text)))
    ordered = [*draw.sample(golds, len(golds)), *draw.sample(spans, len(spans))]
    return next((span for span in ordered if _differs(span, one)), "")


def _differs(answer: str, one: Asked) -> bool:
    """Whether the answer shares no stem with a gold answer and does not merely repeat the question."""
    stems = read_words(answer).stems
    golds = [read_words(gold).stems for gold in one.row.answers]
    return bool(stems) and not any(stems & gold for gold in golds) and not stems <= read_words(one.row.question).stems


def _holds(text: str, answer: str) -> bool:
    line = _line(answer)
    return bool(line.strip()) and line in _line(text)


@lru_cache(maxsize=20_000)
def _line(text: str) -> str:
    return read_words(text).line


def _holds_any(text: str, one: Asked) -> bool:
    return any(_holds(text, tidy(answer)) for answer in one.row.answers)


def _claim(one: Asked, how: str, text: str, passage: SourceText, label: Label) -> ClaimRow:
    return ClaimRow(f"{one.row.id}-{how}", one.row.dataset, passage.text, text, label, one.row.question)


if __name__ == "__main__":
    write_claims(__doc__, make_pairs)
