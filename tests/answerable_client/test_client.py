"""The client against the application over fakes, on a real socket; sync and async are held together."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from answerable_client import AsyncClient, Client, ServerError, Turn, Unreachable, records
from api import schemas, schemas_service
from api.app import create_app
from tests.api.client import LEAVE, settings_for
from tests.api.live import serve_app
from tests.fakes import HookedGenerator, Shelf
from tests.servers import free_port

QUESTION = "How many days of annual leave has every employee?"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    shelf = Shelf.open(tmp_path)
    shelf.put(LEAVE)
    with serve_app(create_app(settings_for(tmp_path), lambda _settings: shelf.pipeline())) as running:
        yield running


def test_every_method_does_what_it_says(url: str, tmp_path: Path) -> None:
    with Client(url) as client:
        answer = client.ask(QUESTION, history=[Turn(role="user", text="leave?")], top_k=2)
        assert answer.answer == "Every employee has 27 days of annual leave."
        assert answer.claims[0].citations[0].quote in LEAVE["/docs/leave.md"]
        events = list(client.ask_events(QUESTION))
        assert [event.token for event in events if event.token]
        assert events[0].passages and events[-1].answer and events[-1].answer.answer == answer.answer
        assert client.search("oil", k=1)[0].uri == "/docs/oil.md"
        (first, *_) = client.documents()
        assert client.document(first.id).text == LEAVE["/docs/leave.md"]
        client.feedback(answer.id, "up")
        assert client.collections()[0].name == "default"
        file = tmp_path / "tea.txt"
        file.write_text("Tea costs 2 pounds.")
        job = client.upload([file], "shop")
        assert client.job(job.id).files == ["tea.txt"]
        client.delete_document(first.id)
        with pytest.raises(ServerError, match="does not exist") as caught:
            client.document(first.id)
        assert (caught.value.status, caught.value.code) == (404, "not_found")
        client.delete_collection("default")


def test_the_async_client_does_the_same(url: str) -> None:
    async def scenario() -> None:
        async with AsyncClient(url) as client:
            answer = await client.ask(QUESTION)
            events = [event async for event in client.ask_events(QUESTION)]
            assert events[-1].answer and events[-1].answer.answer == answer.answer
            assert (await client.search("oil", k=1))[0].uri == "/docs/oil.md"
            with pytest.raises(ServerError, match="empty"):
                await client.ask("")

    anyio.run(scenario)


def test_both_clients_have_the_same_methods_with_the_same_parameters() -> None:
    def methods(kind: type) -> dict[str, list[str]]:
        found = inspect.getmembers(kind, inspect.isfunction)
        public = {name.removeprefix("a") if name == "aclose" else name: value for name, value in found}
        return {name: list(inspect.signature(value).parameters) for name, value in public.items() if name[0] != "_"}

    assert methods(Client) == methods(AsyncClient)


@pytest.mark.parametrize("name", ["Hit", "Citation", "Claim", "Usage", "Timings", "Models", "Answer"])
def test_records_have_the_fields_that_the_server_sends(name: str) -> None:
    assert set(getattr(records, name).model_fields) == set(getattr(schemas, name).model_fields)


def test_records_of_the_service_have_fields_that_the_server_sends() -> None:
    pairs = [
        ("Document", "Document"),
        ("DocumentText", "DocumentText"),
        ("Job", "JobState"),
        ("Collection", "CollectionInfo"),
    ]
    for ours, theirs in pairs:
        assert set(getattr(records, ours).model_fields) <= set(getattr(schemas_service, theirs).model_fields)


def test_leaving_a_stream_stops_the_servers_work(tmp_path: Path) -> None:
    shelf = Shelf.open(tmp_path)
    shelf.put({"/long.md": "leave " * 20_000 + "."})
    generator = HookedGenerator(lambda _number: None)
    with serve_app(create_app(settings_for(tmp_path), lambda _settings: shelf.pipeline(generator))) as url:
        with Client(url) as client:
            events = client.ask_events("leave?")
            next(events)
            events.close()  # type: ignore[attr-defined]
        with anyio.from_thread.start_blocking_portal() as portal:
            portal.call(_until, lambda: generator.closed == 1)


async def _until(true: object) -> None:
    with anyio.fail_after(20):
        while not true():  # type: ignore[operator]
            await anyio.sleep(0.01)


def test_no_server_is_one_clear_error() -> None:
    with Client(f"http://127.0.0.1:{free_port()}") as client, pytest.raises(Unreachable, match=r"127\.0\.0\.1"):
        client.collections()
