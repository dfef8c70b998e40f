"""What the generator reads: no repetitions, neighbours in one piece, citations still exact."""

from __future__ import annotations

from rag.select import distinct, merged
from rag.types import Hit, Passage

TEXT = "One sentence here. Another follows it.\n\nA third one stands further on, after a gap."


def passage(start: int, end: int, document: str = "d", text: str = TEXT) -> Passage:
    return Passage(start, document, "t", "u", start, end, text[start:end])


def hit(text: str, score: float) -> Hit:
    return Hit(Passage(0, text, "", "", 0, len(text), text), score)


def test_a_near_duplicate_makes_room_for_the_next() -> None:
    words = " ".join(f"word{n}" for n in range(60))
    hits = (hit(words, 0.9), hit(words.replace("word59", "other"), 0.8), hit("something else entirely", 0.7))
    assert [found.score for found in distinct(hits, 2)] == [0.9, 0.7]
    assert distinct(hits, 1) == hits[:1]
    assert distinct((), 3) == ()


def test_neighbours_become_one_range_of_the_document() -> None:
    first, second, third = passage(0, 18), passage(19, 38), passage(40, len(TEXT))
    (one,) = merged((second, first), lambda _id: TEXT)
    assert (one.start, one.end, one.text, one.chunk_id) == (0, 38, TEXT[:38], second.chunk_id)
    (whole,) = merged((first, second, third), lambda _id: TEXT)
    assert whole.text == TEXT[whole.start : whole.end] == TEXT


def test_other_documents_gaps_and_long_ranges_stay_apart() -> None:
    long = "x" * 3000
    apart = (passage(0, 18), passage(0, 18, "e"), passage(40, 60))
    assert merged(apart, lambda _id: TEXT) == apart
    two = (passage(0, 1000, "l", long), passage(1000, 2000, "l", long))
    assert merged(two, lambda _id: long) == two
