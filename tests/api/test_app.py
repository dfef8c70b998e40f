from __future__ import annotations

import re
from pathlib import Path

from api import schemas
from tests.api.client import client

ROUTES = {
    "/v1/ask": {"post"},
    "/v1/search": {"post"},
    "/v1/documents": {"get", "post"},
    "/v1/documents/{document_id}": {"get", "delete"},
    "/v1/documents/{document_id}/pages/{number}": {"get"},
    "/v1/jobs": {"get"},
    "/v1/jobs/{job_id}": {"get"},
    "/v1/collections": {"get", "post"},
    "/v1/collections/{name}": {"delete"},
    "/v1/answers": {"get"},
    "/v1/answers/{answer_id}": {"get"},
    "/v1/feedback": {"post"},
    "/v1/reports": {"get"},
    "/v1/reports/{name}": {"get"},
    "/v1/audit": {"get"},
    "/v1/chat/completions": {"post"},
    "/v1/models": {"get"},
    "/v1/verify": {"post"},
    "/healthz": {"get"},
    "/readyz": {"get"},
    "/metrics": {"get"},
}


def test_openapi_holds_every_route_with_examples_and_our_errors(tmp_path: Path) -> None:
    with client(tmp_path) as http:
        openapi = http.get("/openapi.json").json()
    assert {path: set(methods) for path, methods in openapi["paths"].items()} == ROUTES
    assert "HTTPValidationError" not in openapi["components"]["schemas"]  # the framework's shape is not ours
    ask = openapi["paths"]["/v1/ask"]["post"]
    statuses = {"200", "400", "401", "403", "404", "408", "409", "413", "422", "429", "500", "503", "504"}
    assert set(ask["responses"]) == statuses
    assert set(ask["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}
    for example in openapi["components"]["schemas"]["AskRequest"]["examples"]:
        schemas.AskRequest.model_validate(example)
    schemas.SearchRequest.model_validate(openapi["components"]["schemas"]["SearchRequest"]["examples"][0])
    schemas.Answer.model_validate(schemas.ANSWER_EXAMPLE)


def test_the_examples_of_the_documentation_work(tmp_path: Path) -> None:
    with client(tmp_path) as http:
        schema = http.get("/openapi.json").json()["components"]["schemas"]
        for example in schema["AskRequest"]["examples"]:
            assert http.post("/v1/ask", json=example).status_code == 200
        for example in schema["SearchRequest"]["examples"]:
            assert http.post("/v1/search", json=example).status_code == 200


def test_the_documentation_page_calls_out_to_nobody(tmp_path: Path) -> None:
    with client(tmp_path) as http:
        page = http.get("/docs")
        parts = re.findall(r"""(?:src|href)=["']([^"']+)["']""", page.text)
        fetched = [http.get(part) for part in parts]
    assert page.status_code == 200
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert len(parts) >= 3  # script, style, icon
    assert all(response.status_code == 200 for response in fetched)
    assert "'unsafe-inline'" in page.headers["content-security-policy"]  # its start script stands in the page


def test_two_applications_share_nothing(tmp_path: Path) -> None:
    with client(tmp_path / "one") as one, client(tmp_path / "two", max_waiting=7) as two:
        assert one.app.state.service is not two.app.state.service  # type: ignore[attr-defined]
        assert two.app.state.service.settings.max_waiting == 7  # type: ignore[attr-defined]
