from __future__ import annotations

from pathlib import Path

import pytest

from api import schemas
from rag.pipeline import Limits
from tests.api.client import client
from tests.fakes import Shelf


def test_hits_come_best_first_in_the_shape_of_the_contract(tmp_path: Path) -> None:
    with client(tmp_path) as http:
        response = http.post("/v1/search", json={"query": "annual leave of every employee", "k": 3})
    assert response.status_code == 200
    body = response.json()
    assert schemas.SearchResponse.model_validate(body).model_dump() == body
    assert len(body["hits"]) == 3
    assert body["hits"][0]["quote"] == "Every employee has 27 days of annual leave."
    scores = [hit["score"] for hit in body["hits"]]
    assert scores == sorted(scores, reverse=True)


def test_a_collection_is_searched_alone(tmp_path: Path) -> None:
    with client(tmp_path) as http:
        Shelf.open(tmp_path).put({"/hr/pay.md": "Pay day is the 25th of each month."}, "hr")
        hits = http.post("/v1/search", json={"query": "annual leave", "collection": "hr"}).json()["hits"]
    assert [hit["uri"] for hit in hits] == ["/hr/pay.md"]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"query": "  "}, 422, "the query is empty"),
        ({"query": "x" * 51}, 422, "the query has 51 characters, at most 50"),
        ({"query": "a", "k": 0}, 422, "k: Input should be greater"),
        ({"query": "a", "k": 1001}, 422, "k: Input should be less"),
        ({"query": "a\0"}, 422, "NUL"),
        ({"query": "a", "collection": "hr"}, 404, "collection 'hr' does not exist"),
    ],
)
def test_a_bad_query_is_told_why(tmp_path: Path, body: dict[str, object], status: int, message: str) -> None:
    with client(tmp_path, limits=Limits(max_question_chars=50)) as http:
        response = http.post("/v1/search", json=body)
    assert response.status_code == status
    assert message in response.json()["error"]["message"]


@pytest.mark.parametrize(
    "query", ['"', "a OR", "NEAR(", "col:x", "*", "'; DROP TABLE chunks; --", "?", "日本語", "\u0600"]
)
def test_a_query_is_never_syntax(tmp_path: Path, query: str) -> None:
    with client(tmp_path) as http:
        assert http.post("/v1/search", json={"query": query}).status_code == 200
