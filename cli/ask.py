"""ask and search."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from cli import show
from cli.common import CollectionOption, JsonOption, ServerOption, out, print_json
from rag.build import build_pipeline, build_search
from rag.pipeline import Answered, Pipeline, TextWritten, is_text
from rag.settings import load_settings
from rag.types import Answer, Filter, InvalidInput, Question
from rag.wire import answer_json, hit_json

MAX_HITS = 1000


def ask(
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    collection: CollectionOption = "default",
    top_k: Annotated[int | None, typer.Option("--top-k", "-k", help="Passages to read.")] = None,
    stream: Annotated[bool, typer.Option("--stream", help="Show the words as they are written.")] = False,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """Answer a question from the documents of a collection, or say that they do not hold the answer."""
    if server:
        from cli import remote  # here, not above: an HTTP client that most calls do not need

        remote.ask(server, question, collection, top_k, stream, as_json)
        return
    settings = load_settings(top_k=top_k)
    pipeline = build_pipeline(settings)
    asked = Question(question, collection, top_k=settings.top_k)
    given = _stream(pipeline, asked) if stream and not as_json else pipeline.answer(asked)
    pipeline.retriever.store.answers.put(given.id, collection, answer_json(given))
    if as_json:
        print_json(answer_json(given))
    else:
        show.answer(out(), given)


def _stream(pipeline: Pipeline, question: Question) -> Answer:
    console = out()
    for event in pipeline.events(question):
        if isinstance(event, TextWritten):
            console.print(event.text, end="", markup=False, style="dim")
        elif isinstance(event, Answered):
            console.print()
            return event.answer
    raise AssertionError("events() ends with Answered")


def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    collection: CollectionOption = "default",
    k: Annotated[int, typer.Option("-k", help="Passages to show.")] = 10,
    path: Annotated[str, typer.Option("--path", help="Only documents at this address; * stands for anything.")] = "",
    title: Annotated[str, typer.Option("--title", help="Only documents with this in their title.")] = "",
    kind: Annotated[str, typer.Option("--kind", help="Only documents of this ending, as pdf.")] = "",
    after: Annotated[datetime | None, typer.Option("--after", help="Only documents changed since then (UTC).")] = None,
    before: Annotated[
        datetime | None, typer.Option("--before", help="Only documents changed until then (UTC).")
    ] = None,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """Find the passages nearest to a query, by meaning and by words."""
    if not query.strip() or not is_text(query):
        raise InvalidInput(f"the query {query!r} is empty or not UTF-8; search for something in words")
    if not 1 <= k <= MAX_HITS:
        raise InvalidInput(f"-k {k}: it must be from 1 to {MAX_HITS}")
    where = Filter(path, title, kind, after and after.replace(tzinfo=UTC), before and before.replace(tzinfo=UTC))
    if server:
        from cli import remote

        if where != Filter():
            raise InvalidInput("--path, --title, --kind, --after and --before do not go with --server; leave them out")
        remote.search(server, query, collection, k, as_json)
        return
    parts = build_search(load_settings())
    wanted = None if where == Filter() else where
    found = parts.retriever.search(query, parts.store.collections.get(collection), k, where=wanted)
    if as_json:
        print_json({"hits": [hit_json(hit) for hit in found]})
    else:
        show.hits(out(), found)
