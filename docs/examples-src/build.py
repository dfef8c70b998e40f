"""Write the PDF and DOCX files of examples/ from the Markdown sources beside this script.

Run by hand from the repository root, after a change to a source, with the development extras installed:

    .venv/bin/python docs/examples-src/build.py

The same sources give the same bytes (with the pinned fpdf2 and python-docx): dates in the metadata are fixed and the
zip entries of a DOCX are rewritten with one date. Sources use a small part of Markdown: headings, paragraphs, pipe
tables, "- " and "1. " lists. PDFs use the core fonts, so their text must fit Latin-1; anything else raises ValueError.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import docx
from docx.document import Document as DocxDocument
from fpdf import FPDF
from fpdf.fonts import FontFace

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent.parent / "examples"
WRITTEN = datetime(2026, 9, 1, 8, 0, tzinfo=UTC)
AUTHOR = "Tarnfell Instruments"
LIST_MARK = re.compile(r"(-|\d+\.) ")


@dataclass(frozen=True, slots=True)
class Target:
    """One file to write: source here, place in examples/; running header and paper (a name, or mm) for a PDF."""

    source: str
    path: str
    header: str = ""
    paper: str | tuple[float, float] = "A4"


TARGETS = (
    Target("skua-400-manual.md", "products/skua-400-manual.pdf", "Skua 400 user manual, TI-M-0400 rev. C", (148, 210)),
    Target("service-level-agreement.md", "support/service-level-agreement.pdf", "Fellview service level agreement"),
    Target("opticlean-70-safety-data-sheet.md", "products/opticlean-70-safety-data-sheet.pdf", "SDS-0070-EN 3.1"),
    Target("onboarding-guide.md", "people/onboarding-guide.docx"),
    Target("price-list-2026.md", "products/price-list-2026.docx"),
)


@dataclass(frozen=True, slots=True)
class Part:
    """A heading (``level`` 1 to 3), paragraph, list item or table (``rows``, the first is the header) of a source."""

    kind: str
    text: str = ""
    level: int = 0
    rows: tuple[tuple[str, ...], ...] = ()


def parse(source: str) -> Iterator[Part]:
    """Yield the parts of a Markdown source in order; blocks are separated by empty lines."""
    for block in re.split(r"\n\s*\n", source.strip()):
        lines = block.splitlines()
        if lines[0].startswith("#"):
            marks, _, text = block.partition(" ")
            yield Part("heading", text, level=len(marks))
        elif lines[0].startswith("|"):
            rows = (tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines)
            yield Part("table", rows=tuple(row for row in rows if set("".join(row)) != {"-"}))
        elif LIST_MARK.match(lines[0]):
            for line in lines:
                kind = "bullet" if line.startswith("- ") else "number"
                yield Part(kind, LIST_MARK.sub("", line, count=1))
        else:
            yield Part("paragraph", " ".join(lines))


class Manual(FPDF):  # type: ignore[misc]  # mypy skips fpdf, so its class is Any
    """A PDF with a running header and the page number at the foot of each page."""

    def __init__(self, header: str, paper: str | tuple[float, float]) -> None:
        super().__init__(format=paper)
        self.running = header
        self.set_margins(18, 20)
        self.set_auto_page_break(auto=True, margin=20)

    def header(self) -> None:
        """Write company and document at the top."""
        self.set_font("Helvetica", "I", 8)
        self.set_y(10)
        self.cell(0, 5, f"{AUTHOR} - {self.running}", border="B", new_x="LMARGIN", new_y="NEXT")
        self.set_y(20)

    def footer(self) -> None:
        """Write the page number; ``{nb}`` becomes the number of pages."""
        self.set_y(-14)
        self.set_font("Helvetica", "", 8)
        self.cell(0, 5, f"Page {self.page_no()} of {{nb}}", align="C")


def write_pdf(parts: list[Part], target: Target) -> bytes:
    """Lay the parts out as a PDF; raises ValueError for a character outside Latin-1."""
    pdf = Manual(target.header, target.paper)
    pdf.set_title(parts[0].text)
    pdf.set_author(AUTHOR)
    pdf.set_creation_date(WRITTEN)
    pdf.add_page()
    numbered = 0
    for part in parts:
        numbered = numbered + 1 if part.kind == "number" else 0
        _pdf_part(pdf, part, numbered)
    return bytes(pdf.output())


def _pdf_part(pdf: Manual, part: Part, numbered: int) -> None:
    part.text.encode("latin-1")
    if part.kind == "heading":
        # A heading must not stand alone at the foot of a page.
        if pdf.will_page_break(35):
            pdf.add_page()
        pdf.ln(3 if part.level > 1 else 0)
        pdf.start_section(part.text, level=part.level - 1)
        pdf.set_font("Helvetica", "B", {1: 17, 2: 13, 3: 11}[part.level])
        pdf.multi_cell(0, 7, part.text, align="L", new_x="LMARGIN", new_y="NEXT")
        pdf.ln(1)
    elif part.kind == "table":
        _pdf_table(pdf, part)
    else:
        mark = {"bullet": "- ", "number": f"{numbered}. "}.get(part.kind, "")
        pdf.set_font("Helvetica", "", 10)
        pdf.multi_cell(0, 5, mark + part.text, align="L", new_x="LMARGIN", new_y="NEXT")
        pdf.ln(0 if mark else 2)


def _pdf_table(pdf: Manual, part: Part) -> None:
    pdf.set_font("Helvetica", "", 9)
    pdf.ln(1)
    with pdf.table(headings_style=FontFace(emphasis="BOLD"), line_height=5, text_align="LEFT", padding=1) as table:
        for cells in part.rows:
            row = table.row()
            for cell in cells:
                row.cell(cell)
    pdf.ln(3)


def write_docx(parts: list[Part]) -> bytes:
    """Lay the parts out as a DOCX with heading styles, list styles and real tables."""
    document = docx.Document()
    core = document.core_properties
    core.title, core.author, core.last_modified_by = parts[0].text, AUTHOR, AUTHOR
    core.created = core.modified = WRITTEN.replace(tzinfo=None)
    styles = {"bullet": "List Bullet", "number": "List Number"}
    for part in parts:
        if part.kind == "heading":
            document.add_heading(part.text, level=part.level)
        elif part.kind == "table":
            _docx_table(document, part)
        else:
            document.add_paragraph(part.text, style=styles.get(part.kind))
    buffer = io.BytesIO()
    document.save(buffer)
    return _one_date(buffer.getvalue())


def _docx_table(document: DocxDocument, part: Part) -> None:
    table = document.add_table(rows=0, cols=len(part.rows[0]), style="Table Grid")
    for number, cells in enumerate(part.rows):
        for slot, text in zip(table.add_row().cells, cells, strict=True):
            slot.paragraphs[0].add_run(text).bold = number == 0


def _one_date(data: bytes) -> bytes:
    """Rewrite a zip file so that no entry carries the time of this run."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            entry = zipfile.ZipInfo(name, date_time=WRITTEN.timetuple()[:6])
            entry.compress_type = zipfile.ZIP_DEFLATED
            new.writestr(entry, old.read(name))
    return out.getvalue()


def main() -> None:
    """Write every target."""
    for target in TARGETS:
        parts = list(parse((HERE / target.source).read_text(encoding="utf-8")))
        data = write_pdf(parts, target) if target.path.endswith(".pdf") else write_docx(parts)
        path = EXAMPLES / target.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


if __name__ == "__main__":
    main()
