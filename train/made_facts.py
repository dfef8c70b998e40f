"""Facts that nobody has to believe: the kinds in train/made_facts.toml, their values, and the ways to say them."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from train.claim_edits import DAYS, MONTHS

FACTS_FILE = Path(__file__).with_name("made_facts.toml")
YEARS = range(1998, 2031)


@dataclass(frozen=True, slots=True)
class Relation:
    """One kind of fact: see the head of made_facts.toml. A rule has no ``say`` but ``yes`` and ``no``."""

    title: str
    of: str
    column: str
    ask: str
    value: str | tuple[str, ...] = ""
    year: bool = False
    say: tuple[str, ...] = ()
    yes: tuple[str, ...] = ()
    no: tuple[str, ...] = ()

    def draw(self, draw: random.Random) -> str:
        """A value; "yes" or "no" for a rule."""
        if self.yes:
            return draw.choice(("yes", "no"))
        if not isinstance(self.value, str):
            return draw.choice(self.value)
        if self.value in _KINDS:
            return _KINDS[self.value](draw)
        span, units = self.value.split(" ", 1)
        low, high = map(int, span.split("-"))
        return f"{_number(low, high, draw)} {draw.choice(units.split('|'))}"


@dataclass(frozen=True, slots=True)
class Fact:
    """That a thing has a value, in a year (0: at any time)."""

    relation: Relation
    thing: str
    value: str
    year: int = 0

    def wordings(self) -> list[str]:
        """Every way to say it."""
        rule = self.relation
        forms = rule.say or (rule.yes if self.value == "yes" else rule.no)
        return [self._filled(form) for form in forms]

    def question(self) -> str:
        """What it answers."""
        return self._filled(self.relation.ask)

    def _filled(self, form: str) -> str:
        year = str(self.year) if self.year else ""
        text = form.replace("{E}", self.thing).replace("{e}", self.thing).replace("{V}", self.value)
        text = text.replace("{T}", year)
        # A configuration key stays as it is written.
        return text if form.startswith("{e}") else text[:1].upper() + text[1:]


def read_facts(path: Path = FACTS_FILE) -> tuple[dict[str, list[str]], list[Relation]]:
    """The things by kind, and the relations."""
    fields: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    things: dict[str, list[str]] = fields["things"]
    return things, [_relation(each, things["people"]) for each in fields["relations"]]


def _relation(fields: dict[str, Any], people: list[str]) -> Relation:
    told = fields | {"value": people} if fields.get("value") == "person" else fields
    frozen: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}
    return Relation(**frozen)


def _number(low: int, high: int, draw: random.Random) -> str:
    """A number as documents have it: round ones often, a decimal now and then, thousands with a comma."""
    number = draw.randint(low, high)
    if number > 60 and draw.random() < 0.6:
        number = max(low, number // 10 * 10)
    if number < 100 and draw.random() < 0.15:
        return f"{number}.{draw.choice((5, 25, 5, 75, 9, 2))}"
    return f"{number:,}"


_KINDS: dict[str, Callable[[random.Random], str]] = {
    "date": lambda draw: f"{draw.randint(1, 28)} {draw.choice(MONTHS)}",
    "clock": lambda draw: f"{draw.randint(6, 12)}:{draw.choice(('00', '15', '30', '45'))}",
    "weekday": lambda draw: f"{draw.choice(DAYS)}s",
    "year": lambda draw: str(draw.choice(range(1870, 2021))),
    "version": lambda draw: f"{draw.randint(1, 9)}.{draw.randint(0, 19)}",
}
