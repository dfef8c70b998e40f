"""Files made to break an ingest: bombs, escapes, lies and half files. Small here, large once unpacked."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from pathlib import Path

import fpdf

from tests.ingest.golden import make

_ENTITIES = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
ENTITY_BOMB = f'<?xml version="1.0"?><!DOCTYPE b [<!ENTITY e0 "lol">{_ENTITIES}]>'
OUTSIDE = '<!DOCTYPE b [<!ENTITY x SYSTEM "file:///etc/passwd">]>'


def plain_pdf(pages: int) -> bytes:
    """A PDF of so many pages that share one content stream, written by hand."""
    kids = " ".join(f"{5 + n} 0 R" for n in range(pages))
    stream = b"BT /F1 12 Tf 72 400 Td (A page of words.) Tj ET"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Count {pages}/Kids[{kids}]>>".encode(),
        b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        *[b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 3 0 R/Resources<</Font<</F1 4 0 R>>>>>>"] * pages,
    ]
    out, offsets = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return bytes(out + b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, start))


def encrypted_pdf() -> bytes:
    pdf = fpdf.FPDF()
    pdf.set_encryption(owner_password="owner", user_password="user")
    pdf.set_font("Helvetica", size=11)
    pdf.add_page()
    pdf.text(20, 60, "Secret words.")
    return bytes(pdf.output())


def tar(members: dict[str, bytes], link: str = "") -> bytes:
    """A tar.gz of ``members`` and of a symbolic link to ``link``."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        if link:
            entry = tarfile.TarInfo("link.txt")
            entry.type, entry.linkname = tarfile.SYMTYPE, link
            archive.addfile(entry)
    return out.getvalue()


def escaping_docx() -> bytes:
    """A Word file whose parts lead out of the package."""
    good = make.word_handbook()
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good)) as source, zipfile.ZipFile(out, "w") as package:
        for part in source.infolist():
            data = source.read(part)
            if part.filename == "word/_rels/document.xml.rels":
                bad = b'<Relationship Id="rIdX" Type="http://x/image" Target="../../../../../../etc/passwd"/></Relationships>'
                data = data.replace(b"</Relationships>", bad)
            package.writestr(part.filename, data)
        package.writestr("../../../../tmp/answerable-escaped.txt", "escaped")
    return out.getvalue()


def write(folder: Path) -> None:
    """All of them, among three honest files."""
    folder.mkdir()
    files: dict[str, bytes | str] = {
        "honest.txt": "The honest file says that the mast is two metres high.",
        "honest.docx": make.word_handbook(),
        "honest.pdf": plain_pdf(2),
        "bomb.docx": make.pack({"[Content_Types].xml": "<a/>", "word/document.xml": b" " * 60_000_000}),
        "bomb.zip": make.pack({"zeros.txt": b"\0" * 80_000_000, "note.txt": "A note beside the bomb."}),
        "entities.odt": make.pack(
            {"mimetype": "application/vnd.oasis.opendocument.text", "META-INF/manifest.xml": "<m/>",
             "content.xml": ENTITY_BOMB + "<b>&e9;</b>"}
        ),
        "outside.odt": make.pack(
            {"mimetype": "application/vnd.oasis.opendocument.text", "META-INF/manifest.xml": "<m/>",
             "content.xml": OUTSIDE + _odt_with("&x;")}
        ),
        "encrypted.pdf": encrypted_pdf(),
        "xref.pdf": plain_pdf(2).replace(b"startxref\n", b"startxref\n9"),
        "cut.pdf": plain_pdf(2)[:300],
        "escape.docx": escaping_docx(),
        "escape.zip": make.pack({"../../evil.txt": "Evil words.", "/abs.txt": "More evil.", "inside.txt": "Good words."}),
        "escape.tar.gz": tar({"../evil.txt": b"Evil words.", "inside.txt": b"Good words in a tar."}, "/etc/passwd"),
        "line.txt": "word " * 300_000,
        "deep.html": "<div>" * 100_000 + "Deep words." + "</div>" * 100_000,
        "deep.json": "[" * 100_000 + "]" * 100_000,
        "nulls.txt": b"Words\0with\0nulls" * 50,
        "wrong.txt": make.word_table(),
        "wrong.docx": "These are no Word file's bytes.",
        "wrong.xlsx": b"PK\x03\x04 not really",
    }  # fmt: skip
    for name, data in files.items():
        (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)
    os.mkfifo(folder / "pipe.txt")
    with (folder / "huge.txt").open("wb") as file:  # a gigabyte in one line, without its place on the disk
        file.truncate(1_000_000_000)


def _odt_with(words: str) -> str:
    ns = (
        'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
        'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"'
    )
    body = f"<office:body><office:text><text:p>Before {words} after.</text:p></office:text></office:body>"
    return f"<office:document-content {ns}>{body}</office:document-content>"
