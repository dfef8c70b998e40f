"""A page of a PDF as a picture, with the characters of a quote marked, for readers who want to see the source."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pypdfium2
from PIL import Image, ImageDraw

from ingest.readers.pdf import PDFIUM
from rag.types import NotFound

WIDTH = 1000  # pixels
_MARK = (255, 214, 51)
_STRENGTH = 0.45

Box = tuple[float, float, float, float]  # left, bottom, right, top in points, as PDFium gives it


def page_picture(path: Path, sha256: str, number: int, quote: str = "") -> bytes:
    """Page ``number`` (from 1) of the PDF at ``path`` as PNG, WIDTH pixels wide, ``quote`` marked where it is found.

    Raises NotFound where the file is gone, is no PDF, or is no longer the one that was read (SHA-256 ``sha256``).
    """
    try:
        data = path.read_bytes()
    except OSError:
        raise NotFound(f"the file of this document is no longer at {path.name}; its text is kept") from None
    if hashlib.sha256(data).hexdigest() != sha256 or not data.startswith(b"%PDF-"):
        raise NotFound(f"{path.name} is no longer the PDF that was read; ingest it again")
    with PDFIUM:
        document = pypdfium2.PdfDocument(data)
        try:
            page = document[number - 1]
            scale = WIDTH / page.get_width()
            image = page.render(scale=scale).to_pil().convert("RGB")
            boxes = _boxes(page, quote) if quote.strip() else []
            height = page.get_height()
        finally:
            document.close()
    return _png(_marked(image, boxes, scale, height))


def _boxes(page: pypdfium2.PdfPage, quote: str) -> list[Box]:
    """Boxes of the quote's characters, found by its letters alone: lines break elsewhere on the page than in the text."""
    text_page = page.get_textpage()
    try:
        text = text_page.get_text_range()
        if len(text) != text_page.count_chars():
            return []  # characters beyond the BMP: PDFium counts them twice, places would not fit
        places = [index for index, char in enumerate(text) if char.isalnum()]
        letters = "".join(text[index] for index in places).lower()
        wanted = "".join(char for char in quote if char.isalnum()).lower()
        at = letters.find(wanted) if wanted else -1
        if at < 0 or len(letters) != len(places):
            return []
        return [text_page.get_charbox(index, loose=True) for index in places[at : at + len(wanted)]]
    finally:
        text_page.close()


def _marked(image: Image.Image, boxes: list[Box], scale: float, height: float) -> Image.Image:
    if not boxes:
        return image
    layer = image.copy()
    draw = ImageDraw.Draw(layer)
    for left, bottom, right, top in boxes:
        draw.rectangle((left * scale, (height - top) * scale, right * scale + 1, (height - bottom) * scale), fill=_MARK)
    return Image.composite(Image.blend(image, layer, _STRENGTH), image, _mask(image.size, boxes, scale, height))


def _mask(size: tuple[int, int], boxes: list[Box], scale: float, height: float) -> Image.Image:
    mask = Image.new("L", size, 0)
    draw = ImageDraw.Draw(mask)
    for left, bottom, right, top in boxes:
        draw.rectangle((left * scale, (height - top) * scale, right * scale + 1, (height - bottom) * scale), fill=255)
    return mask


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=3)
    return out.getvalue()
