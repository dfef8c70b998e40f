"""Scanned pages: read by Tesseract where it is, reported with the cure where it is not."""

from __future__ import annotations

import io
import shutil

import pytest
from fpdf import FPDF
from PIL import Image, ImageDraw, ImageFont

from ingest.readers import ocr
from ingest.readers.pdf import read_pdf
from rag.types import DocumentRejected

WORDS = "The mast is two metres high"


@pytest.fixture(scope="module")
def scan() -> bytes:
    """A page that is a picture of words, and one of text."""
    picture = Image.new("L", (1700, 400), 255)
    ImageDraw.Draw(picture).text((60, 150), WORDS, fill=0, font=ImageFont.load_default(90))
    out = io.BytesIO()
    picture.save(out, "PNG")
    pdf = FPDF()
    pdf.add_page()
    pdf.image(out, x=10, y=60, w=180)
    return bytes(pdf.output())


@pytest.mark.skipif(not shutil.which("tesseract"), reason="needs Debian's tesseract-ocr")
def test_a_scan_is_read(scan: bytes) -> None:
    asked: list[float] = []
    document = read_pdf("scan.pdf", scan, asked.append)
    assert WORDS in document.text
    assert (document.pages[0].start, document.pages[0].end) == (0, len(document.text))
    assert document.note == "" and asked == [ocr.SECONDS]


def test_without_tesseract_the_cure_is_named(scan: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr, "program", lambda: "")
    with pytest.raises(
        DocumentRejected, match="scans, first on page 1; install tesseract-ocr and run: answerable ingest"
    ):
        read_pdf("scan.pdf", scan)


def test_a_part_that_was_not_read_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr, "program", lambda: "")
    out = io.BytesIO()
    Image.new("L", (50, 50), 0).save(out, "PNG")
    pdf = FPDF()
    pdf.set_font("Helvetica", size=11)
    pdf.add_page()
    pdf.text(20, 100, "A page with words.")
    pdf.add_page()
    pdf.image(out, x=10, y=60, w=100)
    document = read_pdf("mixed.pdf", bytes(pdf.output()))
    assert document.text == "A page with words."
    assert document.note.startswith("1 of 2 pages were not read: they are scans, first on page 2")
