"""The files of `eval generate`: written row by row, read back with their reviews, replaced in one step."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rag.datafiles import read_qa
from rag.types import InvalidInput

REVIEWS = ("right", "wrong", "")
_SEED = 0

Row = dict[str, Any]


def check_new(file: Path) -> None:
    """Raises InvalidInput for a file that is there already: it may hold somebody's reviews."""
    if file.exists():
        raise InvalidInput(f"{file}: exists already and may hold reviews; give another name")


def write_rows(file: Path, rows: Iterable[Row]) -> int:
    """Write each row as it comes and return how many; an interruption leaves those that were finished.

    The file is made with the first row. Raises InvalidInput where it cannot be written, is there already, or where
    there are no rows.
    """
    check_new(file)
    made = 0
    for row in rows:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a" if made else "x", encoding="utf-8") as stream:
                stream.write(_line(row))
        except OSError as error:
            raise InvalidInput(f"{file}: cannot be written ({error.strerror or error}); give another place") from error
        made += 1
    if not made:
        raise InvalidInput(f"{file}: not written, no question could be made; ingest documents with plain sentences")
    return made


def read_set(file: Path) -> list[Row]:
    """The rows of a made set. Raises InvalidInput for a file that is none, as read_qa does."""
    read_qa(file)  # names the line, the field and the cure
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    for number, row in enumerate(rows, start=1):
        quote = row["evidence"].get("quote") if isinstance(row.get("evidence"), dict) else None
        if row.get("synthetic") is not True or not isinstance(quote, str) or row.get("review") not in REVIEWS:
            raise InvalidInput(f"{file}, line {number}: no row of eval generate; give a file that it wrote")
    return rows


def replace_set(file: Path, rows: Sequence[Row]) -> None:
    """Write all rows in place of ``file``, in one step. Raises InvalidInput where it cannot be written."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        beside.write_text("".join(map(_line, rows)), encoding="utf-8")
        beside.replace(file)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise InvalidInput(f"{file}: cannot be written ({error.strerror or error}); free the place") from error


def to_review(rows: Sequence[Row], sample: int) -> Iterator[Row]:
    """Up to ``sample`` rows without a review, drawn at random, the same ones each time."""
    left = [row for row in rows if not row["review"]]
    yield from random.Random(_SEED).sample(left, min(sample, len(left)))


def reviewed(rows: Sequence[Row]) -> dict[str, int]:
    """How many rows were called right and wrong, and how many are open."""
    counts = Counter(row["review"] for row in rows)
    return {"right": counts["right"], "wrong": counts["wrong"], "open": counts[""]}


def _line(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"
