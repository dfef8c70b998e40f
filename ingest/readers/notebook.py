"""Jupyter notebooks (.ipynb): Markdown cells as Markdown, code cells as code, printed output after its cell."""

from __future__ import annotations

from typing import Any

from ingest.readers.builder import TextBuilder
from ingest.readers.markdown import write_markdown
from ingest.readers.names import title_of
from ingest.readers.records import load_json
from rag.types import DocumentRejected, ParsedDocument

VERSION = "ipynb/1"

_MOST_OUTPUT = 5000  # characters of one cell's output; training logs run to megabytes


def read_notebook(name: str, data: bytes) -> ParsedDocument:
    """Reads the cells in order; the title is the first heading of level 1. Raises DocumentRejected for no notebook."""
    book = load_json(data)
    cells = book.get("cells") if isinstance(book, dict) else None
    if not isinstance(cells, list):
        raise DocumentRejected("it is no Jupyter notebook of format 4: it lists no cells; save it again in Jupyter")
    builder = TextBuilder()
    title = ""
    for cell in cells:
        if not isinstance(cell, dict):
            continue
        source = _text(cell.get("source"))
        if cell.get("cell_type") == "markdown":
            first = write_markdown(source, builder)
            title = title or first
        elif cell.get("cell_type") == "code":
            builder.code(source)
            for output in _list(cell.get("outputs")):
                builder.code(_output(output))
    return builder.finish(title or title_of(name), VERSION)


def _output(output: Any) -> str:
    """What a cell printed, as text; "" for pictures and errors' colours."""
    if not isinstance(output, dict):
        return ""
    data = output.get("data")
    plain = data.get("text/plain") if isinstance(data, dict) else None
    return _text(output.get("text") or plain)[:_MOST_OUTPUT]


def _text(value: Any) -> str:
    """Notebooks keep text as one string or as a list of lines."""
    if isinstance(value, str):
        return value
    return "".join(part for part in _list(value) if isinstance(part, str))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
