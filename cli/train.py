"""train tune, reranker, retriever, reader, verifier: command lines of train/, with our errors, --json, base weights."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table

from cli.common import out, print_json, progress_bar
from lm.errors import LmError
from rag import weights
from rag.settings import load_settings
from rag.types import AnswerableError
from rag.weights_source import BASE_MODELS

if TYPE_CHECKING:
    import argparse

    from train.encoder_run import Job, RunOptions
    from train.reranker import RerankerOptions
    from train.tune import TuneOptions

    Options = TuneOptions | RerankerOptions | RunOptions

app = typer.Typer(no_args_is_help=True)
_LOOK_EVERY = 2.0  # seconds between two looks at a run's metrics
# The options, their help and their errors are those of the module behind the command.
_FORWARDED = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@app.callback()
def group() -> None:
    """Train the in-house models; each run ends by itself and goes on after a kill."""


@app.command(context_settings=_FORWARDED)
def tune(context: typer.Context) -> None:
    """Tune the generator on question files."""
    # Imported here, as everything of train/: torch takes seconds, and the other commands do without.
    from train.tune import option_parser, to_options, tune

    given = _parsed(context.args, option_parser, "tune")
    options = to_options(given)
    _run(lambda: tune(options), options, given.json)


@app.command(context_settings=_FORWARDED)
def reranker(context: typer.Context) -> None:
    """Train the reranker on groups that python -m train.mining made."""
    from train.reranker import option_parser, to_options, train_reranker

    given = _parsed(context.args, option_parser, "reranker")
    options = to_options(given)
    _run(lambda: train_reranker(options), options, given.json)


@app.command(context_settings=_FORWARDED)
def retriever(context: typer.Context) -> None:
    """Tune the encoder on groups that python -m train.mining made."""
    from train.reranker import to_options
    from train.retriever import retriever_parser, train_retriever

    given = _parsed(context.args, retriever_parser, "retriever")
    options = to_options(given)
    _run(lambda: train_retriever(options), options, given.json)


@app.command(context_settings=_FORWARDED)
def reader(context: typer.Context) -> None:
    """Train the reader, which points at the words of a passage that answer, on question files."""
    from train import reader as module

    _encoder(context, module.__doc__, module.reader_job, "reader")


@app.command(context_settings=_FORWARDED)
def verifier(context: typer.Context) -> None:
    """Train the verifier on claim files and on claims made of question files."""
    from train import verifier as module

    _encoder(context, module.__doc__, module.verifier_job, "verifier")


def _encoder(context: typer.Context, description: str | None, job: Callable[[RunOptions, int], Job], name: str) -> None:
    from train.encoder_run import option_parser, to_options, train

    given = _parsed(context.args, lambda prog, base: option_parser(description, prog, base), name)
    options = to_options(given)
    _run(lambda: train(job(options, given.most), options), options, given.json)


def _parsed(
    arguments: list[str], make_parser: Callable[[str, Path], argparse.ArgumentParser], name: str
) -> argparse.Namespace:
    """The options of a command, --json among them; the default base is brought before it is used."""
    home = load_settings().home
    role = "generator" if name == "tune" else "encoder"
    base = home / "models" / next(model.name for model in BASE_MODELS if model.role == role)
    parser = make_parser(f"answerable train {name}", base)
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout and nothing else there")
    given = parser.parse_args(arguments)
    if given.base == base:
        weights.require(home, base.name)
    return given


def _run(work: Callable[[], dict[str, Any]], options: Options, as_json: bool) -> None:
    with _told_on_stderr(options):
        try:
            result = work()
        except LmError as error:
            raise AnswerableError(str(error)) from error
    if result["val_loss"] is None:  # one of several processes, and not the first, which speaks for all
        return
    if as_json:
        print_json(result)
    else:
        _print(result)


@contextmanager
def _told_on_stderr(options: Options) -> Iterator[None]:
    """The log of train/, and where stderr is a terminal a bar, for as long as a run lasts."""
    log, over = logging.getLogger("train"), threading.Event()
    with progress_bar("training") as show:
        handler = logging.StreamHandler()  # after the bar, which has its own stderr for lines that pass it
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        watcher = threading.Thread(target=_watch, args=(options, show, over), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
            log.removeHandler(handler)


def _watch(options: Options, show: Callable[[int, int | None], None], over: threading.Event) -> None:
    """Move the bar by what the run writes into its metrics, in steps or, where time alone limits it, in seconds."""
    while not over.wait(_LOOK_EVERY):
        last = _last_line(options.out / "metrics.jsonl")
        if options.loop.steps:
            show(last.get("step", 0), options.loop.steps)
        else:
            show(int(last.get("seconds", 0)), int(60 * options.loop.minutes))


def _last_line(path: Path) -> dict[str, Any]:
    """The last whole line of a metrics file, nothing where there is none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except OSError:
        return {}
    whole = [line for line in lines[-2:] if line.endswith("\n")]
    return dict(json.loads(whole[-1])) if whole else {}


def _print(result: dict[str, Any]) -> None:
    table = Table("figure", "value", box=None)
    for name, value in ({**result, **result["dev"]}).items():
        if not isinstance(value, dict):
            table.add_row(name, f"{value:g}" if isinstance(value, float) else str(value))
    out().print(table)
