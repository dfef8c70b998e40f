"""Documents of binary formats, written here by hand word by word and packed by libraries that are not our readers."""

from __future__ import annotations

import io
import zipfile
from email.message import EmailMessage
from typing import Any

import docx
import fpdf
import openpyxl
import pptx
from pptx.util import Inches

PRICES = [["Model", "Price", "Weight"], ["Skua 200", "310 EUR", "2.1 kg"], ["Skua 400", "480 EUR", "3.4 kg"]]


def pack(parts: dict[str, str | bytes]) -> bytes:
    """A ZIP package of ``parts``."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as package:
        for name, data in parts.items():
            package.writestr(name, data)
    return out.getvalue()


def saved(document: Any) -> bytes:
    """What ``document.save`` writes."""
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def word_handbook() -> bytes:
    document = docx.Document()
    document.core_properties.title = "Staff handbook"
    document.add_heading("Leave", 1)
    document.add_paragraph("Full-time staff have 26 days of leave.")
    document.add_heading("Sick leave", 2)
    document.add_paragraph("Tell your manager", style="List Bullet")
    document.add_paragraph("Send a certificate", style="List Bullet")
    return saved(document)


def word_table() -> bytes:
    document = docx.Document()
    document.add_heading("Prices", 1)
    table = document.add_table(rows=3, cols=3)
    for row, cells in zip(table.rows, PRICES, strict=True):
        for cell, text in zip(row.cells, cells, strict=True):
            cell.text = text
    return saved(document)


def slides() -> bytes:
    deck = pptx.Presentation()
    deck.core_properties.title = "Quarterly review"
    first = deck.slides.add_slide(deck.slide_layouts[0])
    first.shapes.title.text = "Review of the third quarter"
    first.placeholders[1].text = "Sales team"
    second = deck.slides.add_slide(deck.slide_layouts[1])
    second.shapes.title.text = "Results"
    second.placeholders[1].text = "Orders rose by 12%\nReturns fell by 3%"
    second.notes_slide.notes_text_frame.text = "Thank the warehouse."
    return saved(deck)


def slide_table() -> bytes:
    deck = pptx.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[5])
    slide.shapes.title.text = "Price list"
    table = slide.shapes.add_table(3, 3, Inches(1), Inches(2), Inches(6), Inches(2)).table
    for r, cells in enumerate(PRICES):
        for c, text in enumerate(cells):
            table.cell(r, c).text = text
    return saved(deck)


def workbook() -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Prices"
    sheet.append(["Prices as of 2026"])
    sheet.append([])
    for row in PRICES:
        sheet.append(row)
    stock = book.create_sheet("Stock")
    stock.append(["Article", "Pieces", "Ratio"])
    stock.append(["Bolt", 1200, 0.5])
    hidden = book.create_sheet("Hidden")
    hidden.append(["secret", "words"])
    hidden.sheet_state = "hidden"
    return saved(book)


_ODF = (
    'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
    'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" '
    'xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" '
    'xmlns:dc="http://purl.org/dc/elements/1.1/"'
)


def odt(body: str, title: str = "") -> bytes:
    content = f"<office:document-content {_ODF}><office:body><office:text>{body}</office:text></office:body></office:document-content>"
    meta = (
        f"<office:document-meta {_ODF}><office:meta><dc:title>{title}</dc:title></office:meta></office:document-meta>"
    )
    return pack(
        {
            "mimetype": "application/vnd.oasis.opendocument.text",
            "META-INF/manifest.xml": "<manifest/>",
            "content.xml": content,
            "meta.xml": meta,
        }
    )


def odt_text() -> bytes:
    return odt(
        '<text:h text:outline-level="1">Boiler</text:h><text:p>Keep the<text:s/>valve <text:span>shut</text:span>.</text:p>'
        '<text:h text:outline-level="2">Faults</text:h><text:list><text:list-item><text:p>No flame</text:p></text:list-item>'
        "<text:list-item><text:p>No water</text:p></text:list-item></text:list>",
        "Boiler manual",
    )


def odt_table() -> bytes:
    rows = "".join(
        "<table:table-row>" + "".join(f"<table:table-cell><text:p>{cell}</text:p></table:table-cell>" for cell in row)
        + "</table:table-row>"
        for row in PRICES
    )  # fmt: skip
    return odt(f'<text:h text:outline-level="1">Prices</text:h><table:table>{rows}</table:table>')


def epub() -> bytes:
    container = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
    )
    book = (
        '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>'
        '<dc:title>The keeper</dc:title></metadata><manifest><item id="b" href="two.xhtml" media-type="application/xhtml+xml"/>'
        '<item id="a" href="one.xhtml" media-type="application/xhtml+xml"/></manifest>'
        '<spine><itemref idref="a"/><itemref idref="b"/></spine></package>'
    )
    page = '<html xmlns="http://www.w3.org/1999/xhtml"><body><h1>{}</h1><p>{}</p></body></html>'
    return pack(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": container,
            "OEBPS/book.opf": book,
            "OEBPS/one.xhtml": page.format("The lamp", "He lit it at dusk."),
            "OEBPS/two.xhtml": page.format("The storm", "It came from the west."),
        }
    )


def message() -> bytes:
    mail = EmailMessage()
    mail["Subject"] = "Größe des Lagers"
    mail["From"] = "Ada <ada@example.org>"
    mail["Date"] = "Mon, 02 Mar 2026 10:00:00 +0100"
    mail.set_content("The store holds 400 pallets.\n\nRegards\nAda\n")
    mail.add_attachment(b"%PDF-1.7", maintype="application", subtype="pdf", filename="plan.pdf")
    return mail.as_bytes()


def html_message() -> bytes:
    mail = EmailMessage()
    mail["Subject"] = "News"
    mail.set_content("<html><body><h2>Opening</h2><p>We open at <b>nine</b>.</p></body></html>", subtype="html")
    return mail.as_bytes()


def mailbox() -> bytes:
    first = b"From a@b Mon Mar  2 10:00:00 2026\nSubject: First\n\nThe first words.\n>From here on.\n\n"
    return first + b"From c@d Tue Mar  3 10:00:00 2026\nSubject: Second\n\nThe second words.\n"


def _pdf() -> fpdf.FPDF:
    pdf = fpdf.FPDF()
    pdf.set_auto_page_break(False)
    pdf.set_font("Helvetica", size=11)
    return pdf


def pdf_pages() -> bytes:
    pdf = _pdf()
    pdf.set_title("Mast manual")
    for number, words in enumerate(("The mast is two metres high.", "Guy ropes hold it.", "Lower it in storms."), 1):
        pdf.add_page()
        pdf.text(20, 12, "Mast manual, Fulmar Ltd")
        pdf.text(20, 60, words)
        pdf.text(100, 288, f"Page {number}")
    return bytes(pdf.output())


def pdf_columns() -> bytes:
    """Two columns, written line by line across the page."""
    left = ["The left column begins at the top", "and goes on below, line after line,", "until it is at its end, and there", "the reader turns to the right one."]  # fmt: skip
    right = ["The right column has other words", "that must not be mixed with those", "of the left one, for they belong", "to another sentence altogether."]  # fmt: skip
    pdf = _pdf()
    pdf.add_page()
    for row, (one, other) in enumerate(zip(left, right, strict=True)):
        pdf.text(20, 60 + 6 * row, one)
        pdf.text(115, 60 + 6 * row, other)
    return bytes(pdf.output())


def pdf_hyphens() -> bytes:
    pdf = _pdf()
    pdf.add_page()
    pdf.text(20, 60, "The installation of the whole heating sys-")
    pdf.text(20, 66, "tem takes one day.")
    return bytes(pdf.output())


def pdf_table() -> bytes:
    pdf = _pdf()
    pdf.add_page()
    for r, cells in enumerate(PRICES):
        for c, text in enumerate(cells):
            pdf.text(20 + 55 * c, 60 + 7 * r, text)
    return bytes(pdf.output())


RTF = (
    rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}}{\stylesheet{\s0 Normal;}{\s1 heading 1;}}{\info{\title Caf\'e9 rules}}"
    rb"\pard\s1\outlinelevel0 Opening\par\pard We open at {\b nine}; coffee is \u8364?2.\par"
    rb"{\header Never read}\pard\ls1{\pntext\bullet}Cups\par\pard\ls1 Plates\par"
    rb"\trowd\intbl Drink\cell Price\cell\row\trowd\intbl Tea\cell 2 EUR\cell\row\pard The end.\par}"
)
