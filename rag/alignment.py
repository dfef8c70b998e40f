"""How the words of a claim lie in its evidence, line by line: exact checks that a share of common words cannot make.

A line is a sentence or a row. "The Premium tariff costs 40 EUR" shares all its words with a list where 40 EUR is the
price of another tariff; but no single line holds them all, and the line that holds most of the rest lacks "40". In the
same way a "not" counts only against the line, and the clause, that the claim is about. Headings, and the first row of a
table, go with every line below them: their words are neither missed in a line nor taken for one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rag.sentences import sentences
from rag.words import Words, read_words

FEATURES = (
    "line_overlap",  # share of the claim's stems that the best line holds, headings aside
    "apart",  # how much less of the claim is in the lines that hold one of its words than in the best one; the most
    "negation_line",  # 1 where just one of the claim and its best line is negated
    "negation_clause",  # 1 where just one of the claim and its best clause is, and the line agrees
)
_CLAUSE = re.compile(r"[;:,|]\s+|\s+(?=(?:and|but|which|while|because|or|when|who|if|unless|after|without)\b)|\n")
_END = (".", "!", "?", ";")
_NUMBER = 2.0  # weight of a number beside a word


@dataclass(frozen=True, slots=True)
class Lines:
    """Evidence cut into lines. ``known``: the stems of headings and titles. ``clauses``: of all lines together."""

    lines: tuple[Words, ...]
    clauses: tuple[Words, ...]
    known: frozenset[str]

    @classmethod
    def of(cls, texts: Sequence[str], titles: Sequence[str] = ()) -> Lines:
        """The lines of these texts; ``titles`` are known besides."""
        cut = [_lines(text) for text in texts]
        heads = [_headings(lines) for lines in cut]
        every = [line for lines in cut for line in lines]
        body = [line for lines, own in zip(cut, heads, strict=True) for line in lines if line not in own] or every
        known = [read_words(line) for line in (*(line for own in heads for line in own), *titles)]
        clauses = [part for line in every for part in _CLAUSE.split(line) if part.strip()] or every
        stems = frozenset(stem for words in known for stem in words.stems)
        return cls(tuple(map(read_words, body)), tuple(map(read_words, clauses)), stems)


def align(claim: Words, asked: frozenset[str], evidence: Lines) -> Mapping[str, float]:
    """The FEATURES of a claim, each in [0, 1]; ``asked``: stems of its question, which every answer may repeat."""
    if not claim.stems or not evidence.lines:
        return dict.fromkeys(FEATURES, 0.0)
    line, clause = _nearest(claim, evidence.lines), _nearest(claim, evidence.clauses)
    differs = line.negated != claim.negated
    own = claim.stems - evidence.known
    return {
        "line_overlap": max(_share(own, line) for line in evidence.lines) if own else 1.0,
        "apart": max((_apart(stem, claim, evidence) for stem in own - asked), default=0.0),
        "negation_line": float(differs),
        "negation_clause": float(differs and clause.negated != claim.negated),
    }


def _apart(stem: str, claim: Words, evidence: Lines) -> float:
    """How much less of the rest of the claim the best line with ``stem`` holds than the best line; 0 without one."""
    rest = claim.stems - {stem}
    shares = [(_share(rest, line), stem in line.stems) for line in evidence.lines]
    with_it = [share for share, holds in shares if holds]
    return max(share for share, _ in shares) - max(with_it) if with_it else 0.0


def _share(stems: frozenset[str], line: Words) -> float:
    whole = sum(map(_weight, stems))
    return sum(map(_weight, stems & line.stems)) / whole if whole else 0.0


def _weight(stem: str) -> float:
    return _NUMBER if stem[0].isdigit() else 1.0


def _nearest(claim: Words, parts: Sequence[Words]) -> Words:
    """The part that shares most stems with the claim, the shortest of equals."""
    return max(parts, key=lambda part: (len(part.stems & claim.stems), -len(part.stems)))


def _lines(text: str) -> list[str]:
    return [line for start, end in sentences(text) for line in text[start:end].split("\n") if line.strip()]


def _headings(lines: Sequence[str]) -> list[str]:
    """A first line that does not end as a sentence does, and the first row of each table."""
    first = [line for line in lines[:1] if not line.rstrip().endswith(_END)]
    heads = [line for before, line in zip(["", *lines], lines, strict=False) if "|" in line and "|" not in before]
    return [*first, *heads]
