"""PDFs are made with fpdf2, an independent writer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from fpdf import FPDF

from ingest.readers import read_document
from ingest.readers.pdf import read_pdf
from rag.types import DocumentRejected

_BODY = "The station measures wind without moving parts, and it must stand away from obstacles of all kinds. "


class _Manual(FPDF):  # type: ignore[misc]  # fpdf2 is not followed by mypy
    def header(self) -> None:
        self.set_font("helvetica", size=9)
        self.cell(0, 8, "ACME station manual", new_x="LMARGIN", new_y="NEXT")

    def footer(self) -> None:
        self.set_y(-15)
        self.set_font("helvetica", size=9)
        self.cell(0, 8, f"Page {self.page_no()}", align="C")


def _manual() -> bytes:
    pdf = _Manual()
    pdf.set_title("Station manual")
    for number in range(1, 5):
        pdf.add_page()
        pdf.start_section(f"{number} Chapter")
        pdf.set_font("helvetica", "B", 16)
        pdf.cell(0, 12, f"{number} Chapter", new_x="LMARGIN", new_y="NEXT")
        pdf.set_font("helvetica", size=11)
        pdf.multi_cell(0, 5, f"Marker {number}. {_BODY * 2}End.")
        pdf.ln(5)
        pdf.multi_cell(0, 5, "A second paragraph with an exam-\nple of a word, and an example.")
        with pdf.table() as table:
            for cells in (("Name", "Price"), ("Widget", f"{number} EUR"), ("Gadget", "7 EUR")):
                row = table.row()
                for cell in cells:
                    row.cell(cell)
    return bytes(pdf.output())


@pytest.fixture(scope="module")
def manual() -> bytes:
    return _manual()


def test_pages_headings_and_paragraphs(manual: bytes) -> None:
    document = read_pdf("m.pdf", manual)
    assert document.title == "Station manual"
    assert [page.number for page in document.pages] == [1, 2, 3, 4]
    for page in document.pages:
        assert document.text[page.start : page.end] == (
            f"{page.number} Chapter\n\nMarker {page.number}. {_BODY * 2}End.\n\n"
            "A second paragraph with an example of a word, and an example.\n\n"
            f"Name | Price\nName: Widget | Price: {page.number} EUR\nName: Gadget | Price: 7 EUR"
        )
    headings = [(heading.level, document.text[heading.start : heading.end]) for heading in document.headings]
    assert headings == [(1, f"{number} Chapter") for number in range(1, 5)]
    assert document.blocks[1].header == "Name | Price"


def test_running_headers_and_footers_are_dropped(manual: bytes) -> None:
    text = read_pdf("m.pdf", manual).text
    assert "ACME" not in text
    assert "Page" not in text


def test_a_sentence_goes_on_over_the_page() -> None:
    pdf = FPDF()
    pdf.set_font("helvetica", size=11)
    for text in (
        "This sentence begins on the first page and is long enough to fill the whole of a line and then",
        "goes on.",
    ):
        pdf.add_page()
        pdf.multi_cell(0, 5, text)
    document = read_pdf("a_b.pdf", bytes(pdf.output()))
    assert document.title == "a b"
    assert document.text.endswith("a line and then goes on.")
    assert document.text[document.pages[1].start : document.pages[1].end] == "goes on."


def test_a_scan_is_rejected_with_the_cure() -> None:
    pdf = FPDF()
    pdf.add_page()
    pdf.rect(10, 10, 50, 50, style="F")
    with pytest.raises(DocumentRejected, match=r"none of its 1 pages has text"):
        read_pdf("scan.pdf", bytes(pdf.output()))


def test_an_encrypted_file_is_rejected() -> None:
    pdf = FPDF()
    pdf.set_encryption(owner_password="o", user_password="u")
    pdf.add_page()
    pdf.set_font("helvetica", size=11)
    pdf.cell(text="secret")
    with pytest.raises(DocumentRejected, match="encrypted; save it without a password"):
        read_pdf("a.pdf", bytes(pdf.output()))


def test_a_file_cut_short_is_rejected_or_read_in_part(manual: bytes) -> None:
    for share in (0.1, 0.5, 0.9):
        try:
            document = read_document("m.pdf", manual[: int(len(manual) * share)])
        except DocumentRejected as error:
            assert str(error).startswith("m.pdf: ")
        else:
            assert document.text


def test_threads_take_turns(manual: bytes) -> None:
    """PDFium is not thread-safe: without the lock this crashes the process."""
    with ThreadPoolExecutor(4) as pool:
        documents = list(pool.map(lambda _: read_pdf("m.pdf", manual), range(12)))
    assert len({document.text for document in documents}) == 1
