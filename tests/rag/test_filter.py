"""Searching in some documents only: by address, title, ending and date, in every mode."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rag.retrieve import Mode
from rag.types import Filter
from tests.fakes import Shelf

TEXTS = {
    "/manuals/heater.pdf": "The heater switches on below three degrees.",
    "/manuals/100%_pump.txt": "The pump switches on above three degrees.",
    "/policies/leave.pdf": "Leave switches on after three months.",
}
HOUR = timedelta(hours=1)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    shelf = Shelf.open(tmp_path)
    shelf.put(TEXTS)
    return shelf


def found(shelf: Shelf, where: Filter, mode: Mode | None = None) -> set[str]:
    collection = shelf.store.collections.get("default")
    return {hit.passage.uri for hit in shelf.retriever.search("switches on three", collection, 10, mode, where)}


@pytest.mark.parametrize("mode", ["dense", "bm25", "fused", None])
@pytest.mark.parametrize(
    ("where", "names"),
    [
        (Filter(), {"heater.pdf", "100%_pump.txt", "leave.pdf"}),
        (Filter(path="/manuals/*"), {"heater.pdf", "100%_pump.txt"}),
        (Filter(path="*/h??ter.pdf"), {"heater.pdf"}),
        (Filter(kind="PDF"), {"heater.pdf", "leave.pdf"}),
        (Filter(title="HEAT"), {"heater.pdf"}),
        (Filter(path="*0%_p*"), {"100%_pump.txt"}),
        (Filter(title="%"), {"100%_pump.txt"}),
        (Filter(path="/manuals/*", kind="pdf"), {"heater.pdf"}),
        (Filter(path="/nowhere/*"), set()),
        (Filter(after=datetime.now(UTC) - HOUR), {"heater.pdf", "100%_pump.txt", "leave.pdf"}),
        (Filter(after=datetime.now(UTC) + HOUR), set()),
        (Filter(before=datetime.now(UTC) - HOUR), set()),
    ],
)
def test_only_what_the_filter_lets_through(shelf: Shelf, where: Filter, names: set[str], mode: Mode | None) -> None:
    assert {Path(uri).name for uri in found(shelf, where, mode)} == names
