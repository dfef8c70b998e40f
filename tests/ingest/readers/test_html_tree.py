from __future__ import annotations

import time

import pytest

from ingest.readers.html_tree import content_root, reject_bomb
from rag.types import DocumentRejected

_BOMBS = {
    "nested": "<div>" * 300_000,
    "closed": "<div>" * 100_000 + "</div>" * 100_000,
    "lists": "<ul><li>" * 50_000,
    "copied": "".join(f"<p><b id={n}>x" for n in range(5000)),
    "hidden-ends": "<div><!--</div>-->" * 100_000,
    "quoted-ends": '<div a="</div>">' * 100_000,
    "other-ends": "<div></span>" * 100_000,
}


@pytest.mark.parametrize("name", _BOMBS)
def test_bombs_are_rejected_before_parsing(name: str) -> None:
    """44 kB of <p><b id=..> became 4.5 million nodes; 300,000 open <div> would parse for minutes."""
    started = time.perf_counter()
    with pytest.raises(DocumentRejected, match="close them"):
        content_root(_BOMBS[name])
    assert time.perf_counter() - started < 10


@pytest.mark.parametrize(
    "page",
    [
        "<p>x" * 100_000,
        "<tr><td>x" * 50_000,
        "<b>x</b> " * 100_000,
        "<li>x" * 50_000,
        "<br>" * 100_000,
        "<!--" * 100_000,
    ],
)
def test_large_pages_pass(page: str) -> None:
    reject_bomb(page)


def test_the_main_element_must_hold_a_fair_share() -> None:
    root, title = content_root("<title>T</title><main>x</main><div>" + "words " * 50 + "</div>")
    assert root is not None
    assert root.tag == "body"
    assert title == "T"


def test_drawings_of_many_shapes_are_no_bomb() -> None:
    """A page of SQLite's documentation with 7,608 <path .../> in its diagrams was rejected for leaving them open."""
    drawing = "<svg viewBox='0 0 1 1'><title>rows</title><g>" + '<path d="M0,0L1,1"/>' * 12_000 + "</g></svg>"
    root, title = content_root(f"<title>Joins</title><p>before</p>{drawing}<p>after</p>")
    assert root is not None and root.text(separator=" ").split() == ["before", "after"] and title == "Joins"
    with pytest.raises(DocumentRejected, match="close them"):
        content_root('<path d="M0,0L1,1"/>' * 12_000)
    with pytest.raises(DocumentRejected, match="close them"):
        content_root("<svg><p>" + "<path/>" * 12_000 + "</svg>")
