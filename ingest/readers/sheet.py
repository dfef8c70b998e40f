"""Spreadsheets (.xlsx, .xlsm, .xls, .ods), by python-calamine (MIT, kept): Rust, values as saved, formulas not run.

Each sheet is a page with its name as heading. Rows carry the names of their columns; the header is the first row that
fills several cells with words. Macros are never looked at.
"""

from __future__ import annotations

import io
from datetime import date, datetime, time, timedelta
from typing import Any

import python_calamine

from ingest.readers.builder import TextBuilder
from ingest.readers.delimited import MOST_COLUMNS, names_columns
from ingest.readers.names import title_of
from ingest.readers.package import open_package
from rag.types import DocumentRejected, ParsedDocument

VERSION = "sheet/1"

MOST_CELLS = 5_000_000  # a sheet with one cell at its far corner claims 17 billion
_LEAST_TABLE = 2  # columns


def read_sheet(name: str, data: bytes) -> ParsedDocument:
    """Reads every visible sheet. Raises DocumentRejected for a broken or encrypted file and for an empty one."""
    if data.startswith(b"PK"):
        open_package(data, "spreadsheet", ".xlsx").close()
    builder = TextBuilder()
    try:
        book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(data))
        for number, sheet in enumerate(book.sheets_metadata, start=1):
            if sheet.visible == python_calamine.SheetVisibleEnum.Visible:
                _sheet(builder, number, sheet.name, _rows(book, number - 1))
    except (python_calamine.CalamineError, ValueError, OSError, OverflowError) as error:
        said = " ".join(str(error).split())[:100]
        cure = "save it without a password" if "assword" in said else "save it again as .xlsx"
        raise DocumentRejected(f"it is no readable spreadsheet ({said}); {cure}") from error
    return builder.finish(title_of(name), VERSION)


def _rows(book: Any, index: int) -> list[list[str]]:
    sheet = book.get_sheet_by_index(index)
    cells = sheet.height * sheet.width
    if cells > MOST_CELLS or sheet.width > 16_384:
        raise DocumentRejected(f"its sheet {index + 1} spans {cells} cells, at most {MOST_CELLS} are read; split it")
    return [[_text(cell) for cell in row] for row in sheet.to_python(skip_empty_area=True)]


def _sheet(builder: TextBuilder, number: int, name: str, rows: list[list[str]]) -> None:
    """One sheet: lone cells above and between tables as paragraphs, runs of rows as tables."""
    if not any(cell for row in rows for cell in row):
        return
    builder.page(number)
    builder.heading(1, name)
    table: list[list[str]] = []
    for row in [*rows, []]:
        filled = [cell for cell in row if cell]
        if len(filled) >= _LEAST_TABLE or (filled and table):
            table.append(row)
            continue
        _table(builder, table)
        table = []
        if filled:
            builder.paragraph(filled[0])
    _table(builder, table)


def _table(builder: TextBuilder, rows: list[list[str]]) -> None:
    if not rows:
        return
    used = [at for at in range(max(map(len, rows))) if any(at < len(row) and row[at] for row in rows)]
    if len(used) > MOST_COLUMNS:
        raise DocumentRejected(f"it has rows of {len(used)} columns, at most {MOST_COLUMNS} are read; split it")
    kept = [[row[at] if at < len(row) else "" for at in used] for row in rows]
    builder.table(kept, headed=names_columns(kept))


def _text(cell: Any) -> str:
    """A cell's value as people write it: no ".0" behind whole numbers, dates in ISO form."""
    match cell:
        case bool():
            return "TRUE" if cell else "FALSE"
        case float():
            return f"{cell:.15g}"
        case datetime():
            midnight = cell.time() == time(0)
            return cell.date().isoformat() if midnight else cell.isoformat(sep=" ", timespec="minutes")
        case date() | time() | timedelta():
            return str(cell)
        case _:
            return " ".join(str(cell).split())
