"""Lines of a PDF page -> paragraphs and tables: running headers dropped, wrapped lines joined, hyphenation mended.

Pure functions over records, in points (1/72 inch) with the origin at the page's lower left, as in PDF.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile
from statistics import median

from ingest.normalise import inline

HYPHEN = "\ufffe"  # what PDFium puts for a hyphen at a line's end and the line break after it

_EDGE = 0.12  # share of the page height, at the top and the bottom, where running headers and footers stand
_LEAST_PAGES = 2  # a line is no running header before it stood on so many pages
_WIDE_LEADING = 1.35  # times the usual line distance: a gap between paragraphs
_SIZE_STEP = 1.1  # ratio of type sizes that parts a heading from its text
_INDENT = 0.8  # times the type size: a first line set in
_SHORT = 0.75  # of the column's width: a line that ends early ends its paragraph
_LEAST_COLUMN = 4  # lines, below which two columns cannot be told from a table
_PROSE = 22  # characters a cell, on average, from which a column is prose; cells of tables are mostly shorter
_DIGITS = re.compile(r"[0-9]{1,6}")
_MOST_NUMBERS = 4  # numbers of a line that are tried as its page number
_MARKER = re.compile(r"[•▪‣◦·●*–-] |\(?(?:\d{1,3}|[a-zA-Z])[.)] ")
_WORD_BEFORE = re.compile(r"[^\W_]+\Z")
_WORD_AFTER = re.compile(r"[^\W_]+")
_LIGATURES = str.maketrans({"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"})


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text, normalised; the place is all 0 where it is not known. ``hyphenated``: goes on without a space.

    ``cells`` are the parts of the line that wide gaps set apart: more than one in a row of a table.
    """

    cells: tuple[str, ...]
    hyphenated: bool = False
    left: float = 0.0
    right: float = 0.0
    bottom: float = 0.0
    size: float = 0.0
    starts: tuple[float, ...] = ()  # where each cell begins; empty where it is not known

    @property
    def text(self) -> str:
        """The whole line."""
        return " ".join(self.cells)


@dataclass(frozen=True, slots=True)
class PageLines:
    """The lines of page ``number`` (from 1) in reading order, and the page's height."""

    number: int
    height: float
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Text that begins on ``page``, or the rows of a table.

    ``gap`` stands before it: a blank line, a line break, or a space where it goes on from the page before.
    """

    page: int
    text: str
    gap: str = "\n\n"
    rows: tuple[tuple[str, ...], ...] = ()


def columns(lines: Sequence[Line]) -> tuple[Line, ...]:
    """The lines in reading order: text set in two columns is read down the left one before the right one.

    A run of lines of two long cells that begin at the same two places is no table but two columns of prose, which some
    programs write line by line across the page. Lines that have one cell join the column that they stand in.
    """
    ordered: list[Line] = []
    run: list[Line] = []
    for line in [*lines, None]:
        if line is not None and (not run or _same_columns(run[0], line)) and (run or len(line.starts) == 2):
            run.append(line)
            continue
        ordered += _unfold(run)
        run = [line] if line is not None and len(line.starts) == 2 else []
        if line is not None and not run:
            ordered.append(line)
    return tuple(ordered)


def _same_columns(first: Line, line: Line) -> bool:
    if not line.starts:
        return False
    near = [any(abs(start - place) < line.size for place in first.starts) for start in line.starts]
    inside = len(line.cells) == 2 or line.starts[0] > first.starts[1] - line.size or line.right < first.starts[1]
    return all(near) and inside and len(line.cells) <= 2


def _unfold(run: list[Line]) -> list[Line]:
    """The run's left column and then its right one, if both read like prose; else the run as it is."""
    pairs = [line for line in run if len(line.cells) == 2]
    prose = (
        all(sum(len(line.cells[side]) for line in pairs) >= _PROSE * len(pairs) for side in (0, 1)) if pairs else False
    )
    if len(pairs) < _LEAST_COLUMN or not prose:
        return run
    middle = pairs[0].starts[1]
    halves: tuple[list[Line], list[Line]] = ([], [])
    for line in run:
        for cell, start in zip(line.cells, line.starts, strict=True):
            side = int(start >= middle - line.size)
            right = line.right if side or len(line.cells) == 1 else middle - line.size
            hyphenated = cell.endswith("-") if len(line.cells) == 2 and not side else line.hyphenated
            text = cell[:-1] if hyphenated and cell.endswith("-") else cell
            halves[side].append(
                replace(line, cells=(text,), starts=(start,), left=start, right=right, hyphenated=hyphenated)
            )
    return [*halves[0], *halves[1]]


def paragraphs(pages: Sequence[PageLines]) -> Iterator[Paragraph]:
    """The paragraphs of all pages in order; each page yields at least one, empty for a page without text."""
    running = _running(pages)
    words = _vocabulary(pages)
    before: Line | None = None
    for page in pages:
        dropped = set(_outer_running(page, running))
        groups = _group([line for line in page.lines if line not in dropped])
        if not groups:
            yield Paragraph(page.number, "")
            continue
        goes_on = before is not None and _goes_on(before, groups[0][1][0])
        for at, (gap, group) in enumerate(groups):
            if len(group) > 1 and all(len(line.cells) > 1 for line in group):
                yield Paragraph(page.number, "", rows=_rows(group))
            else:
                yield Paragraph(page.number, _join(group, words), " " if goes_on and at == 0 else gap)
        before = groups[-1][1][-1]


def _running(pages: Sequence[PageLines]) -> set[str]:
    """Keys of the lines that stand at the edge of most pages, whatever their page number."""
    counts: Counter[str] = Counter()
    for page in pages:
        counts.update({key for line in page.lines for key in _edge_keys(line, page)})
    least = max(_LEAST_PAGES, len(pages) // 2 + 1)
    return {key for key, count in counts.items() if count >= least}


def _outer_running(page: PageLines, running: set[str]) -> Iterator[Line]:
    """The page's running lines from the top down and from the bottom up, as far as nothing else comes between."""
    for downwards in (True, False):
        ordered = sorted(page.lines, key=lambda line: line.bottom, reverse=downwards)
        yield from takewhile(lambda line: not running.isdisjoint(_edge_keys(line, page)), ordered)


def _edge_keys(line: Line, page: PageLines) -> set[str]:
    """The line, and the line with each of its numbers told from the page's number, so that "Page 3" equals "Page 4".

    Empty unless the line stands at the page's edge in type no larger than the page's: a chapter's heading stays.
    """
    if not line.size or _EDGE * page.height < line.bottom < (1 - _EDGE) * page.height:
        return set()
    if line.size > median(other.size for other in page.lines) * _SIZE_STEP:
        return set()
    text = line.text
    numbers = list(_DIGITS.finditer(text))[:_MOST_NUMBERS]
    return {text} | {f"{text[: n.start()]}#{int(n[0]) - page.number}{text[n.end() :]}" for n in numbers}


def _vocabulary(pages: Sequence[PageLines]) -> frozenset[str]:
    """The words and hyphenated compounds that stand whole in some line."""
    found = (re.findall(r"[^\W_]+(?:-[^\W_]+)*", line.text.lower()) for page in pages for line in page.lines)
    return frozenset(word for words in found for word in words)


def _group(lines: Sequence[Line]) -> list[tuple[str, list[Line]]]:
    """Lines that read as one, each group with the gap before it."""
    if not lines:
        return []
    leading = [above.bottom - below.bottom for above, below in pairwise(lines) if above.bottom > below.bottom]
    usual = median(leading) if leading else 0.0
    width = max(line.right for line in lines) - min(line.left for line in lines)
    groups: list[tuple[str, list[Line]]] = [("\n\n", [lines[0]])]
    for above, below in pairwise(lines):
        gap = _gap(above, below, usual, width)
        if gap:
            groups.append((gap, [below]))
        else:
            groups[-1][1].append(below)
    return groups


def _gap(above: Line, below: Line, usual: float, width: float) -> str:
    """What parts two lines that follow each other: a blank line, a line break, or "" for nothing."""
    if above.hyphenated:
        return ""
    if above.size and below.bottom > above.bottom + above.size:  # from the foot of a column to the top of the next
        return "\n\n" if above.text.endswith((".", "!", "?", ":")) else ""
    if len(above.cells) > 1 or len(below.cells) > 1:
        return "" if len(above.cells) > 1 and len(below.cells) > 1 else "\n"
    if not above.size or not below.size:
        return "\n" if _MARKER.match(below.text) or above.text.endswith((".", ":", "!", "?")) else ""
    ratio = above.size / below.size
    if not 1 / _SIZE_STEP < ratio < _SIZE_STEP:
        return "\n\n"
    if usual and above.bottom - below.bottom > _WIDE_LEADING * usual:
        return "\n\n"
    indented = below.left - above.left > _INDENT * below.size and above.text.endswith((".", "!", "?", ":"))
    early = above.right - above.left < _SHORT * width and not below.text[:1].islower()
    return "\n" if indented or early or _MARKER.match(below.text) else ""


def _goes_on(above: Line, below: Line) -> bool:
    """Whether the last paragraph of a page goes on with the first line of the next."""
    if len(above.cells) > 1 or len(below.cells) > 1 or above.hyphenated:
        return False
    same = not above.size or not below.size or 1 / _SIZE_STEP < above.size / below.size < _SIZE_STEP
    return same and below.text[:1].islower() and not above.text.endswith((".", "!", "?", ":"))


def _rows(lines: Sequence[Line]) -> tuple[tuple[str, ...], ...]:
    """The cells of a table; a row set in by more than a letter lacks its first cell, as a row of headers may."""
    left = min(line.left for line in lines)
    most = max(len(line.cells) for line in lines)
    return tuple(
        ("", *line.cells) if len(line.cells) < most and line.left - left > line.size else line.cells for line in lines
    )


def _join(lines: Iterable[Line], words: frozenset[str]) -> str:
    text = ""
    hyphenated = False
    for line in lines:
        gap = "" if not text else _mend(text, line.text, words) if hyphenated else " "
        text += gap + line.text
        hyphenated = line.hyphenated
    return inline(text.translate(_LIGATURES))


def _mend(above: str, below: str, words: frozenset[str]) -> str:
    """What stands between the halves of a word that was parted at a line's end: nothing, or a hyphen.

    The document itself says which: "exam-ple" stands somewhere as "example", "well-known" as "well-known". Where it is
    silent, small letters are joined, and figures and capitals keep their hyphen ("COVID-19").
    """
    first, last = _WORD_BEFORE.search(above), _WORD_AFTER.match(below)
    if not first or not last:
        return "-"
    one, two = first[0].lower(), last[0].lower()
    if one + two in words:
        return ""
    if f"{one}-{two}" in words:
        return "-"
    return "" if above[-1].isalpha() and below[0].islower() else "-"
