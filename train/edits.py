"""Passages -> claims with labels, for the verifiers: a sentence of the passage, and the same with one thing made wrong.

    python -m train.edits data/qa/dev/squad2.jsonl.gz --out edits.jsonl --limit 300

What a generator copies is right until it changes a detail, and found claim sets hold few such slips. By turns:
    number      one number becomes another of the same length
    name        one name becomes another of the passage, or of another passage
    negation    "not" put in after an auxiliary verb, or taken out
    other       a sentence of another passage, of the same title where there is one
The supported claim of each pair is the sentence whole, or by turns without its part after the last comma.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rag.datafiles import ClaimRow, Label, QaRow
from rag.sentences import sentences
from rag.words import read_words
from train.claims_file import write_claims
from train.pairs import SPANS, tidy

_WORDS = (6, 40)
_AUXILIARY = re.compile(r"\b(is|are|was|were|has|have|had|can|will|would|may|must|should|could|did|does|do)\b")
_NOT = re.compile(r"(?: not|n't)\b")
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Source:
    """A passage, one sentence of it, and the row that it comes from."""

    row: QaRow
    passage: str
    sentence: str


def make_edits(rows: Sequence[QaRow], seed: int) -> list[ClaimRow]:
    """Two claims for each passage that has a sentence of 6 to 40 words; the same rows and seed give the same claims."""
    draw = random.Random(seed)
    sources = _sources(rows, draw)
    titles: dict[str, list[Source]] = defaultdict(list)
    for source in sources:
        titles[source.row.passages[0].title].append(source)
    claims = []
    for turn, source in enumerate(sources):
        others = [other for other in titles[source.row.passages[0].title] if other.row.passages[0].title] + sources
        how, wrong = _edit(source, others, draw, turn)
        if wrong:
            right = source.sentence.rpartition(",")[0] if turn % 2 else source.sentence
            right = right if len(right.split()) >= _WORDS[0] else source.sentence
            claims.append(_claim(source, "copy", right, Label.SUPPORTED))
            claims.append(_claim(source, how, wrong, Label.NOT_SUPPORTED))
    return claims


def other_number(sentence: str, _others: Sequence[str], draw: random.Random) -> str:
    """One number with another of as many digits in its place; "" without a number."""
    found = list(_NUMBER.finditer(sentence))
    if not found:
        return ""
    chosen = draw.choice(found)
    digits = len(chosen[0])
    low, high = (10 ** (digits - 1) if digits > 1 else 0), 10**digits - 1
    number = str(draw.choice([int(chosen[0]) - draw.randint(1, 9), int(chosen[0]) + draw.randint(1, 9)]))
    if not low <= int(number) <= high:
        number = str(low + high - int(chosen[0]))
    return f"{sentence[: chosen.start()]}{number}{sentence[chosen.end() :]}"


def other_name(sentence: str, others: Sequence[str], draw: random.Random) -> str:
    """One name after the first word with another in its place; "" where either is missing."""
    found = [name for name in SPANS["name"].finditer(sentence) if name.start() > 0]
    if not found:
        return ""
    chosen = draw.choice(found)
    stems = read_words(sentence).stems
    names = [name for text in others for name in SPANS["name"].findall(text[1:])]
    fresh = [name for name in names if read_words(name).stems and not read_words(name).stems & stems]
    return f"{sentence[: chosen.start()]}{draw.choice(fresh)}{sentence[chosen.end() :]}" if fresh else ""


def negated(sentence: str, _others: Sequence[str], _draw: random.Random) -> str:
    """Without its "not", or with one after its first auxiliary verb; "" without either, or negated otherwise."""
    if _NOT.search(sentence):
        return _NOT.sub("", sentence, count=1)
    if read_words(sentence).negated or not _AUXILIARY.search(sentence):
        return ""
    return _AUXILIARY.sub(r"\1 not", sentence, count=1)


_EDITS: tuple[tuple[str, Callable[[str, Sequence[str], random.Random], str]], ...] = (
    ("number", other_number),
    ("name", other_name),
    ("negation", negated),
)


def _edit(source: Source, others: Sequence[Source], draw: random.Random, turn: int) -> tuple[str, str]:
    """Name of the edit and the wrong claim; falls through to the next kind where a sentence has nothing to edit."""
    texts = [source.passage, *(other.passage for other in draw.sample(others, min(3, len(others))))]
    for step in range(len(_EDITS) + 1):
        kind = (turn + step) % (len(_EDITS) + 1)
        if kind == len(_EDITS):
            away = (other.sentence for other in others if other.sentence not in source.passage)
            return "other", next(away, "")
        name, edit = _EDITS[kind]
        if wrong := edit(source.sentence, texts, draw):
            return name, wrong
    return "", ""


def _sources(rows: Sequence[QaRow], draw: random.Random) -> list[Source]:
    """One sentence of each distinct first passage, in order of the rows."""
    found: dict[str, Source] = {}
    for row in rows:
        passage = tidy(row.passages[0].text) if row.passages else ""
        if passage in found:
            continue
        texts = [passage[start:end] for start, end in sentences(passage)]
        if fitting := [text for text in texts if _WORDS[0] <= len(text.split()) <= _WORDS[1]]:
            found[passage] = Source(row, passage, draw.choice(fitting))
    return list(found.values())


def _claim(source: Source, how: str, text: str, label: Label) -> ClaimRow:
    return ClaimRow(f"{source.row.id}-{how}", f"{source.row.dataset}-edits", source.passage, text, label)


if __name__ == "__main__":
    write_claims(__doc__, make_edits)
