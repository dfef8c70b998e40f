"""Examples for the generator: passages, a question, and the answer with the number of its passage, or NO_ANSWER.

A group is a set of passages with all the questions asked of it, so that training reads the passages once. Its passages
are a unit and its nearest neighbours by shared words (mostly other paragraphs of the same page), in random order.
Unanswerable questions are of four kinds: asked of a near passage that is not shown and whose answer stands in none that
is shown; with a name, a year or a word such as "first" swapped for another; whose sentence was cut out of the passage;
unanswerable in the data file itself. Some passages are changed throughout (names, pronouns) or speak to the reader
(train/twists.py), and some questions are as typed into a search box. Everything follows from the seed.

    python -m train.recipes --train qa/train --dev qa/dev       counts and shares as JSON, and a few examples
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rag.prompt import NO_ANSWER
from rag.sentences import sentences
from rag.types import Passage, Question
from rag.words import read_words
from train.sources import SOURCES, Ask, Seen, Source, Unit, holds, read_dev, read_source
from train.turned import turned
from train.twists import NAME, YEAR, as_searched, opposed, pronouns_swapped, renamed, with_orders, without_answers

_PASSAGES = ((1, 0.38), (2, 0.24), (3, 0.24), (4, 0.08), (5, 0.06))
_NEAR = 8
_COMMON = 0.05  # a stem in more than this share of the passages says little of what they are about
_OWN_ASKS, _OTHER_ASKS, _MOST_ASKS = 6, 3, 11
_UNANSWERABLE = 0.18  # of the questions drawn; rows that are unanswerable by themselves come on top
_SWAPPED, _TURNED = 0.40, 0.5  # of the spans, and of those; some have nothing to swap
_CUT_ONE, _CUT_MORE = 0.10, 0.30  # of the units with one question, and with several
_RENAMED, _PRONOUNS, _ORDERS = 0.05, 0.03, 0.03  # of the units
_SENTENCE, _LONGEST_SENTENCE = 0.03, 240  # of the spans; characters
_SEARCHED = 0.25  # of the questions, refusals as well
_IN_A_SENTENCE = " Answer in a full sentence."


@dataclass(frozen=True, slots=True)
class Example:
    """One question over its passages. ``kind``: span, yes/no, long, sentence; absent, swapped, cut, untold (refuse).

    ``answer`` ends with the number of the gold passage, " [2]", or is NO_ANSWER. ``gold`` is the index of that passage,
    -1 where the passages do not tell.
    """

    id: str
    source: str
    kind: str
    question: Question
    passages: tuple[Passage, ...]
    answer: str
    gold: int


Group = tuple[Example, ...]


def make_groups(
    train: Path, dev: Path, seed: int, sources: Sequence[Source] = SOURCES
) -> tuple[list[Group], dict[str, Any]]:
    """Groups in training order, and what they were made of: seed, rows, questions and shares by kind and source.

    Raises InvalidInput for a data file that is missing or cannot be read.
    """
    seen = read_dev(dev)
    groups: list[Group] = []
    rows: dict[str, dict[str, int]] = {}
    for source in sources:
        counts: Counter[str] = Counter()
        made = source_groups(train, source, seen, counts, seed)
        groups += made
        rows[source.name] = {**counts, "groups": len(made), "examples": sum(map(len, made))}
    random.Random(f"{seed} order").shuffle(groups)
    return groups, {"seed": seed, "sources": rows, **describe(groups)}


def source_groups(folder: Path, source: Source, seen: Seen, counts: Counter[str], seed: int) -> list[Group]:
    """The groups of one data file."""
    draw = random.Random(f"{seed} {source.name}")
    units = read_source(folder, source, seen, counts)
    draw.shuffle(units)
    nearest = strangers(units, draw) if source.alike else Neighbours(units).of
    groups: list[Group] = []
    spent: set[str] = set()
    taken = 0
    for number, unit in enumerate(units):
        if source.questions and taken >= source.questions:
            break
        if any(ask.id not in spent for ask in unit.asks):
            group = _group(unit, [units[place] for place in nearest(number)], source, spent, draw)
            taken += sum(example.gold >= 0 for example in group)
            groups.append(group)
    return [group for group in groups if group]


def describe(groups: Sequence[Group]) -> dict[str, Any]:
    """Counts of ``groups`` and shares of kinds and numbers of passages."""
    examples = [example for group in groups for example in group]
    total = max(1, len(examples))
    kinds = Counter(example.kind for example in examples)
    passages = Counter(len(example.passages) for example in examples)
    return {
        "groups": len(groups),
        "examples": len(examples),
        "kinds": {kind: round(count / total, 4) for kind, count in sorted(kinds.items())},
        "unanswerable": round(sum(example.gold < 0 for example in examples) / total, 4),
        "passages": {str(size): round(count / total, 4) for size, count in sorted(passages.items())},
    }


class Neighbours:
    """Which units speak of the same things: by stems they share, rare ones weighing more (idf), best first."""

    def __init__(self, units: Sequence[Unit]) -> None:
        self._units = units
        self._stems = [read_words(f"{unit.title}\n{unit.text}").stems for unit in units]
        self._places: dict[str, list[int]] = {}
        for number, stems in enumerate(self._stems):
            for stem in stems:
                self._places.setdefault(stem, []).append(number)
        self._common = max(30, _COMMON * len(units))

    def of(self, number: int) -> list[int]:
        """The nearest other units, of other paragraphs than its own."""
        unit = self._units[number]
        scores: defaultdict[int, float] = defaultdict(float)
        asked = frozenset().union(*(read_words(ask.text).stems for ask in unit.asks))
        for stem in sorted(asked | read_words(unit.title).stems):
            places = self._places.get(stem, ())
            weight = math.log(len(self._units) / (1 + len(places)))
            if 0 < len(places) <= self._common:
                for place in places:
                    scores[place] += weight / math.sqrt(len(self._stems[place]))
        ranked = sorted(scores, key=lambda place: (-scores[place], place))
        return [place for place in ranked if self._units[place].paragraph != unit.paragraph][:_NEAR]


def strangers(units: Sequence[Unit], draw: random.Random) -> Callable[[int], list[int]]:
    """Random units of other pages, for questions that a neighbour might answer as well."""

    def nearest(number: int) -> list[int]:
        picks = draw.sample(range(len(units)), min(_NEAR, len(units)))
        own = units[number]
        return [
            place
            for place in picks
            if units[place].paragraph != own.paragraph and (not own.title or units[place].title != own.title)
        ]

    return nearest


def _group(unit: Unit, near: Sequence[Unit], source: Source, spent: set[str], draw: random.Random) -> Group:
    size = draw.choices([size for size, _ in _PASSAGES], [weight for _, weight in _PASSAGES])[0]
    unit = _twisted(unit, near, source, draw)
    chosen = [unit, *_distinct(near, size - 1)]
    draw.shuffle(chosen)
    passages = tuple(_passage(one) for one in chosen)
    if draw.random() < _ORDERS:
        place = draw.randrange(len(passages))
        spoken = with_orders(passages[place].text, draw)
        passages = (*passages[:place], replace(passages[place], text=spoken, end=len(spoken)), *passages[place + 1 :])
    examples = [
        example
        for one in sorted(chosen, key=lambda one: one is not unit)
        for ask in _fresh(one, spent, _OWN_ASKS if one is unit else _OTHER_ASKS, draw)
        if (example := _answered(ask, one, chosen, passages, draw))
    ][:_MOST_ASKS]
    spent.update(example.id for example in examples)
    if not source.alike:
        hidden = [one for one in near if all(one.paragraph != shown.paragraph for shown in chosen)]
        examples += _absent(hidden, chosen, passages, examples, draw)
        examples += _swapped(hidden, chosen, passages, examples, draw)
    draw.shuffle(examples)
    return tuple(_searched(example, draw) for example in examples)


def _searched(example: Example, draw: random.Random) -> Example:
    """``example``, or the same with its question as typed into a search box; not within a conversation."""
    question = example.question
    if question.history or example.kind == "sentence" or draw.random() >= _SEARCHED:
        return example
    return replace(example, question=replace(question, text=as_searched(question.text)))


def _twisted(unit: Unit, near: Sequence[Unit], source: Source, draw: random.Random) -> Unit:
    """``unit``, or for some of them what train/twists.py makes of it."""
    chance = draw.random()
    if not source.alike and chance < (_CUT_ONE if len(unit.asks) == 1 else _CUT_MORE):
        return without_answers(unit, draw) or unit
    chance = draw.random()
    if chance < _RENAMED:
        return renamed(unit, near, draw) or unit
    if chance < _RENAMED + _PRONOUNS:
        return pronouns_swapped(unit) or unit
    return unit


def _distinct(near: Sequence[Unit], count: int) -> list[Unit]:
    kept: dict[str, Unit] = {}
    for unit in near:
        kept.setdefault(unit.paragraph, unit)
    return list(kept.values())[:count]


def _fresh(unit: Unit, spent: set[str], most: int, draw: random.Random) -> list[Ask]:
    asks = [ask for ask in unit.asks if ask.id not in spent]
    return draw.sample(asks, min(most, len(asks)))


def _answered(
    ask: Ask, unit: Unit, chosen: Sequence[Unit], passages: tuple[Passage, ...], draw: random.Random
) -> Example | None:
    """The example of a question whose unit is shown; None where another passage shown holds its answer too."""
    others = [one for one in chosen if one is not unit]
    if not ask.answer:
        if any(holds(other.text, gold) for other in others for gold in ask.golds):
            return None
        return _example(ask, unit.source, ask.missing, passages, -1)
    if ask.answer in ("Yes", "No"):
        kind = "yes/no"
    else:
        kind = "span" if ask.answer in unit.text and len(ask.answer.split()) <= 12 else "long"
        if any(holds(other.text, ask.answer) for other in others):
            return None
        if kind == "span" and draw.random() < _SENTENCE and (whole := _sentence(unit.text, ask.answer)):
            kind, ask = "sentence", replace(ask, text=ask.text + _IN_A_SENTENCE, answer=whole)
    return _example(ask, unit.source, kind, passages, chosen.index(unit))


def _sentence(text: str, answer: str) -> str:
    """The sentence of ``text`` that holds ``answer``, "" where it is long or there are several."""
    found = [text[start:end] for start, end in sentences(text) if answer in text[start:end]]
    return found[0] if len(found) == 1 and len(found[0]) <= _LONGEST_SENTENCE else ""


def _absent(
    hidden: Sequence[Unit],
    chosen: Sequence[Unit],
    passages: tuple[Passage, ...],
    examples: Sequence[Example],
    draw: random.Random,
) -> Iterator[Example]:
    """Questions of units that are near but not shown, and whose answers stand nowhere in what is shown."""
    wanted = _count(len(examples) * _UNANSWERABLE / (1 - _UNANSWERABLE - _SWAPPED), draw)
    texts = [f"{one.title}\n{one.text}" for one in chosen]
    for unit in hidden:
        asks = [ask for ask in unit.asks if ask.answer and not any(holds(t, gold) for t in texts for gold in ask.golds)]
        if wanted > 0 and asks:
            yield _example(draw.choice(asks), unit.source, "absent", passages, -1)
            wanted -= 1


def _swapped(
    hidden: Sequence[Unit],
    chosen: Sequence[Unit],
    passages: tuple[Passage, ...],
    examples: Sequence[Example],
    draw: random.Random,
) -> Iterator[Example]:
    """Questions that ask for another name or year than the passages tell of, or for the opposite.

    As annotators made SQuAD 2.0's: about what the passages do not speak of, or about something else in them
    (train/turned.py).
    """
    shown = "\n".join(f"{passage.title}\n{passage.text}" for passage in passages)
    for example in examples:
        if example.kind == "span" and draw.random() < _SWAPPED:
            asked, unit = example.question.text, chosen[example.gold]
            text = turned(asked, unit, draw) if draw.random() < _TURNED else ""
            if text := text or swapped_question(asked, shown, hidden, draw) or turned(asked, unit, draw):
                ask = Ask(f"{example.id}-swapped", text, "", (), example.question.history)
                yield _example(ask, example.source, "swapped", passages, -1)


def swapped_question(question: str, shown: str, hidden: Sequence[Unit], draw: random.Random) -> str | None:
    """``question`` about a name or a year of ``hidden``, or about the opposite, which ``shown`` does not speak of."""
    for pattern in (NAME, YEAR):
        there = [name for name in pattern.findall(question) if name in shown]
        others = [name for one in hidden for name in pattern.findall(one.text) if not holds(shown, name)]
        if there and others:
            return question.replace(draw.choice(there), draw.choice(others))
    return opposed(question, shown)


def _count(mean: float, draw: random.Random) -> int:
    return int(mean) + (draw.random() < mean - int(mean))


def _example(ask: Ask, source: str, kind: str, passages: tuple[Passage, ...], gold: int) -> Example:
    answer = NO_ANSWER if gold < 0 else f"{ask.answer} [{gold + 1}]"
    return Example(ask.id, source, kind, Question(ask.text, history=ask.history), passages, answer, gold)


def _passage(unit: Unit) -> Passage:
    return Passage(0, unit.paragraph, unit.title, unit.paragraph, 0, len(unit.text), unit.text, unit.title)


def main() -> None:
    """Prints what the recipes make of a data folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True, help="folder of question files to train on")
    parser.add_argument("--dev", type=Path, required=True, help="folder of question files that must not be trained on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=3, help="groups to show")
    options = parser.parse_args()
    groups, report = make_groups(options.train, options.dev, options.seed)
    shown = [asdict(example) for group in groups[: options.show] for example in group]
    sys.stdout.write(json.dumps({**report, "shown": shown}, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
