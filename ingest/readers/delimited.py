"""CSV and TSV, by Python's own csv module: every row with the names of its columns.

The delimiter is what divides the first rows most evenly, not csv.Sniffer's guess, which takes any frequent letter.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from itertools import islice

from ingest.readers.builder import TextBuilder
from ingest.readers.decode import decode
from ingest.readers.names import title_of
from rag.types import DocumentRejected, ParsedDocument

VERSION = "csv/1"

MOST_COLUMNS = 200  # more are a matrix, not a table to be read
MOST_FIELD = 1_000_000  # characters of one field
_DELIMITERS = ",;\t|"
_SAMPLE = 30  # rows


def read_csv(name: str, data: bytes) -> ParsedDocument:
    """Reads rows of cells; the first row names the columns unless it holds figures. Raises DocumentRejected."""
    text = decode(data).replace("\0", "")
    csv.field_size_limit(MOST_FIELD)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text)))
    except csv.Error as error:
        raise DocumentRejected(f"its rows cannot be told apart ({error}); save it again as CSV") from error
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    widest = max(map(len, rows), default=0)
    if widest > MOST_COLUMNS:
        raise DocumentRejected(f"it has rows of {widest} columns, at most {MOST_COLUMNS} are read; split it")
    builder = TextBuilder()
    builder.table(rows, headed=names_columns(rows))
    return builder.finish(title_of(name), VERSION)


def names_columns(rows: list[list[str]]) -> bool:
    """Whether the first of ``rows`` names columns: all cells filled and different, none a figure."""
    if len(rows) < 2:
        return False
    first = [cell.strip() for cell in rows[0]]
    while first and not first[-1]:
        first.pop()
    figures = any(cell.replace(".", "").replace(",", "").replace("-", "").isdigit() for cell in first)
    return len(first) > 1 and all(first[1:]) and len(set(first)) == len(first) and not figures


def _delimiter(text: str) -> str:
    """The delimiter that gives the most cells a row at the least difference between rows."""

    def evenness(delimiter: str) -> tuple[bool, int]:
        widths = _widths(csv.reader(io.StringIO(text[:100_000], newline=""), delimiter=delimiter))
        return (len(set(widths)) == 1 and widths[0] > 1, sum(width - 1 for width in widths))

    try:
        return max(_DELIMITERS, key=evenness)
    except csv.Error:
        return ","


def _widths(rows: Iterable[list[str]]) -> list[int]:
    return [len(row) for row in islice(rows, _SAMPLE) if row] or [0]
