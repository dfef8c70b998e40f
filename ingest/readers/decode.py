"""Bytes -> str, and what bytes are when they are no text.

charset-normalizer (MIT, kept, pure Python with compiled wheels) guesses an encoding that nothing declares. It is asked
only after UTF-8 failed, and only about encodings that documents are really found in: left to itself it reads a short
Russian KOI8-R text as Japanese and a French one as Lithuanian.
"""

from __future__ import annotations

import codecs
import re

from charset_normalizer import from_bytes

from rag.types import DocumentRejected

_BOMS = (  # UTF-32 first: its little-endian mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CANDIDATES = (
    "cp1252 cp1250 cp1251 cp1253 cp1254 cp1255 cp1256 koi8_r iso8859_2 shift_jis euc_jp gb18030 big5 euc_kr "
    "utf_16_le utf_16_be"
).split()
_SIGNATURES = (
    (b"%PDF-", "a PDF", ".pdf"),
    (b"PK\x03\x04", "a ZIP archive", ".docx if it is a Word file"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old or encrypted Microsoft Office file", ""),
    (b"\x89PNG\r\n", "a PNG image", ""),
    (b"\xff\xd8\xff", "a JPEG image", ""),
    (b"GIF8", "a GIF image", ""),
    (b"\x1f\x8b\x08", "a gzip archive", ""),
    (b"BZh", "a bzip2 archive", ""),
    (b"\xfd7zXZ\x00", "an xz archive", ""),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", ""),
    (b"\x7fELF", "a program", ""),
    (b"SQLite format 3\x00", "an SQLite database", ""),
)
_SAMPLE = 200_000  # bytes shown to the guesser
_MOST_CONTROLS = 0.01  # share of control bytes above which a file is no text
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\b\x1b")) + b"\x7f"
# Only encodings that pages are written in: Python also knows codecs such as punycode, slow on hostile input.
_DECLARABLE = re.compile(
    r"utf-?(8|16|16le|16be)|us-ascii|ascii|(windows|cp|x-cp)-?125\d|cp?(866|932|949)|iso-?8859-?\d{1,2}|latin-?\d{1,2}"
    r"|koi8-[ru]|shift[-_]jis|sjis|x-sjis|euc-(jp|kr)|gb(2312|k|18030)|big5(-hkscs)?|macintosh|tis-620",
    re.IGNORECASE,
)
_WEB_NAMES = {"iso-8859-1": "cp1252", "iso8859-1": "cp1252", "latin1": "cp1252", "us-ascii": "cp1252"} | {
    "ascii": "cp1252",  # pages that say ASCII or Latin-1 mean Windows-1252 (WHATWG Encoding Standard, 4.2)
    "x-sjis": "shift_jis",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "macintosh": "mac_roman",
}


def decode(data: bytes, declared: str = "") -> str:
    """``data`` as text: by byte order mark, as UTF-8, as ``declared``, or by a guess.

    ``declared`` is an encoding the file itself names; a wrong or unknown one is passed over. Raises DocumentRejected
    for binary data and for an encoding that cannot be told.
    """
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return _strict(data, encoding, f"starts with the byte order mark of {encoding}")
    reject_binary(data)
    # UTF-8 first: text in another encoding is hardly ever valid UTF-8 too, and what files declare is often wrong.
    known = [_WEB_NAMES.get(declared.lower(), declared)] if _DECLARABLE.fullmatch(declared) else []
    for encoding in ["utf-8", *known]:
        try:
            return data.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
    return _guess(data)


def reject_binary(data: bytes) -> None:
    """Raises DocumentRejected when ``data`` is an image, an archive or other bytes that are no text."""
    for mark, what, suffix in _SIGNATURES:
        if data.startswith(mark):
            cure = f"rename it to end in {suffix}" if suffix else "convert it to a text, HTML, PDF or DOCX file"
            raise DocumentRejected(f"it holds {what}, not text; {cure}")
    if b"\0" in data and _guess_utf16(data[:_SAMPLE]):
        return
    controls = len(data) - len(data.translate(None, _CONTROLS))
    if controls > _MOST_CONTROLS * len(data):
        share = controls / len(data)
        raise DocumentRejected(f"it holds binary data ({share:.0%} control bytes), not text; convert it to text first")


def _guess_utf16(sample: bytes) -> bool:
    """Whether NUL bytes stand at every other place, as in UTF-16 text of a Latin alphabet."""
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    return len(sample) % 2 == 0 and max(even, odd) > 0.7 * len(sample) / 2 and min(even, odd) <= 0.01 * len(sample)


def _strict(data: bytes, encoding: str, why: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise DocumentRejected(f"it {why} but breaks at byte {error.start}; save it again as UTF-8") from error


def _guess(data: bytes) -> str:
    # A cut through the middle of a character would spoil the guess: end the sample at a line break.
    sample = data[:_SAMPLE]
    if len(data) > _SAMPLE and b"\n" in sample:
        sample = sample[: sample.rindex(b"\n") + 1]
    found = list(from_bytes(sample, cp_isolation=_CANDIDATES))
    if found:
        # Western text often reads as well in cp1250: at equal marks, take the commoner encoding.
        best = min(found, key=lambda match: (match.chaos, -match.coherence, match.encoding != "cp1252"))
        try:
            return data.decode(best.encoding)
        except UnicodeDecodeError:
            pass
    raise DocumentRejected("its text encoding cannot be told; save it as UTF-8")
