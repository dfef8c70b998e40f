"""PowerPoint files (.pptx), by python-pptx (MIT, kept) for the package, slide order and placeholders.

Each slide is a page; its title a heading. Text, tables and groups are read from top to bottom, speaker's notes after
them. Pictures, charts and hidden slides' animations are not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pptx
from pptx.exc import PythonPptxError
from pptx.util import Emu

from ingest.normalise import inline
from ingest.readers.builder import TextBuilder
from ingest.readers.names import title_of
from ingest.readers.package import BROKEN, broken, open_office, open_package
from rag.types import ParsedDocument

VERSION = "pptx/1"

_DEEPEST_GROUP = 20
_LINE = Emu(200_000)  # shapes whose tops differ by less stand beside each other and are read from the left
_MOST_SHAPES = 20_000  # of a slide

Shape = Any


def read_pptx(name: str, data: bytes) -> ParsedDocument:
    """Reads the slides in order; the title is the file's property, else the first slide's.

    Raises DocumentRejected for a file that is no PowerPoint file, is broken, encrypted, or unpacks to too much.
    """
    open_package(data, "PowerPoint file", ".pptx").close()
    builder = TextBuilder()
    try:
        deck = open_office(pptx.Presentation, data)
        title = inline(deck.core_properties.title or "")
        for number, slide in enumerate(deck.slides, start=1):
            builder.page(number)
            heading = _slide(builder, slide)
            title = title if title and title != "PowerPoint Presentation" else heading
    except (*BROKEN, PythonPptxError) as error:
        raise broken("PowerPoint file", ".pptx", error) from error
    return builder.finish(title or title_of(name), VERSION)


def _slide(builder: TextBuilder, slide: Any) -> str:
    """Adds a slide; returns its title."""
    title = slide.shapes.title
    heading = inline(title.text_frame.text) if title is not None else ""
    if heading:
        builder.heading(1, heading)
    for shape in _ordered(slide.shapes, 0):
        if title is None or shape.shape_id != title.shape_id:
            _shape(builder, shape)
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        for paragraph in slide.notes_slide.notes_text_frame.paragraphs:
            builder.paragraph(paragraph.text)
    return heading


def _ordered(shapes: Any, depth: int) -> Iterator[Shape]:
    """The shapes in reading order, those of a group in the place of the group."""
    found = list(shapes)[:_MOST_SHAPES]
    for shape in sorted(found, key=lambda one: ((one.top or 0) // _LINE, one.left or 0)):
        if hasattr(shape, "shapes"):
            if depth < _DEEPEST_GROUP:
                yield from _ordered(shape.shapes, depth + 1)
        else:
            yield shape


def _shape(builder: TextBuilder, shape: Shape) -> None:
    if getattr(shape, "has_table", False):
        headed = bool(shape.table.first_row)
        builder.table([[cell.text for cell in row.cells] for row in shape.table.rows], headed or None)
    elif shape.has_text_frame:
        bulleted = shape.is_placeholder and len(shape.text_frame.paragraphs) > 1
        for paragraph in shape.text_frame.paragraphs:
            rows = paragraph.text.split("\v")
            if bulleted:
                builder.item("-", *rows)
            else:
                builder.paragraph(*rows)
