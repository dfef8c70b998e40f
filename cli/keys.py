"""keys create, list, revoke: who may use the service from where."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from cli.common import JsonOption, out, print_json
from rag.build import build_store
from rag.settings import load_settings
from rag.store import Key

app = typer.Typer(no_args_is_help=True)


@app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="Whose key it is, for the list.")],
    role: Annotated[str, typer.Option("--role", help="read, write or admin.")] = "read",
    collection: Annotated[
        list[str] | None, typer.Option("--collection", "-c", help="A collection that it opens; left out: all.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key. It is shown this once; only its hash is kept."""
    key, secret = build_store(load_settings()).keys.create(name, role, collection or None)
    if as_json:
        print_json(_key_json(key) | {"key": secret})
    else:
        out().print(secret, markup=False)


@app.command("list")
def list_keys(as_json: JsonOption = False) -> None:
    """List the keys, revoked ones too."""
    keys = build_store(load_settings()).keys.all()
    if as_json:
        print_json({"keys": [_key_json(key) for key in keys]})
        return
    table = Table("id", "name", "role", "collections", "made", "revoked", box=None)
    for key in keys:
        opened = "all" if key.collections is None else ", ".join(key.collections)
        revoked = f"{key.revoked_at:%Y-%m-%d %H:%M}" if key.revoked_at else ""
        table.add_row(key.id, key.name, key.role, opened, f"{key.created_at:%Y-%m-%d %H:%M}", revoked)
    out().print(table)


@app.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="Id of a key, from: keys list")], as_json: JsonOption = False
) -> None:
    """Make a key useless, at once and for good."""
    build_store(load_settings()).keys.revoke(key_id)
    if as_json:
        print_json({"revoked": key_id})
    else:
        out().print(f"revoked {key_id}")


def _key_json(key: Key) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "role": key.role,
        "collections": None if key.collections is None else list(key.collections),
        "created_at": key.created_at.isoformat(),
        "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
    }
