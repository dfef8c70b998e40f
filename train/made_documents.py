"""Small documents of made-up facts, and claims about them: right ones, and wrong ones that are near the truth.

    python -m train.made_documents --documents 5

A document states one kind of fact about several things, or about one thing in several years, and a few others beside,
as prose, as lines, or as a table. So the value that makes a claim wrong stands in the passage as well, with another
thing, year or column: overlap of words tells nothing, only what belongs to what. Facts, things and wordings are in
train/made_facts.toml; a claim words a fact otherwise than its document does, more often than not.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rag.datafiles import Label
from train.claim_edits import changed, other_date, other_unit
from train.edits import negated
from train.made_facts import YEARS, Fact, Relation, read_facts

SOURCE = "made documents"
_ASKED = 0.65  # of the claims: with the question that they answer
_OWN_WORDS = 0.25  # of the claims: worded as in the document
_VALUE_ALONE = 0.12  # of the claims: the bare value, as an answer to the question
_MAY_FOLLOW = ("The", "In", "On", "At", "With", "For", "By", "You", "There", "No", "We", "After", "Every", "Up", "From")

Edited = tuple[str, str, Label]  # kind, claim, label


@dataclass(frozen=True, slots=True)
class MadeClaim:
    """A claim about a made document, and the characters [start, end) of it that are wrong; (0, 0) for none."""

    kind: str
    question: str
    claim: str
    passage: str
    label: Label
    wrong: tuple[int, int]


def made_claims(documents: int, seed: int) -> list[MadeClaim]:
    """The claims about so many documents, the same for the same seed."""
    draw = random.Random(f"{seed} {SOURCE}")
    things, relations = read_facts()
    return [claim for _ in range(documents) for claim in _document(things, relations, draw)]


def _document(things: dict[str, list[str]], relations: Sequence[Relation], draw: random.Random) -> list[MadeClaim]:
    relation = draw.choice(relations)
    facts = _facts(relation, things[relation.of], draw)
    alike = [one for one in relations if one.of == relation.of and one is not relation]
    beside = draw.sample(alike, min(len(alike), draw.randint(0, 2)))
    named = list(dict.fromkeys(fact.thing for fact in facts))[:3]
    others = [Fact(one, thing, one.draw(draw), _year(one, draw)) for one in beside for thing in named]
    passage, used = _laid_out(relation, facts, others, draw)
    claims: list[MadeClaim] = []
    for fact in draw.sample([*facts, *others], min(2, len(facts) + len(others))):
        claims += _about(fact, [one for one in (*facts, *others) if one is not fact], passage, used, draw)
    return claims


def _facts(relation: Relation, things: Sequence[str], draw: random.Random) -> list[Fact]:
    """Two to five facts, no two of one value unless there are too few values, of several things or of several years."""
    count = draw.randint(2, 5)
    values: list[str] = []
    for _ in range(30):
        if (value := relation.draw(draw)) not in values and len(values) < count:
            values.append(value)
    values += [draw.choice(values) for _ in range(count - len(values))]
    if relation.year and draw.random() < 0.5:
        thing, first = draw.choice(things), draw.choice(YEARS[:-6])
        return [Fact(relation, thing, value, first + turn) for turn, value in enumerate(values)]
    year = _year(relation, draw)
    return [Fact(relation, thing, value, year) for thing, value in zip(draw.sample(things, count), values, strict=True)]


def _laid_out(
    relation: Relation, facts: Sequence[Fact], others: Sequence[Fact], draw: random.Random
) -> tuple[str, set[str]]:
    """The document, and the wordings that it uses."""
    title = f"{draw.choice(('', 'Handbook: ', 'Guide: ', 'Annex: ', 'Part 2: '))}{relation.title}\n"
    chance = draw.random()
    if chance < 0.25:
        return title + _table(relation, facts, others, draw), set()
    if chance < 0.35:
        lines = [f"{_head(fact)}, {fact.relation.column.lower()}: {fact.value}" for fact in (*facts, *others)]
        return title + "\n".join(lines), set()
    said = [draw.choice(fact.wordings()) for fact in (*facts, *others)]
    order = list(said)
    if draw.random() < 0.5:
        draw.shuffle(order)
    text = order[0]
    for sentence in order[1:]:
        joined = draw.random() < 0.15 and sentence.split()[0] in _MAY_FOLLOW
        text = f"{text[:-1]}; {sentence[:1].lower()}{sentence[1:]}" if joined else f"{text} {sentence}"
    return (title if draw.random() < 0.7 else "") + text, set(said)


def _table(relation: Relation, facts: Sequence[Fact], others: Sequence[Fact], draw: random.Random) -> str:
    """Rows under one header, or rows that carry their headers, with it or without."""
    columns = list(dict.fromkeys([relation, *(one.relation for one in others)]))
    rows = list(dict.fromkeys((fact.thing, fact.year) for fact in facts))
    heads = [
        relation.title,
        *(_column(others, column) if column is not relation else column.column for column in columns),
    ]
    cells = []
    for thing, year in rows:
        cells.append([_headed(thing, year), *(_cell((*facts, *others), column, thing, year) for column in columns)])
    if draw.random() < 0.4:
        return "\n".join(" | ".join(row) for row in [heads, *cells])
    named = [[f"{head}: {cell}" for head, cell in zip(heads[1:], row[1:], strict=True)] for row in cells]
    if draw.random() < 0.3:
        return "\n".join("; ".join([row[0], *told]) for row, told in zip(cells, named, strict=True))
    head = " | ".join(["", *heads[1:]]).strip()  # as ingest/readers/builder.py writes tables
    return "\n".join([head, *(" | ".join([row[0], *told]) for row, told in zip(cells, named, strict=True))])


def _column(facts: Sequence[Fact], column: Relation) -> str:
    """The head of a column, with the years that it is about."""
    years = sorted({str(fact.year) for fact in facts if fact.relation is column and fact.year})
    return " ".join([column.column, ", ".join(years)]).strip()


def _cell(facts: Sequence[Fact], column: Relation, thing: str, year: int) -> str:
    own = [fact for fact in facts if fact.relation is column and fact.thing == thing]
    exact = [fact for fact in own if fact.year == year] or own
    return exact[0].value if exact else "-"


def _headed(thing: str, year: int) -> str:
    return f"{thing}, {year}" if year else thing


def _head(fact: Fact) -> str:
    return _headed(fact.thing[:1].upper() + fact.thing[1:], fact.year)


def _about(fact: Fact, others: Sequence[Fact], passage: str, used: set[str], draw: random.Random) -> list[MadeClaim]:
    """A right claim of ``fact`` and a wrong one."""
    wordings = fact.wordings()
    fresh = [text for text in wordings if text not in used]
    claim = draw.choice(fresh if fresh and draw.random() >= _OWN_WORDS else wordings)
    question = fact.question() if draw.random() < _ASKED else ""
    if draw.random() < _VALUE_ALONE and not fact.relation.yes:
        claim, question = fact.value, fact.question()
    made = [MadeClaim("right", question, claim, passage, Label.SUPPORTED, (0, 0))]
    if wrong := _wrong(fact, claim, others, draw):
        kind, text, label = wrong
        made.append(MadeClaim(kind, question, text, passage, label, changed(claim, text)))
    return made


def _wrong(fact: Fact, claim: str, others: Sequence[Fact], draw: random.Random) -> Edited | None:
    """One thing made wrong: the value of a neighbour, or another; the thing; the year; the unit; "not"."""
    alike = [one for one in others if one.relation is fact.relation]
    makers = [_near_value, _near_value, _near_thing, _far_value, _other_year, _other_unit, _denied, _denied]
    for maker in draw.sample(makers, len(makers)):
        made = maker(fact, claim, alike, draw)
        if made and made[1] != claim and not any(made[1] in one.wordings() for one in (fact, *others)):
            return made
    return None


def _near_value(fact: Fact, claim: str, alike: Sequence[Fact], draw: random.Random) -> Edited | None:
    values = sorted({one.value for one in alike} - {fact.value})
    if not values or fact.relation.yes or fact.value not in claim:
        return None
    return "near value", claim.replace(fact.value, draw.choice(values)), Label.REFUTED


def _near_thing(fact: Fact, claim: str, alike: Sequence[Fact], draw: random.Random) -> Edited | None:
    """The claim as said of another thing in the document, of which it does not hold."""
    things = sorted({one.thing for one in alike if one.value != fact.value} - {fact.thing})
    true_of = {one.thing for one in alike if one.value == fact.value}
    things = [thing for thing in things if thing not in true_of]
    at = claim.lower().find(fact.thing.lower())
    if not things or at < 0:
        return None
    other = draw.choice(things)
    other = other[:1].upper() + other[1:] if claim[at].isupper() else other
    return "near thing", claim[:at] + other + claim[at + len(fact.thing) :], Label.REFUTED


def _far_value(fact: Fact, claim: str, alike: Sequence[Fact], draw: random.Random) -> Edited | None:
    taken = {fact.value, *(one.value for one in alike)}
    value = fact.relation.draw(draw)
    if fact.relation.yes or value in taken or fact.value not in claim:
        return None
    number, unit = value.split(" ", 1) if value[0].isdigit() and " " in value else (value, "")
    if unit and " " in fact.value and fact.value[0].isdigit():
        value = f"{number} {fact.value.split(' ', 1)[1]}"  # the number alone is wrong
    return "far value", claim.replace(fact.value, value), Label.REFUTED


def _other_year(fact: Fact, claim: str, alike: Sequence[Fact], draw: random.Random) -> Edited | None:
    """Another year; where the document has it, only if another value holds then."""
    if not fact.year:
        return ("date", other, Label.REFUTED) if (other := other_date(claim, (), draw)) else None
    known = sorted({one.year for one in alike if one.thing == fact.thing and one.value != fact.value} - {fact.year})
    same = {one.year for one in alike if one.thing == fact.thing and one.value == fact.value}
    year = draw.choice(known) if known and draw.random() < 0.8 else draw.choice(sorted(set(YEARS) - same))
    return "year", claim.replace(str(fact.year), str(year)), Label.NOT_SUPPORTED


def _other_unit(fact: Fact, claim: str, _alike: Sequence[Fact], draw: random.Random) -> Edited | None:
    units = [] if not isinstance(fact.relation.value, str) else fact.relation.value.partition(" ")[2].split("|")
    own = fact.value.partition(" ")[2]
    others = [unit for unit in units if unit != own]
    if own in units and others and fact.value in claim:
        return "unit", claim.replace(fact.value, f"{fact.value.split(' ')[0]} {draw.choice(others)}"), Label.REFUTED
    return ("unit", text, Label.REFUTED) if (text := other_unit(claim, (), draw)) else None


def _denied(fact: Fact, claim: str, _alike: Sequence[Fact], draw: random.Random) -> Edited | None:
    """The contrary: of a rule in the words of its other side, of anything else with "not"."""
    if fact.relation.yes:
        contrary = replace(fact, value="no" if fact.value == "yes" else "yes")
        return "contrary", draw.choice(contrary.wordings()), Label.REFUTED
    return ("negation", text, Label.REFUTED) if (text := negated(claim, (), draw)) else None


def _year(relation: Relation, draw: random.Random) -> int:
    return draw.choice(YEARS) if relation.year else 0


def main() -> None:
    """Prints the claims about some documents, to be read by a person."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    passage = ""
    for made in made_claims(options.documents, options.seed):
        if made.passage != passage:
            passage = made.passage
            sys.stdout.write(f"\n{passage}\n\n")
        start, end = made.wrong
        marked = f"{made.claim[:start]}[{made.claim[start:end]}]{made.claim[end:]}" if end else made.claim
        sys.stdout.write(f"  {made.label.value:13} {made.kind:11} {marked}   ({made.question})\n")


if __name__ == "__main__":
    main()
