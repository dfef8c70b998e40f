"""The client for asyncio and trio: the same methods as Client's, awaited; a test holds the two together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import anyio
import httpx

from answerable_client import wire
from answerable_client.errors import Unreachable
from answerable_client.records import Answer, Collection, Document, DocumentText, Event, Hit, Job, Turn


class AsyncClient:
    """A connection to the server at ``url``. Every method raises ServerError or Unreachable."""

    def __init__(
        self,
        url: str,
        key: str | None = None,
        timeout: float = wire.TIMEOUT_S,
        transport: httpx.AsyncBaseTransport | None = None,
    ):
        self._http = httpx.AsyncClient(**wire.options(url, key, timeout), transport=transport)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _e: BaseException | None, _tb: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._http.aclose()

    async def ask(
        self, question: str, collection: str = "default", history: Sequence[Turn] = (), top_k: int | None = None
    ) -> Answer:
        """The answer to a question, or a refusal."""
        body = wire.question(question, collection, history, top_k)
        return Answer.model_validate(await self._json("POST", "/v1/ask", json=body))

    async def ask_events(
        self, question: str, collection: str = "default", history: Sequence[Turn] = (), top_k: int | None = None
    ) -> AsyncIterator[Event]:
        """The steps of answering; closing the iterator stops the server's work."""
        body = wire.question(question, collection, history, top_k, stream=True)
        events = wire.Events()
        try:
            async with self._http.stream("POST", "/v1/ask", json=body) as response:
                if not response.is_success:
                    await response.aread()
                wire.check(response)
                async for line in response.aiter_lines():
                    event = events.line(line)
                    if event is not None:
                        yield event
        except httpx.TransportError as error:
            raise Unreachable(f"{self._http.base_url}: {error}") from error

    async def search(self, query: str, collection: str = "default", k: int = 10) -> list[Hit]:
        """The passages nearest to a query."""
        body = {"query": query, "collection": collection, "k": k}
        return [Hit.model_validate(hit) for hit in (await self._json("POST", "/v1/search", json=body))["hits"]]

    async def upload(self, paths: Sequence[Path], collection: str = "default") -> Job:
        """Send files to be read; `wait` for the job that is returned."""
        form = {"collection": collection}
        return Job.model_validate(await self._json("POST", "/v1/documents", data=form, files=wire.upload_files(paths)))

    async def job(self, job_id: str) -> Job:
        """How an upload is doing."""
        return Job.model_validate(await self._json("GET", f"/v1/jobs/{job_id}"))

    async def wait(self, job: Job, poll_s: float = 0.5) -> Job:
        """The job once it has ended."""
        while not job.ended:
            await anyio.sleep(poll_s)
            job = await self.job(job.id)
        return job

    async def documents(self, collection: str = "default", limit: int = 100, offset: int = 0) -> list[Document]:
        """Documents of a collection, by uri."""
        query: dict[str, str | int] = {"collection": collection, "limit": limit, "offset": offset}
        return [
            Document.model_validate(row)
            for row in (await self._json("GET", "/v1/documents", params=query))["documents"]
        ]

    async def document(self, document_id: str) -> DocumentText:
        """A document with its text."""
        return DocumentText.model_validate(await self._json("GET", f"/v1/documents/{document_id}"))

    async def delete_document(self, document_id: str) -> None:
        """Delete a document."""
        await self._json("DELETE", f"/v1/documents/{document_id}")

    async def collections(self) -> list[Collection]:
        """The collections that the key opens."""
        return [Collection.model_validate(row) for row in (await self._json("GET", "/v1/collections"))["collections"]]

    async def delete_collection(self, name: str) -> None:
        """Delete a collection with all it holds."""
        await self._json("DELETE", f"/v1/collections/{name}")

    async def feedback(self, answer_id: str, verdict: Literal["up", "down"], correction: str = "") -> None:
        """Say whether an answer was right, and what it should have been."""
        body = {"answer_id": answer_id, "verdict": verdict, "correction": correction}
        await self._json("POST", "/v1/feedback", json=body)

    async def post_json(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """What the server answers to any other POST of JSON, as it is: for addresses that have no method here yet."""
        return dict(await self._json("POST", path, json=body))

    async def _json(self, method: str, path: str, **arguments: Any) -> Any:
        try:
            return wire.check(await self._http.request(method, path, **arguments)).json()
        except httpx.TransportError as error:
            raise Unreachable(f"{self._http.base_url}: {error}") from error
