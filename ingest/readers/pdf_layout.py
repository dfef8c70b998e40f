"""Lines of a PDF page -> paragraphs: running headers dropped, wrapped lines joined, hyphenation mended.

Pure functions over records, in points (1/72 inch) with the origin at the page's lower left, as in PDF.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from ingest.normalise import inline

HYPHEN = "\ufffe"  # what PDFium puts for a hyphen at a line's end and the line break after it

_EDGE = 0.12  # share of the page height, at the top and the bottom, where running headers and footers stand
_LEAST_PAGES = 3  # a line is no running header before it stood on so many pages
_WIDE_LEADING = 1.35  # times the usual line distance: a gap between paragraphs
_SIZE_STEP = 1.1  # ratio of type sizes that parts a heading from its text
_INDENT = 0.8  # times the type size: a first line set in
_SHORT = 0.75  # of the column's width: a line that ends early ends its paragraph
_DIGITS = re.compile(r"\d+")
_MARKER = re.compile(r"[•▪‣◦·●*–-] |\(?(?:\d{1,3}|[a-zA-Z])[.)] ")
_WORD_BEFORE = re.compile(r"[^\W_]+\Z")
_WORD_AFTER = re.compile(r"[^\W_]+")
_LIGATURES = str.maketrans({"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"})


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text, normalised; the place is all 0 where it is not known. ``hyphenated``: goes on without a space."""

    text: str
    hyphenated: bool = False
    left: float = 0.0
    right: float = 0.0
    bottom: float = 0.0
    size: float = 0.0


@dataclass(frozen=True, slots=True)
class PageLines:
    """The lines of page ``number`` (from 1) in reading order, and the page's height."""

    number: int
    height: float
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Text that begins on ``page``; ``gap`` stands before it: a blank line, a line break, or a space or nothing
    where it goes on with a paragraph of the page before."""

    page: int
    text: str
    gap: str = "\n\n"


def paragraphs(pages: Sequence[PageLines]) -> Iterator[Paragraph]:
    """The paragraphs of all pages in order; each page yields at least one, empty for a page without text."""
    running = _running(pages)
    words = _vocabulary(pages)
    before: Line | None = None
    for page in pages:
        lines = [line for line in page.lines if _edge_key(line, page) not in running]
        groups = _group(lines)
        if not groups:
            yield Paragraph(page.number, "")
            continue
        if before is not None:
            gap, lines_gap = groups[0]
            groups[0] = (_page_gap(before, lines_gap[0], words) or gap, lines_gap)
        for gap, group in groups:
            yield Paragraph(page.number, _join(group, words), gap)
        before = lines[-1]


def _running(pages: Sequence[PageLines]) -> set[str]:
    """Keys of the lines that stand at the edge of most pages, whatever their page number."""
    counts: Counter[str] = Counter()
    for page in pages:
        counts.update({_edge_key(line, page) for line in page.lines} - {""})
    least = max(_LEAST_PAGES, len(pages) // 2 + 1)
    return {key for key, count in counts.items() if count >= least}


def _edge_key(line: Line, page: PageLines) -> str:
    """The line without its numbers if it stands at the page's edge in type no larger than the page's, else ""."""
    if not line.size or _EDGE * page.height < line.bottom < (1 - _EDGE) * page.height:
        return ""
    usual = median(other.size for other in page.lines)
    return _DIGITS.sub("#", line.text) if line.size <= usual * _SIZE_STEP else ""


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


def _page_gap(above: Line, below: Line, words: frozenset[str]) -> str:
    """The gap between the last line of a page and the first of the next if the paragraph goes on, else ""."""
    same = not above.size or not below.size or 1 / _SIZE_STEP < above.size / below.size < _SIZE_STEP
    if above.hyphenated or not same or not below.text[:1].islower() or above.text.endswith((".", "!", "?", ":")):
        return ""
    return " "


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
