"""A page of a PDF as a picture, with the characters of a quote marked, for readers who want to see the source."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import pypdfium2
from PIL import Image, ImageDraw

from ingest.readers.pdf import PDFIUM
from rag.types import NotFound

WIDTH = 1000  # pixels
_MARK = (255, 214, 51)
_STRENGTH = 0.45
_ENOUGH = 40  # letters that tell a place on a page

Box = tuple[float, float, float, float]  # left, bottom, right, top in points, as PDFium gives it


@dataclass(frozen=True, slots=True)
class Picture:
    """A page as PNG; ``top``: how far down the mark begins, from 0 to 1, None where nothing was marked."""

    png: bytes
    top: float | None


def page_picture(path: Path, sha256: str, number: int, quote: str = "") -> Picture:
    """Page ``number`` (from 1) of the PDF at ``path``, WIDTH pixels wide, ``quote`` marked where it is found.

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
    top = 1 - boxes[0][3] / height if boxes else None
    return Picture(_png(_marked(image, boxes, scale, height)), top)


def _boxes(page: pypdfium2.PdfPage, quote: str) -> list[Box]:
    """Boxes of the quote's characters, found by its letters: lines break elsewhere on a page than in the text.

    A quote that goes on on the next page is marked as far as its first letters reach.
    """
    text_page = page.get_textpage()
    try:
        text = text_page.get_text_range()
        if len(text) != text_page.count_chars():
            return []  # characters beyond the BMP: PDFium counts them twice, places would not fit
        places = [index for index, char in enumerate(text) if char.isalnum()]
        letters = [text[index].lower()[:1] for index in places]
        wanted = [char.lower()[:1] for char in quote if char.isalnum()]
        at = "".join(letters).find("".join(wanted))
        if at < 0:
            at = "".join(letters).find("".join(wanted[:_ENOUGH]))
            wanted = wanted[:_ENOUGH]
        if at < 0 or not wanted:
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
