"""Readers compared with the libraries that were not taken: time, memory, and what of the golden set comes out.

    python -m pip install striprtf odfdo openpyxl pdfminer.six
    python -m benchmarks.readers [--repeat 200]

For each candidate that is installed: milliseconds a document (best of five rounds), peak memory of a round as Python
sees it, and the shares of the golden documents' words and headings that are in what it gives.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import re
import time
import tracemalloc
from collections.abc import Callable
from pathlib import PurePath
from typing import Any

from ingest.readers import read_document
from tests.ingest.golden.documents import DOCUMENTS, Golden

ROUNDS = 5

Extract = Callable[[bytes], tuple[str, list[str]]]  # bytes -> text, headings


def main() -> None:
    """Measure every candidate on the documents of its format; print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=200, help="readings a round")
    repeat = parser.parse_args().repeat
    result: dict[str, Any] = {}
    for suffix, candidates in CANDIDATES.items():
        documents = [golden for golden in DOCUMENTS if PurePath(golden.name).suffix == suffix]
        result[suffix] = {"ours": measure(documents, ours(suffix), repeat)}
        for module, extract in candidates.items():
            try:
                importlib.import_module(module)
            except ImportError:
                result[suffix][module] = "not installed"
                continue
            result[suffix][module] = measure(documents, extract, repeat)
    print(json.dumps(result, indent=2))


def measure(documents: list[Golden], extract: Extract, repeat: int) -> dict[str, float]:
    """Time, memory and recall of ``extract`` over ``documents``."""
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(repeat):
            for golden in documents:
                extract(golden.data)
        best = min(best, time.perf_counter() - started)
    tracemalloc.start()
    found = [extract(golden.data) for golden in documents]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    words = [(_words(golden.text), _words(text)) for golden, (text, _) in zip(documents, found, strict=True)]
    wanted = [(golden.headings, headings) for golden, (_, headings) in zip(documents, found, strict=True)]
    heads = [text in given for headings, given in wanted for _, text in headings]
    return {
        "ms": round(1000 * best / repeat / len(documents), 3),
        "peak_kb": round(peak / 1000),
        "words": round(sum(len(a & b) for a, b in words) / max(1, sum(len(a) for a, _ in words)), 3),
        "headings": round(sum(heads) / max(1, len(heads)), 3),
    }


def ours(suffix: str) -> Extract:
    """Our reader of ``suffix``."""

    def extract(data: bytes) -> tuple[str, list[str]]:
        document = read_document(f"a{suffix}", data)
        return document.text, [document.text[heading.start : heading.end] for heading in document.headings]

    return extract


def _striprtf(data: bytes) -> tuple[str, list[str]]:
    module = importlib.import_module("striprtf.striprtf")
    return module.rtf_to_text(data.decode("latin-1"), errors="ignore"), []


def _odfdo(data: bytes) -> tuple[str, list[str]]:
    document = importlib.import_module("odfdo").Document(io.BytesIO(data))
    return document.get_formatted_text(), [str(header) for header in document.body.get_headers()]


def _openpyxl(data: bytes) -> tuple[str, list[str]]:
    book = importlib.import_module("openpyxl").load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    rows = [
        str(cell) for sheet in book for row in sheet.iter_rows(values_only=True) for cell in row if cell is not None
    ]
    return "\n".join(rows), list(book.sheetnames)


def _pdfminer(data: bytes) -> tuple[str, list[str]]:
    return importlib.import_module("pdfminer.high_level").extract_text(io.BytesIO(data)), []


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


CANDIDATES: dict[str, dict[str, Extract]] = {
    ".rtf": {"striprtf": _striprtf},
    ".odt": {"odfdo": _odfdo},
    ".xlsx": {"openpyxl": _openpyxl},
    ".pdf": {"pdfminer": _pdfminer},
}


if __name__ == "__main__":
    main()
