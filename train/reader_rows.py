"""Examples for the reader: a question, a passage, and the span that answers it, or none.

Spans are those of the question files whose answer stands in the passage word for word; where it stands several times,
the place whose sentence shares most with the question. Unanswerable ones are made as for the generator
(train/recipes.py): a near question whose answer is not in the passage, a name, year or word swapped in the question,
the sentence with the answer cut out (train/twists.py), and those that the data calls so. Some passages are renamed
throughout or speak to the reader. Everything follows from the seed.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rag.pair_tokens import Pair, PairTokenizer
from rag.reader import MAX_ANSWER, MAX_QUESTION, MAX_TOKENS
from rag.sentences import sentences
from rag.words import read_words
from train.encoder_rows import EncoderRows
from train.recipes import Neighbours, strangers, swapped_question
from train.sources import Ask, Seen, Source, Unit, holds, read_dev, read_source
from train.turned import turned
from train.twists import as_searched, renamed, with_orders, without_answers

_LONG = 1300  # characters; with a question, about what a row holds
SOURCES = (
    Source("squad", window=_LONG),
    Source("squad_dev_a", window=_LONG),
    Source("qed", tokenised=True, window=_LONG),
    Source("squadshifts_newwiki", window=_LONG),
    Source("squadshifts_amazon", 7000, alike=True, window=_LONG),
    Source("qamr", 12000, tokenised=True),
    Source("policyqa", alike=True, window=_LONG),
    Source("fairytaleqa", 5000, alike=True, window=_LONG),
    Source("doc2dial", 1500, alike=True, window=_LONG),
    Source("wikitablequestions", 1200, alike=True, window=_LONG),
)
_ABSENT = 0.30  # unanswerable ones a span, of a near passage's questions
_SWAPPED, _TURNED = 0.60, 0.5  # of the spans, and of those; some have nothing to swap
_CUT = 0.25  # of the units
_RENAMED, _ORDERS = 0.06, 0.03  # of the units
_SEARCHED = 0.25  # of the questions are as typed into a search box
NONE = (0, 0)


@dataclass(frozen=True, slots=True)
class ReaderExample:
    """``start`` and ``end`` are characters of ``passage``; both 0 where it does not tell. ``kind``: span or why not."""

    source: str
    kind: str
    question: str
    passage: str
    start: int = 0
    end: int = 0


def make_rows(
    data: Path, tokenizer: PairTokenizer, seed: int, most: int, without: Sequence[str] = ()
) -> tuple[EncoderRows, dict[str, Any]]:
    """Rows of ``data``/qa/train without what ``data``/qa/dev holds, and counts by source and kind.

    ``most``: most questions of a source (0: the recipe's). ``without``: kinds to leave out
    (ReaderExample). Raises InvalidInput for data that is not there.
    """
    seen = read_dev(data / "qa" / "dev")
    examples: list[ReaderExample] = []
    report: dict[str, Any] = {"seed": seed, "sources": {}}
    for source in SOURCES:
        counts: Counter[str] = Counter()
        limited = replace(source, questions=min(most or 10**9, source.questions or 10**9))
        made = source_examples(data / "qa" / "train", limited, seen, counts, seed)
        examples += made
        report["sources"][source.name] = {**counts, **Counter(example.kind for example in made)}
    examples = [example for example in examples if example.kind not in without]
    random.Random(f"{seed} order").shuffle(examples)
    draw = random.Random(f"{seed} searched")
    examples = [
        replace(example, question=as_searched(example.question)) if draw.random() < _SEARCHED else example
        for example in examples
    ]
    rows = [row for example in examples if (row := to_row(example, tokenizer)) is not None]
    report["kinds"] = Counter(example.kind for example in examples)
    return EncoderRows.pack(rows), report


def source_examples(folder: Path, source: Source, seen: Seen, counts: Counter[str], seed: int) -> list[ReaderExample]:
    """The examples of one data file, at most ``source.questions`` of them spans."""
    draw = random.Random(f"{seed} reader {source.name}")
    units = read_source(folder, source, seen, counts)
    draw.shuffle(units)
    nearest = strangers(units, draw) if source.alike else Neighbours(units).of
    examples: list[ReaderExample] = []
    spans = 0
    for number, unit in enumerate(units):
        if spans >= source.questions:
            break
        if unit.asks:
            made = list(_of_unit(unit, [units[place] for place in nearest(number)], source, draw))
            spans += sum(example.kind == "span" for example in made)
            examples += made
    return examples


def _of_unit(unit: Unit, near: Sequence[Unit], source: Source, draw: random.Random) -> Iterator[ReaderExample]:
    unit = _twisted(unit, near, source, draw)
    shown = with_orders(unit.text, draw) if draw.random() < _ORDERS else unit.text
    answered = 0
    for ask in unit.asks:
        if not ask.answer:
            yield ReaderExample(unit.source, ask.missing, _asked(ask), shown)
        elif (spot := locate(shown, ask)) is not None:
            answered += 1
            yield ReaderExample(unit.source, "span", _asked(ask), shown, *spot)
            hidden = [one for one in near if one.paragraph != unit.paragraph]
            if not source.alike and draw.random() < _SWAPPED and (other := _swapped(ask, unit, hidden, draw)):
                yield ReaderExample(unit.source, "swapped", other, shown)
    if not source.alike:
        yield from _absent(unit, near, shown, answered * _ABSENT, draw)


def _twisted(unit: Unit, near: Sequence[Unit], source: Source, draw: random.Random) -> Unit:
    if not source.alike and draw.random() < _CUT:
        return without_answers(unit, draw) or unit
    if draw.random() < _RENAMED:
        return renamed(unit, near, draw) or unit
    return unit


def _absent(
    unit: Unit, near: Sequence[Unit], shown: str, wanted: float, draw: random.Random
) -> Iterator[ReaderExample]:
    """Questions of near passages whose answers do not stand in ``shown``."""
    left = int(wanted) + (draw.random() < wanted - int(wanted))
    text = f"{unit.title}\n{shown}"
    for one in near:
        asks = [
            ask
            for ask in one.asks
            if ask.answer not in ("", "Yes", "No") and not any(holds(text, gold) for gold in (ask.answer, *ask.golds))
        ]
        if left > 0 and asks and one.paragraph != unit.paragraph:
            yield ReaderExample(unit.source, "absent", _asked(draw.choice(asks)), shown)
            left -= 1


def _swapped(ask: Ask, unit: Unit, hidden: Sequence[Unit], draw: random.Random) -> str:
    text = turned(_asked(ask), unit, draw) if draw.random() < _TURNED else ""
    return text or swapped_question(_asked(ask), f"{unit.title}\n{unit.text}", hidden, draw) or ""


def _asked(ask: Ask) -> str:
    """The question, after the user's last words where it follows up on a conversation, as a search is made of it."""
    earlier = [turn.text for turn in ask.history if turn.role == "user"]
    return f"{earlier[-1]} {ask.text}" if earlier else ask.text


def locate(text: str, ask: Ask) -> tuple[int, int] | None:
    """The characters of the answer: whole words, in the sentence that shares most with the question; None without."""
    if ask.answer in ("Yes", "No"):
        return None
    found = [spot.span() for spot in re.finditer(rf"(?<!\w){re.escape(ask.answer)}(?!\w)", text)]
    if len(found) <= 1:
        return found[0] if found else None
    wanted = read_words(ask.text).stems
    spans = sentences(text)

    def shared(spot: tuple[int, int]) -> int:
        around = next((text[start:end] for start, end in spans if start <= spot[0] < end), "")
        return len(read_words(around).stems & wanted)

    return max(found, key=lambda spot: (shared(spot), -spot[0]))


def to_row(example: ReaderExample, tokenizer: PairTokenizer) -> tuple[Pair, tuple[int, int], float] | None:
    """The row of an example, (first, last) token as targets; None where its answer does not fit the row."""
    asked, passage = tokenizer.read([example.question, example.passage])
    asked = asked.cut(max(0, len(asked) - MAX_QUESTION), len(asked))
    room = MAX_TOKENS - len(asked) - 3
    if not len(asked) or not len(passage):
        return None
    if not example.end:
        return tokenizer.pair(asked.ids, asked.ids[:0], passage.cut(0, room).ids), NONE, 1.0
    inside = (passage.spans[:, 1] > example.start) & (passage.spans[:, 0] < example.end)  # (T,)
    first, last = int(inside.argmax()), len(inside) - 1 - int(inside[::-1].argmax())
    if not inside.any() or last - first >= MAX_ANSWER:
        return None
    begin = max(0, min(last + 1 - room // 2, len(passage) - room)) if last >= room else 0
    part = passage.cut(begin, begin + room)
    pair = tokenizer.pair(asked.ids, asked.ids[:0], part.ids)
    return pair, (pair.second_at + first - begin, pair.second_at + last - begin), 1.0
