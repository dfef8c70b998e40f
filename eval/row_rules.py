"""Rows of tables -> questions with their answers, by rules: the other half of what `eval generate` starts from.

    Product: Skua 200 | Weight: 1.4 kg      -> What is the weight of Skua 200 according to Price list?   1.4 kg
    Property: Flash point | Value: 18 °C    -> What does OptiClean 70 give as flash point?               18 °C

A row is written "Column: cell | Column: cell" (ingest/readers), its first cell naming what it is about. The title of
the document belongs to the question, as other documents may have a row of the same name. Only rows of whole tables
count: where some row has fewer cells, cells were joined or lost in reading, and values may stand under a wrong column.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from eval.question_rules import Draft, says_enough, unnumbered
from eval.question_words import ASKS_FOR_PEOPLE, NO_COLUMN, PLURAL, RANGE

Cells = list[tuple[str, str]]
_SEPARATOR = " | "
_NO_VALUE = re.compile(r"^\W*[A-Za-z]?\W*$|:$|\(\d\)$")  # a mark ("X", "-"), a beginning, with a footnote
_LONGEST = 8  # words of a name or a value, and cells of a row


def drafts_of_rows(text: str, title: str) -> Iterator[tuple[Draft, int, int]]:
    """The questions of each row of the tables of ``text``, with the characters [start, end) of the row.

    ``title``: of the document.
    """
    rows = [(cells_of(line[0]), line.start(), line.end()) for line in re.finditer(r"[^\n]+", text)]
    widths: defaultdict[str, set[int]] = defaultdict(set)
    for cells, _, _ in rows:
        if cells:
            widths[cells[0][0]].add(len(cells))
    for cells, start, end in rows:
        if len(cells) > 1 and len(widths[cells[0][0]]) == 1:
            yield from ((draft, start, end) for draft in drafts_of_row(cells, title) if says_enough(draft))


def cells_of(line: str) -> Cells:
    """The (column, cell) of a line; empty where it is no row."""
    parts = [part.split(": ", 1) for part in line.strip().split(_SEPARATOR)]
    if not all(len(part) == 2 for part in parts):
        return []
    cells = [(name.strip(), cell.strip()) for name, cell in parts]
    return cells if all(name and cell for name, cell in cells) else []


def drafts_of_row(cells: Cells, title: str) -> Iterator[Draft]:
    """The questions of one row."""
    (_, subject), *others = cells
    names = [name for name, _ in cells]
    told = unnumbered(title)
    if len(cells) > _LONGEST or not _is_label(subject) or RANGE.match(subject) or len(set(names)) < len(names):
        return
    for name, value in others:
        if not 1 <= len(value.split()) <= _LONGEST or not told or _NO_VALUE.search(value):
            continue
        if name.lower() == "value":
            yield Draft(f"What does {told} give as {_small(subject)}?", value, "row-value")
        elif _is_column(name):
            ask = "Who" if ASKS_FOR_PEOPLE.search(name.lower()) else "What"
            of = "" if subject.lower() in told.lower() else f" according to {told}"
            yield Draft(f"{ask} is the {_small(name)} of {subject}{of}?", value, "row")


def _is_label(text: str) -> bool:
    return (
        1 <= len(text.split()) <= _LONGEST
        and re.search(r"[A-Za-z]{3}", text) is not None
        and not text.endswith((".", "?", ":"))
    )


def _is_column(name: str) -> bool:
    """Whether "the NAME of" can be asked for: a thing, and one of it."""
    return _is_label(name) and not NO_COLUMN.match(name) and not PLURAL.search(name)


def _small(text: str) -> str:
    """Without the capitals of a heading: of the first word, or of all, where all have one."""
    words = text.split()
    plain = [word[:1].isupper() and word[1:].islower() for word in words]
    most = len(words) if all(plain) else 1
    return " ".join(word.lower() if plain[n] and n < most else word for n, word in enumerate(words))
