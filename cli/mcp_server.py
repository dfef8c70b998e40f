"""ask, search and verify over the Model Context Protocol, by its official SDK, over stdin and stdout.

Nothing else may be written to stdout while it runs; logs go to stderr. With a server's URL it passes questions on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import anyio.to_thread
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from cli.remote import connected
from rag.build import build_pipeline
from rag.check_text import check_against
from rag.pipeline import Pipeline
from rag.settings import Settings
from rag.types import AnswerableError, Question
from rag.wire import answer_json, claim_json, hit_json

INSTRUCTIONS = (
    "Answers from the user's own documents. Each sentence of an answer is checked against its sources and carries its "
    "support (0 to 1), a verdict and exact quotes; abstained means that the documents do not hold the answer: say so "
    "then, and do not answer from elsewhere as if the documents had said it."
)
MAX_K = 50


class Backend(Protocol):
    """Where questions are answered: on this machine, or on a server."""

    def ask(self, question: str, collection: str) -> dict[str, Any]:
        """The Answer object of the public contract."""
        ...

    def search(self, query: str, collection: str, k: int) -> dict[str, Any]:
        """{hits: [...]}."""
        ...

    def verify(self, text: str, collection: str) -> dict[str, Any]:
        """{claims: [...]}."""
        ...


class Local:
    """This machine's own models and documents, loaded with the first call."""

    def __init__(self, settings: Settings, build: Callable[[Settings], Pipeline] = build_pipeline):
        self._settings = settings
        self._build = build
        self._built: Pipeline | None = None

    def ask(self, question: str, collection: str) -> dict[str, Any]:
        """See Backend."""
        pipeline = self._pipeline()
        answer = pipeline.answer(Question(question, collection, top_k=self._settings.top_k))
        body = answer_json(answer)
        pipeline.retriever.store.answers.put(answer.id, collection, body)
        return body

    def search(self, query: str, collection: str, k: int) -> dict[str, Any]:
        """See Backend."""
        retriever = self._pipeline().retriever
        return {
            "hits": [hit_json(hit) for hit in retriever.search(query, retriever.store.collections.get(collection), k)]
        }

    def verify(self, text: str, collection: str) -> dict[str, Any]:
        """See Backend."""
        return {"claims": [claim_json(claim) for claim in check_against(self._pipeline(), text, collection)]}

    def _pipeline(self) -> Pipeline:
        if self._built is None:
            self._built = self._build(self._settings)
        return self._built


class Remote:
    """A server's models and documents."""

    def __init__(self, url: str):
        self._url = url

    def ask(self, question: str, collection: str) -> dict[str, Any]:
        """See Backend."""
        with connected(self._url) as client:
            return client.ask(question, collection).model_dump()

    def search(self, query: str, collection: str, k: int) -> dict[str, Any]:
        """See Backend."""
        with connected(self._url) as client:
            return {"hits": [hit.model_dump() for hit in client.search(query, collection, k)]}

    def verify(self, text: str, collection: str) -> dict[str, Any]:
        """See Backend."""
        with connected(self._url) as client:
            return client.post_json("/v1/verify", {"text": text, "collection": collection})


def make_server(backend: Backend) -> MCPServer[Any]:
    """The server with its three tools. One question is worked on at a time."""
    server: MCPServer[Any] = MCPServer("answerable", instructions=INSTRUCTIONS)
    turn = anyio.CapacityLimiter(1)

    async def do(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        try:
            return await anyio.to_thread.run_sync(work, limiter=turn)
        except AnswerableError as error:  # the SDK passes on the words of its own errors only
            raise ToolError(str(error)) from error

    @server.tool()
    async def ask(question: str, collection: str = "default") -> dict[str, Any]:
        """Answer a question from the documents, each sentence checked and cited, or say that they do not hold it."""
        return await do(lambda: backend.ask(question, collection))

    @server.tool()
    async def search(query: str, collection: str = "default", k: int = 5) -> dict[str, Any]:
        """Find the passages nearest to a query, each with its document and the characters it stands at."""
        return await do(lambda: backend.search(query, collection, max(1, min(k, MAX_K))))

    @server.tool()
    async def verify(text: str, collection: str = "default") -> dict[str, Any]:
        """Check each sentence of a text against the documents: its support, verdict and the nearest quotes."""
        return await do(lambda: backend.verify(text, collection))

    return server


def run(settings: Settings, server_url: str | None) -> None:
    """Serve over stdin and stdout until stdin ends."""
    make_server(Remote(server_url) if server_url else Local(settings)).run("stdio")
