"""What read_document promises whatever the format: the right reader, or one line with what is wrong and the cure."""

from __future__ import annotations

import os

import pytest

from ingest.readers import CURRENT, SUFFIXES, read_document
from rag.types import DocumentRejected

_PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.xyz", b"text", r"a\.xyz: no reader for \.xyz; .*\.txt, .*\.md.*\.docx"),
        ("README", b"text", "no reader for a file without a suffix"),
        ("a.txt", b"", "empty"),
        ("a.pdf", b"", "empty"),
        ("a.md", b" \n\n ", "empty"),
        ("a.txt", "\u200b\u00ad".encode(), "no text"),
        ("a.html", b"<html><script>x()</script></html>", "no text"),
        ("a.txt", _PNG, "a PNG image.*convert"),
        ("a.txt", bytes(range(256)) * 40, "binary data .* control bytes"),
        ("a.html", b"\x1f\x8b\x08" + bytes(100), "gzip"),
        ("a.md", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), "Office"),
        ("a.pdf", b"no pdf at all", "no readable PDF.*export it again"),
        ("a.docx", b"no docx at all", "no Word file"),
        (
            "/secret/place/a.docx",
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
            r"^a\.docx: .*old or an encrypted.*\.docx without a password",
        ),
    ],
)
def test_what_cannot_be_read_is_rejected_with_reason_and_cure(name: str, data: bytes, said: str) -> None:
    with pytest.raises(DocumentRejected, match=said) as caught:
        read_document(name, data)
    assert "\n" not in str(caught.value)


def test_content_counts_for_more_than_the_name() -> None:
    with pytest.raises(DocumentRejected, match="no readable PDF"):
        read_document("a.txt", b"%PDF-1.7 broken")
    assert read_document("a.txt", b"<html><body><p>Hi</p></body></html>").text == "<html><body><p>Hi</p></body></html>"


def test_suffixes_in_capitals_are_known() -> None:
    assert read_document("A.TXT", b"Text.").reader == "txt/1"


def test_every_reader_names_its_version() -> None:
    assert {"txt/1", "md/2", "html/2", "pdf/2", "docx/2", "rtf/1"} < CURRENT and len(CURRENT) == 16


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_random_bytes_are_rejected_not_crashed_on(suffix: str) -> None:
    for size in (1, 10, 5000):
        try:
            document = read_document(f"a{suffix}", os.urandom(size))
        except DocumentRejected:
            continue
        assert document.text
