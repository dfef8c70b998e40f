"""documents list, show, delete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.table import Table

from cli.common import CollectionOption, JsonOption, ServerOption, out, print_json
from ingest.uploads import forget
from rag.build import build_store
from rag.settings import load_settings
from rag.store import Outcome, StoredDocument
from rag.types import InvalidInput

_PAGE = 1000

app = typer.Typer(no_args_is_help=True)
DocumentId = Annotated[str, typer.Argument(help="Id of a document, from: documents list")]


@app.command("list")
def list_documents(
    collection: CollectionOption = "default",
    failed: Annotated[bool, typer.Option("--failed", help="List the files that could not be read, and why.")] = False,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """List the documents of a collection, or the files that could not be read."""
    if failed:
        if server:
            raise InvalidInput("--failed with --server: what failed there is told by the upload's job; leave one out")
        store = build_store(load_settings())
        _list_failed(store.outcomes.all(store.collections.get(collection), "failed"), as_json)
        return
    rows = remote_documents(server, collection) if server else _own_documents(collection)
    if as_json:
        print_json({"documents": rows})
        return
    table = Table("id", "title", "pages", "chunks", "file", box=None)
    for row in rows:
        table.add_row(row["id"], row["title"], str(row["pages"] or ""), str(row["chunks"]), row["uri"])
    out().print(table)


def _list_failed(rows: Sequence[Outcome], as_json: bool) -> None:
    if as_json:
        print_json({"failed": [{"uri": row.uri, "reason": row.reason} for row in rows]})
        return
    for row in rows:
        out().print(f"{row.uri}\n  {row.reason}", markup=False, soft_wrap=True)
    out().print(f"{len(rows)} failed" + ("; read them again with: answerable ingest --retry-failed" if rows else ""))


@app.command("show")
def show_document(document_id: DocumentId, as_json: JsonOption = False, server: ServerOption = None) -> None:
    """Show a document with its text, as it was read."""
    if server:
        row = remote_document(server, document_id)
    else:
        stored = build_store(load_settings()).documents.get(document_id)
        row = _document_json(stored) | {"text": stored.text}
    if as_json:
        print_json(row)
    else:
        out().print(f"{row['title']}\n{row['uri']}\n\n{row['text']}", markup=False)


@app.command("delete")
def delete_document(document_id: DocumentId, as_json: JsonOption = False, server: ServerOption = None) -> None:
    """Delete a document: it is gone from every search and answer at once."""
    settings = load_settings()
    if server:
        from cli.remote import connected  # here, not above: an HTTP client that most calls do not need

        with connected(server) as client:
            client.delete_document(document_id)
    else:
        store = build_store(settings)
        uri = store.documents.get(document_id).uri
        store.documents.delete(document_id)
        forget(settings.uploads_folder, uri)
    if as_json:
        print_json({"deleted": document_id})
    else:
        out().print(f"deleted {document_id}")


def remote_documents(server: str, collection: str) -> list[dict[str, Any]]:
    """All documents of a collection on a server."""
    from cli.remote import connected

    rows: list[dict[str, Any]] = []
    with connected(server) as client:
        while page := client.documents(collection, limit=_PAGE, offset=len(rows)):
            rows.extend(row.model_dump() for row in page)
    return rows


def remote_document(server: str, document_id: str) -> dict[str, Any]:
    """A document with its text on a server."""
    from cli.remote import connected

    with connected(server) as client:
        return client.document(document_id).model_dump(exclude={"collection"})


def _own_documents(collection: str) -> list[dict[str, Any]]:
    store = build_store(load_settings())
    return [_document_json(row) for row in store.documents.all(store.collections.get(collection))]


def _document_json(row: StoredDocument) -> dict[str, Any]:
    return {
        "id": row.id,
        "uri": row.uri,
        "title": row.title,
        "status": "ready",
        "pages": len(row.pages),
        "chunks": row.chunk_count,
    }
