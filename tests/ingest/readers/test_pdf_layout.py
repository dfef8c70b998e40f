from __future__ import annotations

from ingest.readers.pdf_layout import Line, PageLines, Paragraph, paragraphs


def _line(text: str, bottom: float, *, hyphenated: bool = False, size: float = 10.0, left: float = 50.0) -> Line:
    return Line((text,), hyphenated, left, left + 5.0 * len(text), bottom, size)


def _texts(*pages: PageLines) -> list[str]:
    return [part.text for part in paragraphs(pages)]


def _column(*texts: str) -> PageLines:
    return PageLines(1, 800.0, tuple(_line(text, 500.0 - 12 * at) for at, text in enumerate(texts)))


def test_the_document_says_whether_a_hyphen_is_part_of_the_word() -> None:
    known = "It is well-known as an example of COVID and more of it here"
    pages = [
        PageLines(
            1, 800.0, (_line(known, 500.0), _line("one exam", 488.0, hyphenated=True), _line("ple here.", 476.0))
        ),
        PageLines(2, 800.0, (_line("A well", 500.0, hyphenated=True), _line("known case.", 488.0))),
        PageLines(3, 800.0, (_line("The COVID", 500.0, hyphenated=True), _line("19 wave.", 488.0))),
        PageLines(4, 800.0, (_line("Some silent", 500.0, hyphenated=True), _line("ium metal.", 488.0))),
    ]
    text = " ".join(_texts(*pages))
    for words in ("one example here.", "A well-known case.", "The COVID-19 wave.", "Some silentium metal."):
        assert words in text


def test_wide_gaps_and_larger_type_part_paragraphs() -> None:
    long = "a line that is as wide as the whole of the column is on this"
    lines = (
        _line("Heading", 540.0, size=14.0),
        _line(long, 520.0),
        _line(long, 508.0),
        _line(long, 496.0),
        _line(long, 470.0),
        _line(long, 458.0),
    )
    assert _texts(PageLines(1, 800.0, lines)) == ["Heading", f"{long} {long} {long}", f"{long} {long}"]


def test_list_items_stay_on_lines_of_their_own() -> None:
    parts = list(paragraphs([_column("• one of the items in this list here", "• two of the items in this list here")]))
    assert [part.gap for part in parts] == ["\n\n", "\n"]


def test_rows_with_cells_make_a_table_and_a_lone_one_does_not() -> None:
    cells = [("Name", "Price"), ("A", "5"), ("B", "6")]
    rows = tuple(Line(row, False, 50.0, 300.0, 500.0 - 12 * at, 10.0) for at, row in enumerate(cells))
    assert list(paragraphs([PageLines(1, 800.0, rows)])) == [Paragraph(1, "", rows=tuple(cells))]
    assert _texts(PageLines(1, 800.0, rows[:1])) == ["Name Price"]


def test_page_numbers_are_dropped_and_figures_at_the_edge_stay() -> None:
    pages = [
        PageLines(
            n, 800.0, (_line(f"Body {n * 7}", 400.0), _line(f"Total {n * n} EUR", 60.0), _line(f"{n} of 9", 30.0))
        )
        for n in range(1, 5)
    ]
    assert _texts(*pages) == [text for n in range(1, 5) for text in (f"Body {n * 7}", f"Total {n * n} EUR")]


def test_a_page_without_text_yields_an_empty_paragraph() -> None:
    assert list(paragraphs([PageLines(1, 800.0, ())])) == [Paragraph(1, "")]


def test_ligatures_are_spelt_out() -> None:
    assert _texts(_column("the ﬁrst ﬂow")) == ["the first flow"]
