"""The chunker's promises, on documents made by hand and at random."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Sequence
from itertools import pairwise

import pytest

from ingest.chunk import ChunkOptions, chunk
from ingest.readers.builder import TextBuilder
from rag.types import Block, Chunk, Page, ParsedDocument

_TOKEN = re.compile(r"\w{1,6}|[^\w\s]")
OPTIONS = ChunkOptions()


def _count(texts: Sequence[str]) -> list[int]:
    """Tokens much as WordPiece cuts them: pieces of words, and each sign by itself."""
    return [len(_TOKEN.findall(text)) for text in texts]


def _chunks(document: ParsedDocument, options: ChunkOptions = OPTIONS) -> tuple[Chunk, ...]:
    chunks = chunk(document, _count, options)
    covered = bytearray(len(document.text))
    previous = (-1, -1)
    for one in chunks:
        assert document.text[one.start : one.end] == one.text
        assert one.text
        assert one.text == one.text.strip()
        assert previous[0] < one.start
        assert previous[1] < one.end
        assert _count([one.text])[0] <= options.most or len(one.text) == 1
        assert len(one.text) <= options.most_chars
        covered[one.start : one.end] = b"\1" * (one.end - one.start)
        previous = (one.start, one.end)
    assert all(seen or char.isspace() for seen, char in zip(covered, document.text, strict=True))
    return chunks


def _words(count: int, word: str = "word") -> str:
    return " ".join([word] * (count - 1)) + f" {word}."


def test_random_documents_keep_the_promises() -> None:
    rng = random.Random(3)
    for seed in range(60):
        builder = TextBuilder()
        for _ in range(rng.randrange(1, 40)):
            size = rng.choice((1, 5, 20, 80, 400))
            text = " ".join(
                rng.choices(("alpha", "be", "c.", "Delta!", "😀", "你好世界" * 9, "x" * 90, "(", "1.5"), k=size)
            )
            match rng.randrange(6):
                case 0:
                    builder.heading(rng.randrange(1, 8), text[:400])
                case 1:
                    builder.code(text.replace(" ", rng.choice(("\n", "\n  ", " "))))
                case 2:
                    builder.table([["A", "B"], *[[text[: rng.randrange(1, 900)], "b"] for _ in range(3)]])
                case 3:
                    builder.item("-", text)
                case _:
                    builder.paragraph(text)
        assert _chunks(builder.finish(f"t{seed}", "test/1"))


@pytest.mark.parametrize("kind", ["", "code", "table", "list"])
@pytest.mark.parametrize("text", ["word " * 3000, "x" * 20_000, "你" * 5000, "." * 5000, "a b\n" * 3000])
def test_giant_units_are_cut(kind: str, text: str) -> None:
    """A sentence over the limit once lost its token count on the way, and two of 1000 tokens made one chunk."""
    text = text.strip()
    blocks = (Block(kind, 0, len(text)),) if kind else ()
    chunks = _chunks(ParsedDocument("t", text, "test/1", blocks=blocks))
    assert len(chunks) >= 5
    if " " in text:
        assert all(one.text.split()[0] in text.split() for one in chunks)


def test_chunks_are_about_as_long_as_asked_and_share_a_sentence() -> None:
    sentences = [f"Sentence number {n} says one thing about the subject at hand." for n in range(100)]
    chunks = _chunks(ParsedDocument("t", " ".join(sentences), "test/1"))
    sizes = _count([one.text for one in chunks])
    assert all(150 <= size <= 240 for size in sizes)
    for one, two in pairwise(chunks):
        shared = one.text[two.start - one.start :]
        assert shared in sentences
        assert _count([shared])[0] <= OPTIONS.overlap


def test_a_remainder_is_spread_over_the_chunks() -> None:
    text = " ".join(_words(20) for _ in range(13))
    sizes = _count([one.text for one in _chunks(ParsedDocument("t", text, "test/1"))])
    assert len(sizes) == 2
    assert min(sizes) > 100


def test_long_sections_keep_their_chunks_and_heading_path() -> None:
    builder = TextBuilder()
    builder.heading(1, "Handbook")
    builder.heading(2, "Leave")
    builder.heading(3, "Parental")
    builder.paragraph(_words(120, "child"))
    builder.heading(3, "Unpaid")
    builder.paragraph(_words(120, "month"))
    chunks = _chunks(builder.finish("Handbook", "test/1"))
    assert [one.heading for one in chunks] == ["Leave > Parental", "Leave > Unpaid"]
    assert chunks[0].text.startswith("Handbook\n\nLeave\n\nParental")
    assert "month" not in chunks[0].text


def test_short_neighbours_of_one_parent_share_a_chunk() -> None:
    builder = TextBuilder()
    builder.heading(1, "FAQ")
    for chapter in ("Delivery", "Returns"):
        builder.heading(2, chapter)
        for number in range(2):
            builder.heading(3, f"{chapter} question {number}?")
            builder.paragraph(_words(30, chapter))
    chunks = _chunks(builder.finish("FAQ", "test/1"))
    assert [one.heading for one in chunks] == ["Delivery", "Returns"]
    assert "Returns" not in chunks[0].text


def test_table_rows_stay_whole_and_name_their_columns() -> None:
    builder = TextBuilder()
    builder.heading(1, "Prices")
    rows = [[f"Article {n}", f"{n}.50 EUR", "a remark of several words on it"] for n in range(60)]
    builder.table([["Article", "Price", "Remark"], *rows], headed=True)
    chunks = _chunks(builder.finish("List", "test/1"))
    assert len(chunks) > 3
    whole = {f"Article: {article} | Price: {price} | Remark: {remark}" for article, price, remark in rows}
    for one in chunks[1:]:
        assert set(one.text.split("\n")) <= whole
    assert {one.heading for one in chunks} == {"Prices"}
    assert sum(one.text.count("Article 17 ") for one in chunks) == 1


def test_a_chunk_within_a_row_too_long_for_one_names_the_columns() -> None:
    builder = TextBuilder()
    builder.heading(1, "Prices")
    builder.table([["Article", "Remark"], ["Skua", _words(900)]], headed=True)
    chunks = _chunks(builder.finish("List", "test/1"))
    assert len(chunks) > 2 and chunks[0].heading == "Prices"
    assert {one.heading for one in chunks[1:]} == {"Prices > Article | Remark"}


def test_code_that_fits_stays_whole() -> None:
    builder = TextBuilder()
    builder.paragraph(_words(110))
    code = "\n".join(f"line_{n} = call({n})" for n in range(15))
    builder.code(code)
    builder.paragraph(_words(110))
    assert any(code in one.text for one in _chunks(builder.finish("t", "test/1")))


def test_the_page_is_that_of_the_chunks_first_character() -> None:
    first, second = _words(150), _words(150, "other")
    text = f"{first}\n\n{second}"
    pages = (Page(1, 0, 0), Page(2, 0, len(first)), Page(3, len(first), len(first)), Page(4, len(first) + 2, len(text)))
    chunks = _chunks(ParsedDocument("t", text, "test/1", pages=pages))
    assert [one.page for one in chunks] == [2, 4]


def test_no_pages_no_page_and_no_text_no_chunk() -> None:
    assert chunk(ParsedDocument("t", "", "test/1"), _count, OPTIONS) == ()
    assert _chunks(ParsedDocument("t", "One.", "test/1"))[0].page is None


def test_tokens_are_counted_in_few_calls() -> None:
    calls: list[int] = []

    def count(texts: Sequence[str]) -> list[int]:
        calls.append(sum(map(len, texts)))
        return _count(texts)

    text = " ".join(_words(12) for _ in range(2000))
    chunk(ParsedDocument("t", text, "test/1"), count, OPTIONS)
    assert len(calls) == 1
    assert calls[0] <= len(text)


def test_five_megabytes_take_seconds() -> None:
    text = "This is a sentence, with several words in it. " * 110_000
    started = time.perf_counter()
    chunks = chunk(ParsedDocument("t", text.strip(), "test/1"), _count, OPTIONS)
    assert time.perf_counter() - started < 30
    assert len(chunks) > 4000
