"""POST /v1/verify: sentences with support and citations that round-trip, and clear words for what cannot be checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from api.verify import VerifyRequest, VerifyResponse
from tests.api.client import LEAVE, client

PASSAGE = "You may try it for 14 days, free of charge. After that it costs 9 euros a month."


def test_a_text_is_checked_against_given_passages(tmp_path: Path) -> None:
    text = "You may try it for 14 days. Zebras dream of oceans."
    with client(tmp_path) as http:
        response = http.post("/v1/verify", json={"text": text, "passages": ["Nothing of it here.", PASSAGE]})
    assert response.status_code == 200
    body = response.json()
    assert VerifyResponse.model_validate(body).model_dump() == body
    assert [claim["verdict"] for claim in body["claims"]] == ["supported", "unsupported"]
    assert body["support"] == body["claims"][1]["support"] and body["verifier"]
    for claim in body["claims"]:
        assert text[claim["start"] : claim["end"]] == claim["text"]
    cited = body["claims"][0]["citations"][0]
    assert cited["uri"] == "passage-2" and PASSAGE[cited["start"] : cited["end"]] == cited["quote"]


def test_a_text_is_checked_against_a_collection(tmp_path: Path) -> None:
    text = "A barrel holds 159 litres. Every employee has 27 days of annual leave."
    with client(tmp_path) as http:
        body = http.post("/v1/verify", json={"text": text, "collection": "default"}).json()
    assert [claim["verdict"] for claim in body["claims"]] == ["supported", "supported"]
    for claim in body["claims"]:
        assert text[claim["start"] : claim["end"]] == claim["text"]
        for cited in claim["citations"]:
            assert LEAVE[cited["uri"]][cited["start"] : cited["end"]] == cited["quote"]


def test_no_passages_support_nothing(tmp_path: Path) -> None:
    with client(tmp_path) as http:
        body = http.post("/v1/verify", json={"text": "It is so.", "passages": []}).json()
    assert body["support"] == 0 and body["claims"][0]["verdict"] == "unsupported"


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"text": "", "passages": []}, 422, "holds no words"),
        ({"text": " ?! ", "passages": []}, 422, "holds no words"),
        ({"text": "It is so."}, 422, "either passages or a collection"),
        ({"text": "It is so.", "passages": [], "collection": "default"}, 422, "and not both"),
        ({"text": "It is so.", "collection": "nope"}, 404, "'nope' does not exist"),
        ({"text": "It is so. " * 10_000, "passages": []}, 422, "10000 sentences, at most 1000"),
        ({"text": "It is so", "passages": ["x" * 600_000] * 4}, 413, "bytes"),
        ({"text": "x" * 200_001, "passages": []}, 422, "200001 characters, at most"),
        ({"text": "It is so.", "passages": ["a\0"]}, 422, "NUL"),
    ],
)
def test_what_cannot_be_checked_is_told_why(tmp_path: Path, body: dict[str, Any], status: int, message: str) -> None:
    with client(tmp_path) as http:
        response = http.post("/v1/verify", json=body)
    assert response.status_code == status, response.text[:300]
    assert message in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("given", "fits"),
    [
        ({"passages": []}, True),
        ({"collection": "default"}, True),
        ({"passages": None, "collection": "default"}, True),
        ({}, False),
        ({"passages": ["a"], "collection": "default"}, False),
        ({"passages": None, "collection": None}, False),
    ],
)
def test_openapi_says_that_passages_and_a_collection_exclude_each_other(given: dict[str, Any], fits: bool) -> None:
    schema = VerifyRequest.model_json_schema()
    assert jsonschema_rs.is_valid(schema, {"text": "It is so.", **given}) is fits
