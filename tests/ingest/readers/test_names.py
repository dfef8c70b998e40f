from __future__ import annotations

import pytest

from ingest.readers.names import title_of


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("staff_hand-book.txt", "staff hand-book"),
        ("a/b/c.d.md", "c.d"),
        ("a\\b.txt", "b"),
        (".txt", ".txt"),
        ("___.md", "___.md"),
    ],
)
def test_title_of(name: str, title: str) -> None:
    assert title_of(name) == title
