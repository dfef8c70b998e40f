"""Programs of others as real clients of the real server: OpenAI's package, langchain's client for it, an MCP client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import httpx
import pytest

from answerable_client import Client
from tests.api.live import ROOT, Live, serve_process, wait_for_job

openai = pytest.importorskip("openai")

pytestmark = [pytest.mark.slow, pytest.mark.models, pytest.mark.timeout(900)]

QUESTION = "How many days of paid annual leave do full-time employees have in 2026?"
HANDBOOK = sorted((ROOT / "examples" / "handbook").glob("*.md"))


@pytest.fixture(scope="module")
def live(models_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serve_process(models_home, tmp_path_factory.mktemp("clients") / "home") as running:
        with httpx.Client(base_url=running.url, timeout=120) as http:
            files = [("files", (path.name, path.read_bytes())) for path in HANDBOOK]
            job = wait_for_job(http, http.post("/v1/documents", files=files).json()["id"])
            assert job["report"]["added"] == len(HANDBOOK)  # type: ignore[index]
        yield running


@pytest.fixture(scope="module")
def key(live: Live) -> str:
    return live.command("keys", "create", "clients", "--role", "write").strip()


def test_openais_own_client(live: Live, key: str) -> None:
    client = openai.OpenAI(base_url=f"{live.url}/v1", api_key=key, timeout=200)
    assert "answerable" in [model.id for model in client.models.list()]
    messages = [{"role": "user", "content": QUESTION}]
    given = client.chat.completions.create(model="answerable", messages=messages)
    assert "26" in given.choices[0].message.content
    assert given.model_extra["answerable"]["claims"][0]["citations"][0]["quote"]
    stream = client.chat.completions.create(
        model="answerable", messages=messages, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    words = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert words == given.choices[0].message.content
    assert chunks[-1].usage.total_tokens > 0
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        client.chat.completions.create(model="gpt-4", messages=messages)
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{live.url}/v1", api_key="ak_wrong").models.list()


def test_langchains_client_for_it(live: Live, key: str) -> None:
    chat = pytest.importorskip("langchain_openai").ChatOpenAI(
        base_url=f"{live.url}/v1", api_key=key, model="answerable", timeout=200
    )
    assert "26" in chat.invoke(QUESTION).text
    assert "26" in "".join(str(chunk.text) for chunk in chat.stream(QUESTION))


@pytest.mark.parametrize("where", ["local", "server"])
def test_an_mcp_client(live: Live, key: str, where: str) -> None:
    mcp = pytest.importorskip("mcp")
    from mcp.client.stdio import stdio_client

    command = ["-m", "answerable", "mcp", *(["--server", live.url] if where == "server" else [])]
    environment = {**live.environment, "ANSWERABLE_API_KEY": key}
    parameters = mcp.StdioServerParameters(command=sys.executable, args=command, env=environment, cwd=str(live.home))

    async def scenario() -> None:
        async with mcp.Client(stdio_client(parameters)) as client:
            tools = {tool.name for tool in (await client.list_tools()).tools}
            assert tools == {"ask", "search", "verify"}
            answer = await client.call_tool("ask", {"question": QUESTION})
            assert not answer.is_error, answer
            assert "26" in json.dumps(answer.structured_content)
            hits = await client.call_tool("search", {"query": "annual leave", "k": 2})
            assert len(hits.structured_content["hits"]) == 2
            if where == "local":
                text = "Full-time employees have 26 days of paid annual leave in 2026. Zebras may park in the yard."
                claims = (await client.call_tool("verify", {"text": text})).structured_content["claims"]
                assert [claim["verdict"] for claim in claims] == ["supported", "unsupported"]
            missing = await client.call_tool("search", {"query": "a", "collection": "missing"})
            assert missing.is_error
            assert "missing" in str(missing.content)

    anyio.run(scenario)


def test_the_command_line_as_a_client(live: Live, key: str, tmp_path: Path) -> None:
    environment = {**os.environ, "ANSWERABLE_API_KEY": key, "ANSWERABLE_SERVER": live.url, "PYTHONPATH": str(ROOT)}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "answerable", *arguments]
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300)

    (tmp_path / "tea.txt").write_text("A cup of tea costs 2 pounds.")
    (tmp_path / "bad.pdf").write_text("no pdf")
    done = run("ingest", "tea.txt", "bad.pdf", "--collection", "shop", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["added"], [one["uri"] for one in report["failed"]]) == (1, 1, ["bad.pdf"])
    assert "26" in json.loads(run("ask", QUESTION, "--json").stdout)["answer"]
    assert "tea.txt" in run("search", "tea", "--collection", "shop").stdout
    (row,) = json.loads(run("documents", "list", "--collection", "shop", "--json").stdout)["documents"]
    assert "2 pounds" in run("documents", "show", row["id"]).stdout
    assert run("documents", "delete", row["id"]).returncode == 0
    with Client(live.url, key) as client:
        assert client.documents("shop") == []
    failed = run("documents", "show", row["id"])
    assert failed.returncode == 1
    assert "does not exist" in failed.stderr
    assert failed.stderr.count("\n") == 1
