from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api import schemas
from api.errors import NotReady, encode
from rag.types import (
    AnswerableError,
    DocumentRejected,
    EncoderChanged,
    IndexBroken,
    InvalidInput,
    ModelBroken,
    ModelMissing,
    NotFound,
    StoreUnavailable,
)
from tests.api.client import client

JSON = {"content-type": "application/json"}


def check(response: Any, status: int, code: str) -> str:
    """Every error has the one shape, no traceback, and a line for people; returns that line."""
    assert response.status_code == status, response.text
    body = schemas.Error.model_validate(response.json())
    assert body.error.code == code
    assert "Traceback" not in response.text
    assert "\n" not in body.error.message
    assert response.headers["x-content-type-options"] == "nosniff"
    return body.error.message


INVALID = [
    ({}, "question: Field required"),
    ({"question": ""}, "the question is empty"),
    ({"question": " \n\t"}, "the question is empty"),
    ({"question": None}, "question: Input should be a valid string (got None)"),
    ({"question": 7}, "got 7"),
    ({"question": ["a"]}, "got ['a']"),
    ({"question": "x" * 100_000}, "100000 characters, at most 4000"),
    ({"question": "a\0b"}, "a NUL character stands at position 1"),
    ({"question": "a", "top_k": 0}, "top_k: Input should be greater than or equal to 1 (got 0)"),
    ({"question": "a", "top_k": 51}, "top_k"),
    ({"question": "a", "top_k": 2**70}, "top_k"),
    ({"question": "a", "top_k": "5"}, "got '5'"),
    ({"question": "a", "topk": 5}, "topk: Extra inputs are not permitted"),
    ({"question": "a", "stream": "maybe"}, "stream"),
    ({"question": "a", "collection": ""}, "collection"),
    ({"question": "a", "collection": "c" * 65}, "collection"),
    ({"question": "a", "collection": "a\0"}, "NUL"),
    ({"question": "a", "history": [{"role": "system", "text": "b"}]}, "history.0.role"),
    ({"question": "a", "history": [{"role": "user"}]}, "history.0.text"),
    ({"question": "a", "history": [{"role": "user", "text": "b\0"}]}, "NUL"),
    ({"question": "a", "history": [{"role": "user", "text": "b"}] * 101}, "history"),
    ([], "send a JSON object"),
    ("text", "send a JSON object"),
    (None, "send a JSON object"),
]


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with client(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.mark.parametrize(("body", "message"), INVALID, ids=lambda value: repr(value)[:40])
def test_invalid_fields_are_named_with_their_value(http: TestClient, body: Any, message: str) -> None:
    response = http.post("/v1/ask", content=json.dumps(body), headers=JSON)
    assert message in check(response, 422, "invalid_input")


@pytest.mark.parametrize("body", [b"", b"question=a", b"\x00"], ids=repr)
@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data"])
def test_a_body_of_another_kind_is_told_what_to_send(http: TestClient, body: bytes, kind: str) -> None:
    message = check(http.post("/v1/ask", content=body, headers={"content-type": kind}), 422, "invalid_input")
    assert "Content-Type: application/json" in message


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "invalid_json"),
        (b'{"question": "a"', "invalid_json"),
        (b"{'question': 1}", "invalid_json"),
        (b'{"question": "\xff\xfe"}', "bad_request"),  # not UTF-8
        (b"[" * 100_000, "bad_request"),  # nested deeper than the parser goes
        (b'{"question": "a", "top_k": ' + b"9" * 5000 + b"}", "bad_request"),  # more digits than Python converts
        (b"\xff\xfe{\x00", "invalid_json"),  # UTF-16, cut short
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_not_json_is_a_400(http: TestClient, body: bytes, code: str) -> None:
    check(http.post("/v1/ask", content=body, headers=JSON), 400, code)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "1.5"])
def test_numbers_that_are_none_are_refused_and_can_be_told(http: TestClient, number: str) -> None:
    body = f'{{"question": "a", "top_k": {number}}}'.encode()
    assert "top_k" in check(http.post("/v1/ask", content=body, headers=JSON), 422, "invalid_input")


SURROGATE = r"\ud800"


@pytest.mark.parametrize(
    "body",
    [
        f'{{"question": "a {SURROGATE}"}}',
        f'{{"question": "a", "{SURROGATE}": 1}}',
        f'{{"question": "a", "collection": "{SURROGATE}"}}',
        f'{{"question": "a", "history": [{{"role": "{SURROGATE}", "text": "b"}}]}}',
        f'{{"question": "a", "top_k": "{SURROGATE}"}}',
    ],
)
def test_lone_surrogates_are_refused_and_do_not_break_the_answer(http: TestClient, body: str) -> None:
    """UTF-8 has no bytes for them: the database refused them with a 500, and so did the encoding of the error."""
    check(http.post("/v1/ask", content=body.encode(), headers=JSON), 422, "invalid_input")


def test_a_whole_surrogate_pair_is_a_character(http: TestClient) -> None:
    response = http.post("/v1/ask", content=rb'{"question": "\ud83d\ude00 leave?"}', headers=JSON)
    assert (response.status_code, response.json()["question"]) == (200, "\U0001f600 leave?")


def test_any_string_can_be_encoded_and_read_back() -> None:
    value = {"\ud800": ["a\udfffb", "\U0001f600 \0 \u2028 é"]}
    assert json.loads(encode(value)) == value
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode({"score": float("nan")})


@pytest.mark.parametrize("path", ["/v1", "/v1/ask/", "/v2/ask", "/%00", "/%ff", "/v1/%2e%2e/ask", "/" + "x" * 5000])
def test_an_unknown_address_is_a_404(http: TestClient, path: str) -> None:
    assert "/docs" in check(http.get(path), 404, "not_found")


@pytest.mark.parametrize("path", ["%00", "..%2f..%2fapp.py", "missing.js", "%ff", "x" * 5000])
def test_files_of_the_documentation_page_end_at_its_folder(http: TestClient, path: str) -> None:
    check(http.get(f"/static-offline-docs/{path}"), 404, "not_found")


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/ask"), ("DELETE", "/v1/search"), ("POST", "/healthz")])
def test_another_method_is_a_405_that_names_those_allowed(http: TestClient, method: str, path: str) -> None:
    response = http.request(method, path)
    check(response, 405, "method_not_allowed")
    assert response.headers["allow"] in ("POST", "GET")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidInput("v"), 422),
        (DocumentRejected("v"), 422),
        (NotFound("v"), 404),
        (ModelMissing("v"), 503),
        (ModelBroken("v"), 503),
        (IndexBroken("v"), 503),
        (EncoderChanged("v"), 409),
        (StoreUnavailable("v"), 503),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_of_our_errors_has_its_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: AnswerableError, status: int
) -> None:
    def fail(*_args: object) -> None:
        raise error

    with client(tmp_path) as http:
        monkeypatch.setattr("rag.retrieve.Retriever._first_stage", fail)
        for path, body in (("/v1/ask", {"question": "a"}), ("/v1/search", {"query": "a"})):
            assert check(http.post(path, json=body), status, error.code) == "v"


def test_a_cause_that_is_no_503_does_not_pass_for_the_clients_fault() -> None:
    assert (NotReady(InvalidInput("ANSWERABLE_DEVICE=cuda")).status, NotReady(InvalidInput("")).code) == (
        503,
        "not_ready",
    )
    assert NotReady(ModelMissing("")).code == "model_missing"
