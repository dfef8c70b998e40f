"""Dense and BM25 search, fused: order, ties, and queries that try to be syntax."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.retrieve import Mode, content_words
from rag.types import EncoderChanged, Passage
from tests.fakes import HashEncoder, Shelf

TEXTS = {
    "/heater.txt": "The heater switches on below three degrees.",
    "/battery.txt": "The battery lasts a year in the field.",
    "/warranty.txt": "The warranty covers the heater for two years.",
}


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    shelf = Shelf.open(tmp_path)
    shelf.put(TEXTS)
    return shelf


def uris(shelf: Shelf, query: str, mode: Mode = "fused", k: int = 10) -> list[str]:
    hits = shelf.retriever.search(query, shelf.store.collections.get("default"), k, mode)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    return [hit.passage.uri for hit in hits]


@pytest.mark.parametrize("mode", ["dense", "bm25", "fused"])
def test_each_mode_finds_the_passage_that_says_it(shelf: Shelf, mode: Mode) -> None:
    assert uris(shelf, "how long does the battery last in the field?", mode)[0] == "/battery.txt"


def test_a_passage_that_only_bm25_found_gets_its_cosine_too(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.retrieve.CANDIDATES", 1)
    collection = shelf.store.collections.get("default")
    hits = shelf.retriever.search("warranty battery field", collection, 1)
    assert all(hit.dense is not None for hit in hits)


def test_nothing_matches_by_words_alone(shelf: Shelf) -> None:
    assert uris(shelf, "zebra", "bm25") == []
    assert len(uris(shelf, "zebra", "fused")) == 3  # the encoder always has a nearest


def test_an_empty_collection_gives_no_hits(tmp_path: Path) -> None:
    shelf = Shelf.open(tmp_path)
    shelf.put({})
    assert uris(shelf, "anything") == []


def test_equal_passages_come_in_the_order_of_their_ids(tmp_path: Path) -> None:
    shelf = Shelf.open(tmp_path)
    shelf.put({f"/{name}.txt": "The same sentence." for name in "cab"})
    assert uris(shelf, "same sentence") == ["/c.txt", "/a.txt", "/b.txt"]


def test_a_deleted_document_is_gone_at_once(shelf: Shelf) -> None:
    assert "/battery.txt" in uris(shelf, "battery")
    collection = shelf.store.collections.get("default")
    (row,) = [row for row in shelf.store.documents.all(collection) if row.uri == "/battery.txt"]
    shelf.store.documents.delete(row.id)
    assert "/battery.txt" not in uris(shelf, "battery")


def test_another_encoder_is_refused(shelf: Shelf) -> None:
    other = Shelf.open(shelf.home, HashEncoder(fingerprint="another"))
    with pytest.raises(EncoderChanged, match="--embed"):
        uris(other, "battery")


@pytest.mark.parametrize(
    "query",
    ['"', '" OR "', "a* NEAR(b", "text:heater", "heater AND", "-heater", "(((", "héater 🌡", "x" * 4000, "word " * 2000],
)
def test_no_query_is_syntax(shelf: Shelf, query: str) -> None:
    uris(shelf, query)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("What is the heater for?", ("heater",)),
        ("heater heater HEATER", ("heater",)),
        ("who are you", ("who", "are", "you")),  # nothing but stop words: better than nothing
        ("?!", ()),
        ("C3PO's 9-volt", ("c3po", "s", "9", "volt")),
    ],
)
def test_content_words(query: str, words: tuple[str, ...]) -> None:
    assert content_words(query) == words


def test_ranking_given_passages_by_cosine(shelf: Shelf) -> None:
    passages = [Passage(0, uri, "", uri, 0, len(text), text) for uri, text in TEXTS.items()]
    hits = shelf.retriever.rank("battery field year", passages, 2).hits
    assert next(hit.passage.uri for hit in hits) == "/battery.txt"
    assert len(hits) == 2
    assert shelf.retriever.rank("battery", [], 2).hits == ()
