"""models list, pull, verify."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from cli.common import JsonOption, err, out, print_json
from rag import weights, weights_pull
from rag.settings import load_settings
from rag.types import ModelBroken
from rag.weights_trained import trained_models

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_models(as_json: JsonOption = False) -> None:
    """List the models on this machine."""
    _print(weights.list_models(load_settings().home), as_json)


@app.command()
def pull(
    source: Annotated[str, typer.Option("--from", help="Folder or hub name to take the weights from.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Bring the base weights, check them and convert them once; later starts touch no network."""
    settings = load_settings()
    console = err()
    with console.status("models"):
        found = weights_pull.pull(
            settings.home, source or settings.base_weights or None, console.print, trained=trained_models()
        )
    _print(found, as_json)


@app.command()
def verify(as_json: JsonOption = False) -> None:
    """Compare every file of every model with the hash it had when it was made."""
    home = load_settings().home
    problems = weights.verify(home)
    if as_json:
        print_json({"models": len(weights.list_models(home)), "problems": list(problems)})
    if problems:
        raise ModelBroken("; ".join(problems))
    if not as_json:
        out().print("all models are as they were made")


def _print(models: tuple[weights.ModelInfo, ...] | list[weights.ModelInfo], as_json: bool) -> None:
    if as_json:
        print_json({"models": [asdict(model) for model in models]})
        return
    table = Table("name", "role", "version", "sha256", "parent", box=None)
    for model in models:
        table.add_row(model.name, model.role, model.version, model.sha256[:12], model.parent)
    out().print(table)
