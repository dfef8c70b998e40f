"""documents list, show, delete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.table import Table

from cli.common import CollectionOption, JsonOption, out, print_json
from rag.build import build_store
from rag.settings import load_settings
from rag.store import Outcome, StoredDocument

app = typer.Typer(no_args_is_help=True)
DocumentId = Annotated[str, typer.Argument(help="Id of a document, from: documents list")]


@app.command("list")
def list_documents(
    collection: CollectionOption = "default",
    failed: Annotated[bool, typer.Option("--failed", help="List the files that could not be read, and why.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the documents of a collection, or the files that could not be read."""
    store = build_store(load_settings())
    target = store.collections.get(collection)
    if failed:
        _list_failed(store.outcomes.all(target, "failed"), as_json)
        return
    rows = store.documents.all(target)
    if as_json:
        print_json({"documents": [_document_json(row) for row in rows]})
        return
    table = Table("id", "title", "pages", "chunks", "file", box=None)
    for row in rows:
        table.add_row(row.id, row.title, str(len(row.pages) or ""), str(row.chunk_count), row.uri)
    out().print(table)


def _list_failed(rows: Sequence[Outcome], as_json: bool) -> None:
    if as_json:
        print_json({"failed": [{"uri": row.uri, "reason": row.reason} for row in rows]})
        return
    for row in rows:
        out().print(f"{row.uri}\n  {row.reason}", markup=False, soft_wrap=True)
    out().print(f"{len(rows)} failed" + ("; read them again with: answerable ingest --retry-failed" if rows else ""))


@app.command("show")
def show_document(document_id: DocumentId, as_json: JsonOption = False) -> None:
    """Show a document with its text, as it was read."""
    row = build_store(load_settings()).documents.get(document_id)
    if as_json:
        print_json(_document_json(row) | {"text": row.text})
    else:
        out().print(f"{row.title}\n{row.uri}\n\n{row.text}", markup=False)


@app.command("delete")
def delete_document(document_id: DocumentId, as_json: JsonOption = False) -> None:
    """Delete a document: it is gone from every search and answer at once."""
    build_store(load_settings()).documents.delete(document_id)
    if as_json:
        print_json({"deleted": document_id})
    else:
        out().print(f"deleted {document_id}")


def _document_json(row: StoredDocument) -> dict[str, Any]:
    return {
        "id": row.id,
        "uri": row.uri,
        "title": row.title,
        "status": "ready",
        "pages": len(row.pages),
        "chunks": row.chunk_count,
    }
