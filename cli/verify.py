"""verify: each sentence of a text against files of passages or a collection."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli import show
from cli.common import CollectionOption, JsonOption, out, print_json
from rag.build import build_pipeline
from rag.check_text import check_against, check_given
from rag.settings import load_settings
from rag.types import InvalidInput
from rag.wire import claim_json


def verify(
    text: Annotated[str, typer.Argument(help="The text to check; - reads it from stdin.")],
    against: Annotated[
        list[Path] | None, typer.Option("--against", "-a", help="Text file to check it against; may be repeated.")
    ] = None,
    collection: CollectionOption = "default",
    question: Annotated[str, typer.Option("--question", "-q", help="The question that the text answers.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Check each sentence of a text against given files, or against the documents of a collection."""
    said = sys.stdin.read() if text == "-" else text
    passages = [_read(path) for path in against or ()]
    pipeline = build_pipeline(load_settings())
    if passages:
        claims = check_given(pipeline, said, passages, question)
    else:
        claims = check_against(pipeline, said, collection, question)
    if as_json:
        support = min(claim.support for claim in claims)
        model = pipeline.models().verifier
        print_json({"support": support, "claims": [claim_json(claim) for claim in claims], "verifier": model})
    else:
        show.claims(out(), claims)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: cannot be read as UTF-8 text ({error}); give a text file, or ingest it") from error
