"""A question turned so that its own passage does not answer it any more, as close to the real one as can be.

A name or a year in the question becomes another one of the passage's kind that the passage does not connect with the
answer, a word becomes its opposite, or the question asks for what is not so (train/twists.py). That is how people
write unanswerable questions, too.
"""

from __future__ import annotations

import random
import re

from train.sources import Unit, holds
from train.twists import NAME, YEAR, negated, opposed

_FIRST_YEAR, _LAST_YEAR = 1500, 2025
_NEGATIONS = 0.08  # of the questions; people ask so now and then
_FOREIGN = (
    "Maria Keller",
    "Oskar Lindqvist",
    "Tomsk",
    "Valparaiso",
    "Hartwell",
    "Northfield",
    "Bergmann",
    "Castellane",
    "Okonkwo",
    "Ridgeway",
)


def turned(question: str, unit: Unit, draw: random.Random) -> str:
    """The turned question, or "" where nothing in it can be turned."""
    ways = [_opposite, _other_year, _other_name]
    draw.shuffle(ways)
    if draw.random() < _NEGATIONS and (found := negated(question)):
        return found
    return next((found for way in ways if (found := way(question, unit, draw))), "")


def _opposite(question: str, unit: Unit, _draw: random.Random) -> str:
    return opposed(question, unit.text) or ""


def _other_year(question: str, unit: Unit, draw: random.Random) -> str:
    years = YEAR.findall(question)
    if not years:
        return ""
    old = draw.choice(years)
    shift = draw.choice([-40, -20, -11, -7, -3, 3, 7, 11, 20, 40])
    new = str(min(_LAST_YEAR, max(_FIRST_YEAR, int(old) + shift)))
    return "" if holds(unit.text, new) else question.replace(old, new, 1)


def _other_name(question: str, unit: Unit, draw: random.Random) -> str:
    names = [name for name in NAME.findall(question) if name.split()[0] not in ("The", "In", "I")]
    if not names:
        return ""
    old = draw.choice(names)
    wanted = len(old.split())
    inside = [name for name in NAME.findall(unit.text) if name not in question and not holds(old, name)]
    answers = " ".join(gold for ask in unit.asks for gold in (ask.answer, *ask.golds))
    fitting = [name for name in inside if len(name.split()) == wanted and not holds(answers, name)]
    fitting = fitting or [name for name in _FOREIGN if len(name.split()) == wanted and not holds(unit.text, name)]
    return re.sub(rf"\b{re.escape(old)}\b", draw.choice(fitting), question, count=1) if fitting else ""
