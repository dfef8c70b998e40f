"""PDF with a text layer, by pypdfium2 (Apache-2.0/BSD-3, kept): Chrome's own PDF engine, fast and used to broken files.

It gives characters with their boxes; from these ingest/readers/pdf_layout.py makes paragraphs. Headings come from the
document's outline where an entry is found on its page, never from type size alone. Pages without text that hold
pictures are scans: ingest/readers/ocr.py reads them.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator

import pypdfium2
import pypdfium2.raw

from ingest.normalise import inline
from ingest.readers import ocr
from ingest.readers.builder import TextBuilder
from ingest.readers.names import title_of
from ingest.readers.pdf_layout import HYPHEN, Line, PageLines, Paragraph, columns, paragraphs
from rag.types import DocumentRejected, ParsedDocument

VERSION = "pdf/2"

# PDFium keeps its state in the process and is not thread-safe, so its guard is one for the process too.
PDFIUM = threading.Lock()
_LINE = re.compile(rf"[^\r\n{HYPHEN}]*[\r\n{HYPHEN}]*")
_SPACES = re.compile(r"(?<=\S)\s+(?=\S)")
_COLUMN_GAP = 1.5  # times the type size; a space is a quarter, in a badly justified line up to one
_DEEPEST_OUTLINE = 6
_NOT_WORD = re.compile(r"[\W_]+")
_SELF_NAMED = re.compile(r"untitled|microsoft word\b.*|.*\.(docx?|pdf|indd|tex|dvi|ps|odt|rtf)", re.IGNORECASE)

_MOST_SCANS = 500  # pages of a document that are recognised
_MOST_PIXELS = 6000  # of a page's longer side, whatever size it claims

Beat = Callable[[float], None]
Outline = dict[int, dict[str, int]]  # page number -> words of the entry -> level


def read_pdf(name: str, data: bytes, beat: Beat | None = None) -> ParsedDocument:
    """Reads the text layer, and scanned pages where Tesseract is installed, with the map to pages.

    ``beat`` is told before a page is recognised how many seconds that may take. Safe to call from several threads; they
    take turns. Raises DocumentRejected for a broken or encrypted file and for one without any text.
    """
    with PDFIUM:
        document = _open(data)
        try:
            pages = [_page(document, index) for index in range(len(document))]
            outline = _outline(document)
            title = inline(document.get_metadata_dict().get("Title", ""))
            scans = [page.number for page in pages if not page.lines and _is_scan(document, page.number - 1)]
            read = _recognise(document, scans, beat or (lambda _seconds: None))
        finally:
            document.close()
    unread = [number for number in scans if number not in read]
    if not read and not any(page.lines for page in pages):
        raise DocumentRejected(f"none of its {len(pages)} pages has text{_scanned(unread)}")
    builder = TextBuilder()
    _write(paragraphs(pages), outline, read, builder)
    note = f"{len(unread)} of {len(pages)} pages were not read{_scanned(unread)}" if unread else ""
    return builder.finish(title if title and not _SELF_NAMED.fullmatch(title) else title_of(name), VERSION, note)


def _scanned(pages: list[int]) -> str:
    """What to do about scanned pages, in words."""
    if not pages:
        return ", and none is a scan; export it again with its text"
    if not ocr.program():
        return f": they are scans, first on page {pages[0]}; {ocr.CURE}"
    return f": they are scans, first on page {pages[0]}, in which no text was recognised"


def _open(data: bytes) -> pypdfium2.PdfDocument:
    try:
        return pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise DocumentRejected("it is encrypted; save it without a password") from error
        raise DocumentRejected(f"it is no readable PDF ({error}); export it again") from error


def _is_scan(document: pypdfium2.PdfDocument, index: int) -> bool:
    """Whether a page without text holds a picture."""
    try:
        page = document[index]
        found = next(iter(page.get_objects(filter=[pypdfium2.raw.FPDF_PAGEOBJ_IMAGE], max_depth=3)), None)
        page.close()
    except pypdfium2.PdfiumError:
        return False
    return found is not None


def _recognise(document: pypdfium2.PdfDocument, scans: list[int], beat: Beat) -> dict[int, list[str]]:
    """The paragraphs of scanned pages by page number; empty without Tesseract."""
    tesseract = ocr.program() if scans else ""
    language = ocr.languages(tesseract) if tesseract else ""
    found = {}
    for number in scans[:_MOST_SCANS] if language else []:
        beat(ocr.SECONDS)
        page = document[number - 1]
        scale = min(ocr.DPI / 72, _MOST_PIXELS / max(1.0, *page.get_size()))
        picture = page.render(scale=scale, grayscale=True).to_numpy()  # (H, W) or (H, W, 1)
        paragraphs_of_page = ocr.recognise(tesseract, language, picture.reshape(picture.shape[:2]))
        page.close()
        if paragraphs_of_page:
            found[number] = paragraphs_of_page
    return found


def _page(document: pypdfium2.PdfDocument, index: int) -> PageLines:
    try:
        page = document[index]
        height = page.get_height()
        text_page = page.get_textpage()
    except pypdfium2.PdfiumError as error:
        raise DocumentRejected(f"its page {index + 1} is broken ({error}); export it again") from error
    try:
        return PageLines(index + 1, height, columns(list(_lines(text_page))))
    finally:
        text_page.close()
        page.close()


def _lines(text_page: pypdfium2.PdfTextPage) -> Iterator[Line]:
    text = text_page.get_text_range()
    # PDFium counts characters beyond the BMP twice where Python counts one; then boxes cannot be told apart.
    placed = len(text) == text_page.count_chars()
    for found in _LINE.finditer(text):
        words = found[0].strip(f"\r\n{HYPHEN}")
        if not words.strip():
            continue
        hyphenated = HYPHEN in found[0]
        if not placed:
            yield Line((inline(words),), hyphenated)
            continue
        first = found.start() + len(words) - len(words.lstrip())
        last = found.start() + len(words.rstrip()) - 1
        size = pypdfium2.raw.FPDFText_GetFontSize(text_page, first)
        left, bottom, _, _ = text_page.get_charbox(first, loose=True)
        _, _, right, _ = text_page.get_charbox(last, loose=True)
        cells, starts = _cells(text_page, text, (first, last + 1), size)
        yield Line(cells, hyphenated, left, right, bottom, size, starts)


def _cells(
    text_page: pypdfium2.PdfTextPage, text: str, span: tuple[int, int], size: float
) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """The parts of the line ``text[span]`` between gaps wider than any space in running text, and where each begins."""
    cells: list[tuple[str, int]] = []
    start, end = span
    for found in _SPACES.finditer(text, start, end):
        right = text_page.get_charbox(found.start() - 1)[2]
        if text_page.get_charbox(found.end())[0] - right > _COLUMN_GAP * size > 0:
            cells.append((inline(text[start : found.start()]), start))
            start = found.end()
    cells.append((inline(text[start:end]), start))
    kept = [(cell, at) for cell, at in cells if cell] or [("", span[0])]
    return tuple(cell for cell, _ in kept), tuple(text_page.get_charbox(at)[0] for _, at in kept)


def _outline(document: pypdfium2.PdfDocument) -> Outline:
    outline: Outline = {}
    try:
        for entry in document.get_toc(max_depth=_DEEPEST_OUTLINE):
            target = entry.get_dest()
            index = target.get_index() if target else None
            if index is not None:
                outline.setdefault(index + 1, {})[_words(entry.get_title())] = entry.level + 1
    except pypdfium2.PdfiumError:
        return {}  # a broken outline costs the headings, not the text
    return outline


def _write(parts: Iterator[Paragraph], outline: Outline, read: dict[int, list[str]], builder: TextBuilder) -> None:
    page = 0
    for part in parts:
        for number in range(page + 1, part.page + 1):
            builder.page(number)
        page = part.page
        level = outline.get(page, {}).pop(_words(part.text), 0)
        if page in read:
            for recognised in read.pop(page):
                builder.paragraph(*recognised.split("\n"))
        elif part.rows:
            builder.table(part.rows)
        elif level:
            builder.heading(level, part.text)
        elif part.text:
            builder.add(part.text, part.gap)


def _words(text: str) -> str:
    return _NOT_WORD.sub(" ", text).strip().casefold()
