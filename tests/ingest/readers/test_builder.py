from __future__ import annotations

import pytest

from ingest.readers.builder import TextBuilder
from rag.types import Block, DocumentRejected, Page, ParsedDocument


def _block_texts(document: ParsedDocument) -> list[tuple[str, str]]:
    return [(block.kind, document.text[block.start : block.end]) for block in document.blocks]


def test_offsets_point_at_what_was_added() -> None:
    builder = TextBuilder()
    builder.heading(1, " A \n title ")
    builder.paragraph("Some\n  text.", "Second\u00a0row")
    builder.item("-", "one")
    builder.item("2.", "two")
    builder.code("if x:\n    y\n")
    document = builder.finish("t", "test/1")
    assert document.text == "A title\n\nSome text.\nSecond row\n\n- one\n2. two\n\nif x:\n    y"
    assert [document.text[h.start : h.end] for h in document.headings] == ["A title"]
    assert _block_texts(document) == [("list", "- one"), ("list", "2. two"), ("code", "if x:\n    y")]


def test_tables_are_rows_with_their_header() -> None:
    builder = TextBuilder()
    builder.table([["", "Q1", "Q2"], ["North", "1", ""], ["", "", ""], ["South", "", "4"]])
    document = builder.finish("t", "test/1")
    assert document.text == "| Q1 | Q2\nNorth | Q1: 1\nSouth | Q2: 4"
    assert {block.header for block in document.blocks} == {"| Q1 | Q2"}


def test_a_table_of_figures_has_no_header() -> None:
    builder = TextBuilder()
    builder.table([["1990", "2000"], ["5", "6"]])
    assert builder.finish("t", "test/1").blocks[0] == Block("table", 0, 11)


def test_pages_cover_their_text_and_blank_ones_count() -> None:
    builder = TextBuilder()
    builder.page(1)
    builder.page(2)
    builder.paragraph("abc")
    builder.page(3)
    builder.add("def", " ")
    builder.page(4)
    document = builder.finish("t", "test/1")
    assert document.text == "abc def"
    assert document.pages == (Page(1, 0, 0), Page(2, 0, 3), Page(3, 4, 7), Page(4, 7, 7))


def test_a_very_long_heading_is_a_paragraph() -> None:
    builder = TextBuilder()
    builder.heading(2, "word " * 100)
    assert builder.finish("t", "test/1").headings == ()


def test_nothing_added_is_rejected() -> None:
    builder = TextBuilder()
    builder.paragraph("\u200b", " ")
    builder.table([])
    with pytest.raises(DocumentRejected, match="no text"):
        builder.finish("t", "test/1")
