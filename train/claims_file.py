"""The command that train/pairs.py and train/edits.py share: a question file in, a claims file out."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from rag.datafiles import ClaimRow, QaRow, read_qa


def write_claims(description: str | None, make: Callable[[Sequence[QaRow], int], Sequence[ClaimRow]]) -> None:
    """Parse the command line, make claims of the questions with ``make(rows, seed)``, and write them as JSON lines."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="question file, JSON lines, plain or gzip")
    parser.add_argument("--out", type=Path, required=True, help="claims file to write, JSON lines")
    parser.add_argument("--limit", type=int, default=0, help="read the first N rows only (0: all)")
    parser.add_argument("--seed", type=int, default=0, help="seed of what is drawn")
    options = parser.parse_args()
    claims = make(read_qa(options.file, options.limit), options.seed)
    lines = [json.dumps(asdict(claim), ensure_ascii=False) for claim in claims]
    options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
