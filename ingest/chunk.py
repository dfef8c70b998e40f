"""A document -> passages of about 200 tokens that begin and end with a sentence, a table row, a list item or a heading.

The text is cut into units that should stay whole, each unit's tokens are counted once, and units are packed into
chunks section by section. A section that is long enough keeps its chunks to itself; short neighbours under the same
parent share one, because a passage of ten words gives the encoder little to place it by. Within a section the chunks
are made about equally long, so that none is a mere tail. Linear in the length of the text.

Vector search reads heading path and text together, citations point into the text alone.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from math import ceil

from rag.sentences import LONGEST, sentences
from rag.types import Block, Chunk, Heading, ParsedDocument

CountTokens = Callable[[Sequence[str]], list[int]]

_LONGEST_PART = 80  # characters of one heading in a heading path
_LONGEST_PATH = 200  # characters of a heading path; the top is dropped first
_LONGEST_HEADER = 120  # characters of a table's header row in a heading path
_NEAR = (0.75, 1.25)  # shares of the wished length between which a paragraph's end is preferred


@dataclass(frozen=True, slots=True)
class ChunkOptions:
    """Lengths in tokens of the encoder, without its special tokens.

    ``target`` is the usual length and ``most`` the largest: the rest of the encoder's 256 is for title and heading.
    Sections shorter than ``least`` share a chunk with their neighbours. ``overlap`` is the longest sentence that two
    neighbouring chunks share.
    """

    target: int = 200
    most: int = 240
    least: int = 100
    overlap: int = 40
    most_chars: int = 2000  # also bounds a chunk: tokenizers count a very long word as one unknown token


@dataclass(frozen=True, slots=True)
class _Unit:
    """Characters [start, end) that stay whole; ``kind`` is "text", "heading", "table", "code" or "list"."""

    start: int
    end: int
    kind: str
    header: str = ""
    tokens: int = 0
    inner: bool = False  # begins within a row


@dataclass(frozen=True, slots=True)
class _Section:
    """Units first to last (exclusive) under one heading; ``bare``: nothing but the heading."""

    path: tuple[str, ...]
    first: int
    last: int
    tokens: int
    bare: bool


def chunk(document: ParsedDocument, count_tokens: CountTokens, options: ChunkOptions) -> tuple[Chunk, ...]:
    """The chunks of ``document``, in order; ``document.text[c.start:c.end] == c.text`` for each.

    Every character but white space lies in some chunk. No chunk has more than ``options.most`` tokens, as summed over
    its units, but for a single character that alone has more. ``count_tokens`` gets many strings at once and counts
    without special tokens.
    """
    units = _fit(document.text, list(_units(document)), count_tokens, options)
    page_starts = [page.start for page in document.pages]
    chunks = []
    for path, first, last in _groups(_sections(document, units), options):
        for start, end in _pack(document.text, units[first:last], options):
            chunks.append(_chunk(document, path, units[first + start : first + end], page_starts))
    return tuple(chunks)


def _chunk(document: ParsedDocument, path: tuple[str, ...], units: Sequence[_Unit], page_starts: list[int]) -> Chunk:
    start, end = units[0].start, units[-1].end
    text = document.text[start:end]
    header = units[0].header if units[0].inner else ""
    parts = path[1:] if path and path[0] == _shorten(document.title, _LONGEST_PART) else path
    while len(parts) > 1 and len(" > ".join(parts)) > _LONGEST_PATH:
        parts = parts[1:]
    # Rows carry the names of their columns; a chunk that begins within a row too long for one would not.
    if header:
        parts = (*parts, _shorten(header, _LONGEST_HEADER))
    page = document.pages[max(bisect_right(page_starts, start) - 1, 0)].number if document.pages else None
    return Chunk(start, end, text, " > ".join(parts), page)


def _units(document: ParsedDocument) -> Iterator[_Unit]:
    """Headings and blocks as units of their own, and the sentences between them."""
    reached = 0
    marks: list[Heading | Block] = sorted([*document.headings, *document.blocks], key=lambda mark: mark.start)
    for mark in marks:
        if mark.start < reached or mark.end <= mark.start:
            continue  # a block within another
        yield from _sentence_units(document.text, reached, mark.start)
        if isinstance(mark, Heading):
            yield _Unit(mark.start, mark.end, "heading")
        else:
            yield _Unit(mark.start, mark.end, mark.kind, mark.header)
        reached = mark.end
    yield from _sentence_units(document.text, reached, len(document.text))


def _sentence_units(text: str, first: int, last: int) -> Iterator[_Unit]:
    if last - first > 2 or text[first:last].strip():
        for start, end in sentences(text[first:last]):
            yield _Unit(first + start, first + end, "text")


def _fit(text: str, units: list[_Unit], count_tokens: CountTokens, options: ChunkOptions) -> list[_Unit]:
    """The units with their tokens counted; what is too long is cut: blocks to lines or sentences, these in halves.

    Each round counts only what was cut in the round before, and halving begins below ``LONGEST`` characters, so the
    text is counted a bounded number of times.
    """
    units = [part for unit in units for part in (_parts(text, unit) if _length(unit) > options.most_chars else (unit,))]
    units = _count(text, units, count_tokens)
    split = _parts
    while any(_too_long(unit, options) for unit in units):
        groups = [split(text, unit) if _too_long(unit, options) else () for unit in units]
        fresh = iter(_count(text, [part for group in groups for part in group], count_tokens))
        units = [
            one for unit, group in zip(units, groups, strict=True) for one in ([next(fresh) for _ in group] or [unit])
        ]
        split = _halves
    return units


def _count(text: str, units: Sequence[_Unit], count_tokens: CountTokens) -> list[_Unit]:
    counts = count_tokens([text[unit.start : unit.end] for unit in units]) if units else []
    return [replace(unit, tokens=tokens) for unit, tokens in zip(units, counts, strict=True)]


def _too_long(unit: _Unit, options: ChunkOptions) -> bool:
    return _length(unit) > 1 and (unit.tokens > options.most or _length(unit) > options.most_chars)


def _length(unit: _Unit) -> int:
    return unit.end - unit.start


def _parts(text: str, unit: _Unit) -> tuple[_Unit, ...]:
    """A block's lines (code) or sentences (all else), none longer than LONGEST characters."""
    start, parts = unit.start, []
    for row in text[unit.start : unit.end].split("\n") if unit.kind == "code" else [text[unit.start : unit.end]]:
        whole = unit.kind == "code" and len(row) <= LONGEST and not row.isspace()
        indent = len(row) - len(row.lstrip())
        spans = ((indent, len(row.rstrip())),) if whole and row else sentences(row)
        parts += [replace(unit, start=start + first, end=start + last, inner=True) for first, last in spans]
        start += len(row) + 1
    return (replace(parts[0], inner=unit.inner), *parts[1:]) if parts else ()


def _halves(text: str, unit: _Unit) -> tuple[_Unit, ...]:
    """A unit of two or more characters, cut at the white space nearest to its middle; for lack of it, in the middle."""
    start, end = unit.start, unit.end
    middle = (start + end) // 2
    for step in range(middle - start):
        spaces = [at for at in (middle - step, middle + step) if at < end and text[at].isspace()]
        if spaces:
            left, right = text[start : spaces[0]].rstrip(), text[spaces[0] : end].lstrip()
            return replace(unit, end=start + len(left)), replace(unit, start=end - len(right), inner=True)
    return replace(unit, end=middle), replace(unit, start=middle, inner=True)


def _sections(document: ParsedDocument, units: Sequence[_Unit]) -> list[_Section]:
    """Runs of units from one heading to the next, with the path of headings above them."""
    starts = [at for at, unit in enumerate(units) if unit.kind == "heading"]
    # A heading that had to be cut is several units; only the first opens a section.
    levels = {heading.start: heading for heading in document.headings}
    starts = [at for at in starts if units[at].start in levels]
    sections = []
    above: list[tuple[int, str]] = []
    for first, last in pairwise(sorted({0, *starts, len(units)})):
        heading = levels.get(units[first].start) if units[first].kind == "heading" else None
        if heading:
            while above and above[-1][0] >= heading.level:
                above.pop()
            above.append((heading.level, _shorten(document.text[heading.start : heading.end], _LONGEST_PART)))
        run = units[first:last]
        bare = all(unit.kind == "heading" for unit in run)
        sections.append(_Section(tuple(part for _, part in above), first, last, sum(u.tokens for u in run), bare))
    return sections


def _groups(sections: Sequence[_Section], options: ChunkOptions) -> Iterator[tuple[tuple[str, ...], int, int]]:
    """Sections that share chunks: their common path, first and last (exclusive) unit."""
    group: list[_Section] = []
    size = 0
    for section in sections:
        if group and not _joins(group, size, section, options):
            yield _path(group), group[0].first, group[-1].last
            group, size = [], 0
        group.append(section)
        size += section.tokens
    if group:
        yield _path(group), group[0].first, group[-1].last


def _joins(group: Sequence[_Section], size: int, section: _Section, options: ChunkOptions) -> bool:
    """Whether ``section`` goes with ``group``, of ``size`` tokens: below a bare heading, or short and a relative."""
    first = group[0].path
    below = section.path[: len(first)] == first
    if below and group[-1].bare and group[0].bare:
        return True
    related = below or section.path[:-1] == first[:-1]
    return related and size < options.least and size + section.tokens <= options.target


def _path(group: Sequence[_Section]) -> tuple[str, ...]:
    """The headings that all sections with text of their own stand under."""
    return _common([section.path for section in group if not section.bare] or [group[-1].path])


def _common(paths: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    shortest = min(paths, key=len)
    same = 0
    while same < len(shortest) and all(path[same] == shortest[same] for path in paths):
        same += 1
    return shortest[:same]


def _pack(text: str, units: Sequence[_Unit], options: ChunkOptions) -> Iterator[tuple[int, int]]:
    """The chunks of one group, as first and last (exclusive) unit."""
    sums = list(accumulate((unit.tokens for unit in units), initial=0))
    start = fresh = 0  # units from start to fresh are the overlap with the chunk before
    while fresh < len(units):
        end = _end(text, units, sums, (start, fresh), options)
        yield start, end
        start = fresh = end
        if end < len(units) and _overlaps(units, end, options):
            start = end - 1


def _overlaps(units: Sequence[_Unit], end: int, options: ChunkOptions) -> bool:
    last, following = units[end - 1], units[end]
    fits = last.tokens + following.tokens <= options.most and following.end - last.start <= options.most_chars
    return fits and last.kind == "text" and following.kind != "heading" and 0 < last.tokens <= options.overlap


def _end(text: str, units: Sequence[_Unit], sums: list[int], begin: tuple[int, int], options: ChunkOptions) -> int:
    """Where the chunk that starts at ``begin`` (first unit, first fresh unit) ends best: at least one fresh unit on."""
    start, fresh = begin

    def fits(end: int) -> bool:
        return sums[end] - sums[start] <= options.most and units[end - 1].end - units[start].start <= options.most_chars

    rest = sums[-1] - sums[start]
    wish = rest / max(1, ceil(rest / options.target)) if rest > options.most else rest
    best, best_cost = fresh + 1, float("inf")
    for end in range(fresh + 1, len(units) + 1):
        if not fits(end):
            break
        size = sums[end] - sums[start]
        cost = abs(size - wish) + (wish if end < len(units) and units[end - 1].kind == "heading" else 0)
        paragraph = end == len(units) or "\n\n" in text[units[end - 1].end : units[end].start]
        if paragraph and _NEAR[0] * wish <= size <= _NEAR[1] * wish:
            cost -= wish
        if cost <= best_cost:
            best, best_cost = end, cost
    return best


def _shorten(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    cut = text[:most].rpartition(" ")[0]
    return (cut if len(cut) > most // 2 else text[:most]) + "…"
