from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from api.access import Rate, is_loopback
from api.errors import TooFast
from api.server import require_keys
from rag.store import Store
from rag.types import InvalidInput
from tests.api.client import client, settings_for
from tests.backend import database_url, local_only

QUESTION = {"question": "How many days of annual leave has every employee?"}


def make_key(home: Path, role: str = "read", *collections: str) -> dict[str, str]:
    store = Store.open(database_url(home))
    secret = store.keys.create("test", role, collections or None)[1]
    store.close()
    return {"authorization": f"Bearer {secret}"}


def code(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def test_without_keys_this_machine_may_do_everything_until_the_first_key_is_made(tmp_path: Path) -> None:
    with client(tmp_path) as http:
        assert http.get("/v1/audit").status_code == 200
        key = make_key(tmp_path, "admin")
        refused = http.get("/v1/audit")
        assert code(refused) == (401, "unauthorized")
        assert refused.headers["www-authenticate"] == "Bearer"
        assert http.get("/v1/audit", headers=key).status_code == 200
        for open_path in ("/healthz", "/readyz", "/", "/docs", "/openapi.json", "/web/app.js"):
            assert http.get(open_path).status_code == 200, open_path


def test_a_revoked_key_is_nothing_at_once_and_the_last_one_does_not_open_the_door(tmp_path: Path) -> None:
    with client(tmp_path) as http:
        key = make_key(tmp_path)
        assert http.post("/v1/ask", json=QUESTION, headers=key).status_code == 200
        store = Store.open(database_url(tmp_path))
        store.keys.revoke(store.keys.all()[0].id)
        store.close()
        for _ in range(2):  # replayed
            assert code(http.post("/v1/ask", json=QUESTION, headers=key)) == (401, "unauthorized")
        assert code(http.post("/v1/ask", json=QUESTION)) == (401, "unauthorized")


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer x", "Basic YTpi", "Bearer ak_000000000000_" + "A" * 43, "Bearer " + "x" * 9000, "é"]
)
def test_what_is_no_key_of_ours_is_a_401(tmp_path: Path, header: str) -> None:
    with client(tmp_path) as http:
        make_key(tmp_path)
        response = http.get("/v1/collections", headers={b"authorization": header.encode("latin-1")})
    assert code(response) == (401, "unauthorized")


def test_a_key_of_the_right_id_and_another_secret_is_nothing(tmp_path: Path) -> None:
    with client(tmp_path) as http:
        key = make_key(tmp_path)["authorization"]
        other = key[:-1] + ("A" if key[-1] != "A" else "B")
        assert http.get("/v1/collections", headers={"authorization": other}).status_code == 401


@local_only
def test_only_the_hash_of_a_key_is_kept(tmp_path: Path) -> None:
    with client(tmp_path):
        secret = make_key(tmp_path)["authorization"].removeprefix("Bearer ")
    files = list(tmp_path.glob("answerable.db*"))
    assert files
    assert not any(secret.rsplit("_", 1)[1].encode() in path.read_bytes() for path in files)


def test_a_reader_reads_a_writer_writes_and_the_audit_log_is_for_admins(tmp_path: Path) -> None:
    with client(tmp_path) as http:
        reader, writer = make_key(tmp_path, "read"), make_key(tmp_path, "write")
        row = http.get("/v1/documents", headers=reader).json()["documents"][0]
        path = f"/v1/documents/{row['id']}"
        assert code(http.delete(path, headers=reader)) == (403, "forbidden")
        upload: dict[str, Any] = {"files": {"files": ("a.txt", b"text")}}
        assert code(http.post("/v1/documents", headers=reader, **upload)) == (403, "forbidden")
        assert code(http.post("/v1/collections", headers=reader, json={"name": "a"})) == (403, "forbidden")
        assert http.post("/v1/collections", headers=writer, json={"name": "a"}).status_code == 201
        assert http.delete(path, headers=writer).status_code == 200
        assert code(http.get("/v1/audit", headers=writer)) == (403, "forbidden")
        entries = http.get("/v1/audit", headers=make_key(tmp_path, "admin")).json()["entries"]
    assert {(entry["action"], entry["status"]) for entry in entries} == {
        (f"DELETE {path}", 403), ("POST /v1/documents", 403), ("POST /v1/collections", 403),
        ("POST /v1/collections", 201), (f"DELETE {path}", 200), ("GET /v1/audit", 403),
    }  # fmt: skip
    assert all(entry["key_id"] for entry in entries)


def test_a_key_of_another_collection_finds_nothing_and_learns_no_names(tmp_path: Path) -> None:
    with client(tmp_path) as http:
        admin = make_key(tmp_path, "admin")
        http.post("/v1/collections", headers=admin, json={"name": "hr"})
        document = http.get("/v1/documents", headers=admin).json()["documents"][0]["id"]
        answer = http.post("/v1/ask", json=QUESTION, headers=admin).json()["id"]
        other = make_key(tmp_path, "write", "hr", "missing")
        listed = [row["name"] for row in http.get("/v1/collections", headers=other).json()["collections"]]
        assert listed == ["hr"]
        assert code(http.post("/v1/ask", json=QUESTION, headers=other)) == (403, "forbidden")
        assert code(http.post("/v1/search", json={"query": "leave"}, headers=other)) == (403, "forbidden")
        verify = {"text": "27 days.", "collection": "default"}
        assert code(http.post("/v1/verify", json=verify, headers=other)) == (403, "forbidden")
        assert code(http.get("/v1/documents", headers=other)) == (403, "forbidden")
        chat = {"model": "answerable", "messages": [{"role": "user", "content": "leave?"}]}
        assert code(http.post("/v1/chat/completions", json=chat, headers=other)) == (403, "forbidden")
        assert [row["id"] for row in http.get("/v1/models", headers=other).json()["data"]] == ["answerable/hr"]
        for method, path in [
            ("GET", f"/v1/documents/{document}"), ("DELETE", f"/v1/documents/{document}"),
            ("GET", f"/v1/documents/{document}/pages/1"), ("GET", f"/v1/answers/{answer}"),
        ]:  # fmt: skip
            assert code(http.request(method, path, headers=other)) == (404, "not_found"), path
        feedback = {"answer_id": answer, "verdict": "up"}
        assert code(http.post("/v1/feedback", json=feedback, headers=other)) == (404, "not_found")
        assert http.get("/v1/answers", headers=other).json() == {"answers": []}
        assert code(http.delete("/v1/collections/default", headers=other)) == (403, "forbidden")
        assert code(http.get("/metrics", headers=other)) == (403, "forbidden")
        missing = http.post("/v1/search", json={"query": "a", "collection": "missing"}, headers=other)
        assert missing.status_code == 404
        assert "default" not in missing.text
        assert http.get(f"/v1/documents/{document}", headers=admin).status_code == 200


def test_a_key_makes_so_many_requests_a_minute(tmp_path: Path) -> None:
    with client(tmp_path, rate_per_minute=3) as http:
        one, two = make_key(tmp_path), make_key(tmp_path)
        assert [http.get("/v1/models", headers=one).status_code for _ in range(3)] == [200] * 3
        refused = http.get("/v1/models", headers=one)
        assert code(refused) == (429, "rate_limited")
        assert int(refused.headers["retry-after"]) >= 1
        assert http.get("/v1/models", headers=two).status_code == 200


def test_the_bucket_fills_again() -> None:
    now = 0.0
    rate = Rate(60, lambda: now)
    for _ in range(60):
        rate.take("a")
    with pytest.raises(TooFast) as caught:
        rate.take("a")
    now += caught.value.retry_after
    rate.take("a")
    with pytest.raises(TooFast):
        rate.take("a")


def test_a_page_of_another_site_may_do_nothing_without_a_key(tmp_path: Path) -> None:
    """A form of another site can send multipart without a preflight; a name of its own can point at this machine."""
    upload: dict[str, Any] = {"files": {"files": ("a.txt", b"text")}}
    with client(tmp_path) as http:
        foreign = http.post("/v1/documents", headers={"origin": "https://evil.example"}, **upload)
        rebound = http.get("/v1/documents", headers={"host": "evil.example:8080"})
        own = http.get("/v1/documents", headers={"origin": "http://127.0.0.1:8080"})
        posted = http.post("/v1/search", json={"query": "a"}, headers={"origin": "http://127.0.0.1:8080"})
    assert code(foreign) == code(rebound) == (403, "forbidden")
    assert (own.status_code, posted.status_code) == (200, 200)


def test_two_deletes_at_once_delete_once(tmp_path: Path) -> None:
    with client(tmp_path) as http, ThreadPoolExecutor(4) as pool:
        document = http.get("/v1/documents").json()["documents"][0]["id"]
        done = list(pool.map(lambda _: http.delete(f"/v1/documents/{document}").status_code, range(4)))
    assert sorted(done) == [200, 404, 404, 404]


def test_it_refuses_to_listen_to_others_without_a_key(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, host="0.0.0.0")
    with pytest.raises(InvalidInput, match="answerable keys create"):
        require_keys(settings)
    make_key(tmp_path)
    require_keys(settings)
    require_keys(settings_for(tmp_path / "other", host="127.0.0.1"))


def test_beyond_loopback_nobody_is_let_in_without_a_key(tmp_path: Path) -> None:
    with client(tmp_path, host="0.0.0.0") as http:
        assert code(http.get("/v1/documents")) == (401, "unauthorized")


@pytest.mark.parametrize(
    ("host", "own"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("192.168.1.4", False), ("localhost.evil.example", False), ("", False)],
)  # fmt: skip
def test_what_is_loopback(host: str, own: bool) -> None:
    assert is_loopback(host) is own


def test_nothing_secret_is_logged(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with client(tmp_path) as http:
        key = make_key(tmp_path)
        http.post("/v1/ask", json={"question": "WORDS OF A QUESTION"}, headers=key)
        http.get("/v1/documents?collection=default&limit=1", headers=key)
    written = "".join(capfd.readouterr())
    assert "/v1/ask" in written
    assert key["authorization"].removeprefix("Bearer ") not in written
    for secret in ("WORDS OF A QUESTION", "27 days", "limit=1"):
        assert secret not in written
