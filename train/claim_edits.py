"""One thing made wrong in a right claim, with the characters that are wrong: what the verifier learns to see and mark.

    number, name, negation   as in train/edits.py          date    another month or day of the week
    unit      another unit, or thousand for million        compare "more" for "less", "first" for "last", "all" for "no"
    roles     two names change places                      partial a right sentence, and a wrong one after it

A negation, number, date, unit or comparison says the contrary of the passage; another name or other roles are only
"not supported": the passage need not rule them out.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rag.datafiles import Label
from train.edits import negated, other_name, other_number
from train.twists import NAME

MONTHS = "January February March April May June July August September October November December".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
_DATE = re.compile(rf"\b(?:{'|'.join([*MONTHS, *DAYS])})\b")
_UNITS = (
    *(("kilometres", "metres"), ("miles", "kilometres"), ("feet", "metres"), ("km", "m"), ("kg", "g"), ("mg", "g")),
    *(("hours", "minutes"), ("days", "weeks"), ("months", "years"), ("million", "billion"), ("thousand", "million")),
    *(("percent", "per thousand"), ("years", "days"), ("pounds", "ounces"), ("tons", "pounds"), ("euros", "dollars")),
)
_COMPARED = (
    *(("more", "less"), ("most", "least"), ("first", "last"), ("before", "after"), ("all", "none")),
    *(("largest", "smallest"), ("highest", "lowest"), ("higher", "lower"), ("larger", "smaller"), ("older", "younger")),
    *(("oldest", "newest"), ("above", "below"), ("over", "under"), ("always", "never"), ("many", "few")),
    *(("longer", "shorter"), ("north", "south"), ("east", "west"), ("northern", "southern"), ("early", "late")),
    *(("increase", "decrease"), ("increased", "decreased"), ("rose", "fell"), ("won", "lost"), ("best", "worst")),
    *(("begin", "end"), ("began", "ended"), ("allowed", "forbidden"), ("minimum", "maximum"), ("at least", "at most")),
)  # fmt: skip
_JOINED = re.compile(r"\b(?:and|or|with|both|between)\b")


@dataclass(frozen=True, slots=True)
class Edit:
    """A claim made wrong: its kind, its label, and the wrong characters [start, end)."""

    kind: str
    text: str
    label: Label
    start: int
    end: int


def other_date(claim: str, _others: Sequence[str], draw: random.Random) -> str:
    """Another month or day of the week; "" without one."""
    found = list(_DATE.finditer(claim))
    if not found:
        return ""
    spot = draw.choice(found)
    names = MONTHS if spot[0] in MONTHS else DAYS
    return claim[: spot.start()] + draw.choice([name for name in names if name != spot[0]]) + claim[spot.end() :]


def other_unit(claim: str, _others: Sequence[str], draw: random.Random) -> str:
    """Another unit after a number; "" without one."""
    pairs = [pair for one in _UNITS for pair in (one, one[::-1])]
    fitting = [(old, new) for old, new in pairs if re.search(rf"\d[\d.,]* {old}\b", claim)]
    if not fitting:
        return ""
    old, new = draw.choice(fitting)
    return re.sub(rf"(\d[\d.,]* ){old}\b", rf"\g<1>{new}", claim, count=1)


def compared(claim: str, _others: Sequence[str], draw: random.Random) -> str:
    """The opposite of one word that compares or counts; "" without one."""
    pairs = [pair for one in _COMPARED for pair in (one, one[::-1])]
    fitting = [(old, new) for old, new in pairs if re.search(rf"\b{old}\b", claim)]
    if not fitting:
        return ""
    old, new = draw.choice(fitting)
    return re.sub(rf"\b{old}\b", new, claim, count=1)


def roles(claim: str, _others: Sequence[str], _draw: random.Random) -> str:
    """Two names in each other's place; "" where there are not just two, or where they are merely listed."""
    found = [spot for spot in NAME.finditer(f"a {claim}") if spot[0].split()[0] not in (*MONTHS, *DAYS)]
    if len(found) != 2 or _JOINED.search(f"a {claim}"[found[0].end() : found[1].start()]):
        return ""
    one, two = ((spot.start() - 2, spot.end() - 2) for spot in found)
    first, second = claim[one[0] : one[1]], claim[two[0] : two[1]]
    return f"{claim[: one[0]]}{second}{claim[one[1] : two[0]]}{first}{claim[two[1] :]}" if first != second else ""


_Change = Callable[[str, Sequence[str], random.Random], str]
EDITS: tuple[tuple[str, _Change, Label], ...] = (
    ("number", other_number, Label.REFUTED),
    ("name", other_name, Label.NOT_SUPPORTED),
    ("negation", negated, Label.REFUTED),
    ("date", other_date, Label.REFUTED),
    ("unit", other_unit, Label.REFUTED),
    ("compare", compared, Label.REFUTED),
    ("roles", roles, Label.NOT_SUPPORTED),
)
RARE = ("unit", "date", "compare", "roles")  # tried first: few sentences have them


def edit(claim: str, others: Sequence[str], draw: random.Random) -> Edit | None:
    """One of the edits that the claim allows, rare ones more often than their share; None where it allows none."""
    order = draw.sample(EDITS, len(EDITS))
    if draw.random() < 0.5:
        order.sort(key=lambda one: one[0] not in RARE)
    for kind, change, label in order:
        text = change(claim, others, draw)
        if text and text != claim:
            return Edit(kind, text, label, *changed(claim, text))
    return None


def changed(old: str, new: str) -> tuple[int, int]:
    """The characters of ``new`` that differ from ``old``, to whole words; those around what was taken out."""
    first = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    most = min(len(old), len(new)) - first
    last = next((i for i in range(most) if old[len(old) - 1 - i] != new[len(new) - 1 - i]), most)
    start, end = first, len(new) - last
    if start >= end:  # something was taken out: the words on both sides
        start, end = max(0, start - 1), min(len(new), end + 2)
    while start > 0 and not new[start - 1].isspace():
        start -= 1
    while end < len(new) and not new[end].isspace():
        end += 1
    while start < end and new[start].isspace():
        start += 1
    while end > start and new[end - 1] in " .,;:!?":
        end -= 1
    return start, end


def partly(first: str, wrong: Edit) -> Edit:
    """The right sentence ``first``, then the wrong one."""
    offset = len(first) + 1
    return Edit("partial", f"{first} {wrong.text}", wrong.label, wrong.start + offset, wrong.end + offset)
