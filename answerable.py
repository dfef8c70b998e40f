"""The command line: `answerable --help`. Puts the commands of cli/ together and turns errors into one line and a code.

Exit codes: 0 done, 1 failed, 2 wrong use. Errors are one line on stderr; a traceback only with --debug.
"""

from __future__ import annotations

import logging
import sys
from typing import Annotated, Any

import structlog
import typer

from cli import ask, documents, evaluate, index, ingest, keys, migrate, models, reports, serve, train, verify
from rag.settings import load_settings
from rag.types import AnswerableError

INTERRUPTED = 130  # what a shell reports for a process stopped by Ctrl-C

app = typer.Typer(
    name="answerable",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Answers from your own documents: every sentence checked, scored and cited.",
)
app.command()(ingest.ingest)
app.command()(ask.ask)
app.command()(ask.search)
app.command()(verify.verify)
app.command()(serve.serve)
app.command()(serve.mcp)
app.command()(index.doctor)
app.command()(migrate.migrate)
app.add_typer(documents.app, name="documents", help="List, show and delete the documents of a collection.")
app.add_typer(keys.app, name="keys", help="Make, list and revoke the access keys of serve.")
app.add_typer(models.app, name="models", help="List, bring, check and export the models on this machine.")
app.add_typer(index.app, name="index", help="Look at the vector index and build it again.")
evaluate.app.command()(reports.report)
evaluate.app.command()(reports.compare)
app.add_typer(
    evaluate.app, name="eval", help="Measure answers, claims, retrieval and bias; report and compare what came out."
)
app.add_typer(train.app, name="train", help="Train the in-house models.")


@app.callback()
def root(debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and every log line.")] = False) -> None:
    """Set up logging before any command runs."""
    level = "debug" if debug else load_settings().log_level
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            *_renderers(sys.stderr.isatty()),
        ],
    )


def _renderers(terminal: bool) -> list[Any]:
    """Coloured lines for people, one JSON object a line for programs; neither prints the values of local variables,
    which would put documents into the log."""
    if terminal:
        return [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]


def main() -> None:
    """Run the command line; the entry point of the package."""
    try:
        app()
    except AnswerableError as error:
        if "--debug" in sys.argv:
            raise
        sys.stderr.write(f"answerable: {error}\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("answerable: stopped; what was finished is kept\n")
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
