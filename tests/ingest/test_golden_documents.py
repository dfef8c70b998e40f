"""The golden set of extraction: text, title, headings and pages of every format come out as written down by hand."""

from __future__ import annotations

from pathlib import PurePath

import pytest

from ingest.readers import SUFFIXES, read_document
from tests.ingest.golden.documents import DOCUMENTS, Golden


@pytest.mark.parametrize("golden", DOCUMENTS, ids=lambda golden: golden.name)
def test_what_was_written_comes_out(golden: Golden) -> None:
    found = read_document(golden.name, golden.data)
    assert found.text == golden.text
    assert found.title == golden.title
    headings = tuple((heading.level, found.text[heading.start : heading.end]) for heading in found.headings)
    assert headings == golden.headings
    if golden.pages:
        pages = tuple((page.number, found.text[page.start : page.end]) for page in found.pages)
        assert pages == golden.pages


def test_every_reader_is_in_the_set() -> None:
    assert len(DOCUMENTS) >= 30
    seen = {SUFFIXES[PurePath(golden.name).suffix].version for golden in DOCUMENTS}
    assert seen == {reader.version for reader in SUFFIXES.values()}
