"""Sentence spans with exact offsets, for the chunker and for the answer verifier.

The rules of segmentation are those of the sentencex package (Wikimedia; Rust core, over 200 languages, MIT): it knows
abbreviations, quotes and parentheses, and gives offsets. Around it stand three rules of our own: a line break that
ends a heading or list item ends a sentence; a run-on is cut, so that no sentence outgrows a passage; and the package
only ever sees short windows, because its time grows with the square of the number of unclosed quotes in a text.
"""

from __future__ import annotations

import re

import sentencex

LONGEST = 1000  # characters; about 200 tokens of English, the length of a passage

_WINDOW = 8000  # characters given to sentencex at once; it needs 26 s for 600,000 with unclosed quotes, 5 ms for these
_SHORTEST_WRAPPED = 40  # a line shorter than this was hardly broken for want of room
_LINE_END = re.compile(r"\n\s*")
# Any character that may end a sentence; a line without one inside is one sentence and needs no look.
_ENDING = re.compile(r"[.!?](?=[\s\"'”’)\]\[])|[^\x00-\x7f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
# "1.", "2.1.", "a)", "(iv)", "-": what a list item begins with, which is no sentence by itself.
_MARKER = re.compile(r"[-*•–]|\(?(?:\d{1,3}(?:\.\d{1,3})*|[A-Za-z]|[ivxIVX]{1,5})[.)]")
# Where a run-on is best cut, best first: after a clause, after a word.
_CUTS = (re.compile(r"[;:,，、；：—][\s]*"), re.compile(r"\s+"))


def sentences(text: str) -> tuple[tuple[int, int], ...]:
    """The sentences of ``text`` as (start, end) in characters, in order, none empty or with outer white space.

    Every non-space character lies in exactly one span; none is longer than ``LONGEST``. Linear in ``len(text)``.
    Any string is taken, lone surrogates and NUL included.
    """
    spans: list[tuple[int, int]] = []
    for first, last in _lines(text):
        for start, end in _merge_markers(text, _segment(text, first, last)):
            spans.extend(_cut(text, start, end))
    return tuple(spans)


def _lines(text: str) -> list[tuple[int, int]]:
    """Runs of text within which no line break ends a sentence."""
    spans: list[tuple[int, int]] = []
    start = 0
    for found in _LINE_END.finditer(text):
        if not _is_wrapped(text, start, found):
            spans.append((start, found.start()))
            start = found.end()
    return [*spans, (start, len(text))]


def _is_wrapped(text: str, start: int, found: re.Match[str]) -> bool:
    """Whether a sentence goes on across this line break: a long line, no end in sight, a small letter after it."""
    before, after = found.start(), found.end()
    if text.count("\n", before, after) > 1 or after == len(text) or not text[after].islower():
        return False
    line = before - max(start, text.rfind("\n", start, before) + 1)
    return line >= _SHORTEST_WRAPPED and text[before - 1] not in ".!?:;。！？" and not _MARKER.match(text, after)


def _segment(text: str, first: int, last: int) -> list[tuple[int, int]]:
    """The sentences of one line, trimmed."""
    spans: list[tuple[int, int]] = []
    while first < last:
        end = last if last - first <= _WINDOW else _window_end(text, first)
        piece = text[first:end]
        cuts = [len(piece)] if not _ENDING.search(piece) else _boundaries(piece)
        start = 0
        for cut in cuts:
            _add_trimmed(spans, text, first + start, first + cut)
            start = cut
        first = end
    return spans


def _window_end(text: str, first: int) -> int:
    """An end for a window that starts at ``first``: after a sentence if one seems to end there, else after a word."""
    window = text[first : first + _WINDOW]
    half = _WINDOW // 2
    cut = max(window.rfind(mark, half) for mark in (". ", "! ", "? ", "。", "！", "？"))
    if cut < 0:
        cut = window.rfind(" ", half)
    return first + (cut + 1 if cut >= 0 else _WINDOW)


def _boundaries(piece: str) -> list[int]:
    """Ends of the sentences of ``piece``; the last is its length."""
    # Rust strings hold no lone surrogates; one character for one keeps the offsets.
    legal = _SURROGATE.sub("\ufffd", piece)
    ends = [found["end_index"] for found in sentencex.get_sentence_boundaries("en", legal)]
    return [*(end for end in ends if end < len(piece)), len(piece)]


def _merge_markers(text: str, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Joins a list marker that was taken for a sentence ("1.") to the sentence after it."""
    merged: list[tuple[int, int]] = []
    for start, end in spans:
        if merged and _MARKER.fullmatch(text, *merged[-1]):
            start = merged.pop()[0]
        merged.append((start, end))
    return merged


def _cut(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Cuts a run-on into pieces of at most LONGEST characters, at clauses, else words, else anywhere."""
    spans: list[tuple[int, int]] = []
    while end - start > LONGEST:
        cut = start + LONGEST
        for pattern in _CUTS:
            stops = [found.end() for found in pattern.finditer(text, start + LONGEST // 2, start + LONGEST)]
            if stops:
                cut = stops[-1]
                break
        _add_trimmed(spans, text, start, cut)
        start = cut
    _add_trimmed(spans, text, start, end)
    return spans


def _add_trimmed(spans: list[tuple[int, int]], text: str, start: int, end: int) -> None:
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    if start < end:
        spans.append((start, end))
