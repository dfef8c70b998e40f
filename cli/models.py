"""models list, pull, verify, export."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from cli.common import JsonOption, err, out, print_json
from lm.errors import LmError
from rag import weights, weights_pull
from rag.settings import load_settings
from rag.types import AnswerableError, InvalidInput, ModelBroken
from rag.weights_trained import trained_models

app = typer.Typer(no_args_is_help=True)


class Format(StrEnum):
    """What `models export` writes: a folder for transformers, or a file for llama.cpp."""

    hf = "hf"
    gguf = "gguf"


class Quant(StrEnum):
    """How a GGUF file keeps weights: lm.export_gguf.QUANTS, which takes torch to read."""

    f16 = "f16"
    q8_0 = "q8_0"
    q4_1 = "q4_1"
    q4_0 = "q4_0"


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


@app.command()
def export(
    name: Annotated[str, typer.Argument(help="A generator in HOME/models; see: answerable models list.")],
    folder: Annotated[Path, typer.Option("--out", help="Folder to write to; made where it is missing.")],
    kind: Annotated[Format, typer.Option("--format", help="hf: files for transformers; gguf: one for llama.cpp.")],
    quant: Annotated[Quant | None, typer.Option("--quant", help="Weights of a GGUF file; q8_0 by default.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write generator NAME as other programs read it."""
    if quant and kind is Format.hf:
        raise InvalidInput(f"--quant {quant} goes with --format gguf; leave it out, weights of hf stay as they are")
    source = _generator(load_settings().home, name, folder)
    with err().status(f"exporting {name}"):
        try:
            paths = _export(source, folder, kind, quant or Quant.q8_0)
        except LmError as error:
            raise AnswerableError(str(error)) from error
    files = [{"path": str(path), "bytes": path.stat().st_size} for path in paths]
    if as_json:
        print_json({"name": name, "format": kind, "files": files})
        return
    for file in files:
        out().print(f"{file['path']}  {file['bytes']} bytes", soft_wrap=True)


def _generator(home: Path, name: str, folder: Path) -> Path:
    """The folder of model ``name``, which must be a generator, and not where its export is to go."""
    source = weights.require(home, name)
    if (role := weights.read_manifest(source).role) != "generator":
        raise InvalidInput(f"{name} is an {role}; only generators are exported, see: answerable models list")
    if folder.resolve().is_relative_to((home / "models").resolve()):
        raise InvalidInput(f"{folder} is where our own models are kept, {home / 'models'}; name a folder elsewhere")
    return source


def _export(source: Path, folder: Path, kind: Format, quant: Quant) -> list[Path]:
    # Imported here: both take torch, which the other commands do without.
    if kind is Format.hf:
        from lm.export_hf import export_hf

        return export_hf(source, folder)
    from lm.export_gguf import export_gguf

    return [export_gguf(source, folder, quant)]


def _print(models: tuple[weights.ModelInfo, ...] | list[weights.ModelInfo], as_json: bool) -> None:
    if as_json:
        print_json({"models": [asdict(model) for model in models]})
        return
    table = Table("name", "role", "version", "sha256", "parent", box=None)
    for model in models:
        table.add_row(model.name, model.role, model.version, model.sha256[:12], model.parent)
    out().print(table)
