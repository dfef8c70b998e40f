from __future__ import annotations

import io
import random
import zipfile
from typing import Any

import docx
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls

from ingest.readers import package, read_document
from ingest.readers.docx import read_docx
from rag.types import DocumentRejected


def _saved(document: Any) -> bytes:
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def _handbook() -> Any:
    document = docx.Document()
    document.add_heading("Staff handbook", 0)
    document.add_heading("Leave", 1)
    document.add_paragraph("Everyone has 30 days.\tSee\nbelow.")
    document.add_paragraph("one", style="List Bullet")
    document.add_paragraph("two", style="List Number")
    table = document.add_table(3, 2)
    for at, cell in enumerate(("Name", "Price", "Widget", "5", "Gadget", "6")):
        table.cell(at // 2, at % 2).text = cell
    document.add_heading("Sub", 2)
    document.add_paragraph("End.")
    return document


def test_headings_lists_and_tables_in_order() -> None:
    document = read_docx("h.docx", _saved(_handbook()))
    assert document.title == "Staff handbook"
    assert document.text == (
        "Staff handbook\n\nLeave\n\nEveryone has 30 days. See\nbelow.\n\n- one\n- two\n\n"
        "Name | Price\nName: Widget | Price: 5\nName: Gadget | Price: 6\n\nSub\n\nEnd."
    )
    headings = [(heading.level, document.text[heading.start : heading.end]) for heading in document.headings]
    assert headings == [(1, "Staff handbook"), (1, "Leave"), (2, "Sub")]
    assert [block.header for block in document.blocks if block.kind == "table"] == ["Name | Price"] * 3


def test_tracked_insertions_are_read_and_deletions_are_not() -> None:
    """python-docx's Paragraph.text skips insertions, links in fields and content controls."""
    file = docx.Document()
    body = file.element.body
    body.insert(
        0,
        parse_xml(
            f"<w:p {nsdecls('w')}><w:r><w:t xml:space='preserve'>The limit is </w:t></w:r>"
            "<w:ins w:id='1' w:author='a'><w:r><w:t>20</w:t></w:r></w:ins>"
            "<w:del w:id='2' w:author='a'><w:r><w:delText>10</w:delText></w:r></w:del>"
            "<w:sdt><w:sdtContent><w:r><w:t xml:space='preserve'> days.</w:t></w:r></w:sdtContent></w:sdt></w:p>"
        ),
    )
    body.insert(
        1,
        parse_xml(
            f"<w:sdt {nsdecls('w')}><w:sdtContent><w:p><w:r><w:t>In a control.</w:t></w:r></w:p></w:sdtContent></w:sdt>"
        ),
    )
    assert read_docx("a.docx", _saved(file)).text == "The limit is 20 days.\n\nIn a control."


def test_a_heading_style_may_be_derived() -> None:
    file = docx.Document()
    style = file.styles.add_style("Company Chapter", 1)
    style.base_style = file.styles["Heading 2"]
    file.add_paragraph("Chapter", style="Company Chapter")
    file.add_paragraph("Text.")
    assert [heading.level for heading in read_docx("a.docx", _saved(file)).headings] == [2]


def test_merged_cells_are_read_once() -> None:
    file = docx.Document()
    table = file.add_table(2, 3)
    table.cell(0, 0).merge(table.cell(0, 1)).text = "wide"
    table.cell(0, 2).merge(table.cell(1, 2)).text = "tall"
    table.cell(1, 0).text = "a"
    table.cell(1, 1).text = "b"
    assert read_docx("a.docx", _saved(file)).text == "wide | | tall\na | b"


def _zip(parts: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as package:
        for name, data in parts.items():
            package.writestr(name, data)
    return out.getvalue()


def test_a_file_whose_links_lead_to_no_part_is_read() -> None:
    """LibreOffice writes a link to a place in the document as a part, "#page-header"; the file was rejected."""
    with zipfile.ZipFile(io.BytesIO(_saved(_handbook()))) as whole:
        parts = {name: whole.read(name) for name in whole.namelist()}
    expected = read_docx("a.docx", _zip(parts))
    links = b"".join(
        b'<Relationship Id="rId9%d" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/%s" '
        b'Target="%s"/>' % (number, kind, target)
        for number, (kind, target) in enumerate([(b"hyperlink", b"#page-header"), (b"image", b"media/gone.png")])
    )
    rels = "word/_rels/document.xml.rels"
    parts[rels] = parts[rels].replace(b"</Relationships>", links + b"</Relationships>")
    with pytest.raises(KeyError, match="page-header"):
        docx.Document(io.BytesIO(_zip(parts)))
    assert read_docx("a.docx", _zip(parts)) == expected


def test_a_bomb_is_rejected_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = _zip({"[Content_Types].xml": b"<a/>", "word/document.xml": b" " * (package.MOST_XML + 1)})
    assert len(bomb) < 100_000
    monkeypatch.setattr(docx, "Document", lambda _: pytest.fail("was opened"))
    with pytest.raises(DocumentRejected, match="unpacks to 50 MB in 2 parts, at most 50 MB of XML"):
        read_docx("a.docx", bomb)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (_zip({"a.txt": b"x"}), "broken Word file"),
        (_zip({"[Content_Types].xml": b"<Types/>"}), "broken Word file"),
        (_zip({"[Content_Types].xml": b"not xml"}), "broken Word file"),
        (b"PK\x03\x04 cut short", "no Word file, or cut short"),
    ],
)
def test_broken_packages_are_rejected(data: bytes, said: str) -> None:
    with pytest.raises(DocumentRejected, match=said):
        read_document("a.docx", data)


def test_damaged_files_are_rejected_not_crashed_on() -> None:
    """Damage both the archive and, within a whole archive, the XML that python-docx and we walk."""
    rng = random.Random(5)
    whole = _saved(_handbook())
    with zipfile.ZipFile(io.BytesIO(whole)) as package:
        parts = {name: package.read(name) for name in package.namelist()}
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(rng.choice((1, 20))):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        name = rng.choice(["word/document.xml", "word/styles.xml", "docProps/core.xml", "[Content_Types].xml"])
        xml = bytearray(parts[name])
        for _ in range(rng.choice((1, 5))):
            xml[rng.randrange(len(xml))] = rng.choice(b'abc019 <>/"=')
        for data in (bytes(damaged), _zip(parts | {name: bytes(xml)})):
            try:
                assert read_document("a.docx", data).text
            except DocumentRejected as error:
                assert "\n" not in str(error)
