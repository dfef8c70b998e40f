"""Readers compared with the libraries that were not taken: time, memory, and what of documents comes out.

    python -m pip install striprtf odfdo openpyxl pdfminer.six pypdf docx2txt beautifulsoup4
    python -m benchmarks.readers [--repeat 200] [--files FOLDER --most 40]

For each candidate that is installed, on the golden documents of its format: milliseconds a document (best of five
rounds), peak memory of a round as Python sees it, and the shares of the golden words and headings that are in what it
gives. With --files, on real files of FOLDER too (what benchmarks/ingest_corpus.py fetched): milliseconds a MB, files
that it failed on, and of the words that ours and it give, the shares that each has.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import logging
import re
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from ingest.readers import read_document
from tests.ingest.golden.documents import DOCUMENTS, Golden

ROUNDS = 5
MOST_BYTES = 2_000_000  # of a real file

Extract = Callable[[bytes], tuple[str, list[str]]]  # bytes -> text, headings


def main() -> None:
    """Measure every candidate on the documents of its format; print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=200, help="readings a round")
    parser.add_argument("--files", type=Path, help="a folder of real files")
    parser.add_argument("--most", type=int, default=40, help="real files a format")
    given = parser.parse_args()
    result: dict[str, Any] = {}
    for suffix, candidates in CANDIDATES.items():
        documents = [golden for golden in DOCUMENTS if PurePath(golden.name).suffix == suffix]
        real = real_files(given.files, suffix, given.most) if given.files else []
        result[suffix] = {"ours": measure(documents, ours(suffix), given.repeat), "real_files": len(real)}
        own = read_all(real, ours(suffix))
        result[suffix]["ours"] |= compared(own, own, real)
        for module, extract in candidates.items():
            try:
                importlib.import_module(module)
            except ImportError:
                result[suffix][module] = "not installed"
                continue
            theirs = measure(documents, extract, given.repeat) | compared(read_all(real, extract), own, real)
            result[suffix][module] = theirs
    print(json.dumps(result, indent=2))


def real_files(folder: Path, suffix: str, most: int) -> list[bytes]:
    """``most`` files of the format, spread evenly over the folder in order of their paths."""
    paths = sorted(path for path in folder.rglob(f"*{suffix}") if path.is_file() and path.stat().st_size < MOST_BYTES)
    return [path.read_bytes() for path in paths[:: max(1, len(paths) // most)][:most]]


@dataclass(frozen=True, slots=True)
class ReadAll:
    """Seconds for all files, and the words of each; None where it failed."""

    seconds: float
    words: list[set[str] | None]


def read_all(files: list[bytes], extract: Extract) -> ReadAll:
    """Each file once; what a library raises counts as a failure, whatever it is."""
    words: list[set[str] | None] = []
    started = time.perf_counter()
    for data in files:
        try:
            words.append(_words(extract(data)[0]))
        except Exception as error:  # noqa: BLE001 - any library, any file
            logging.info("%s", error)
            words.append(None)
    return ReadAll(time.perf_counter() - started, words)


def compared(one: ReadAll, ours: ReadAll, files: list[bytes]) -> dict[str, float]:
    """Figures of ``one`` over real files, {} without any; its share of all words that the two give, and ours."""
    if not files:
        return {}
    pairs = [(a, b) for a, b in zip(one.words, ours.words, strict=True) if a is not None and b is not None]
    union = sum(len(a | b) for a, b in pairs) or 1
    return {
        "real_ms_a_mb": round(1e9 * one.seconds / sum(map(len, files)), 1),
        "real_failed": sum(words is None for words in one.words),
        "real_words": round(sum(len(a) for a, _ in pairs) / union, 3),
        "real_words_of_ours": round(sum(len(b) for _, b in pairs) / union, 3),
    }


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


def _pypdf(data: bytes) -> tuple[str, list[str]]:
    pages = importlib.import_module("pypdf").PdfReader(io.BytesIO(data)).pages
    return "\n".join(page.extract_text() for page in pages), []


def _docx2txt(data: bytes) -> tuple[str, list[str]]:
    return importlib.import_module("docx2txt").process(io.BytesIO(data)), []


def _soup(data: bytes) -> tuple[str, list[str]]:
    tree = importlib.import_module("bs4").BeautifulSoup(data, "html.parser")
    for tag in tree(["script", "style"]):
        tag.decompose()
    return tree.get_text(" "), [tag.get_text(" ", strip=True) for tag in tree(["h1", "h2", "h3", "h4", "h5", "h6"])]


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


CANDIDATES: dict[str, dict[str, Extract]] = {
    ".rtf": {"striprtf": _striprtf},
    ".odt": {"odfdo": _odfdo},
    ".xlsx": {"openpyxl": _openpyxl},
    ".pdf": {"pdfminer": _pdfminer, "pypdf": _pypdf},
    ".docx": {"docx2txt": _docx2txt},
    ".html": {"bs4": _soup},
}


if __name__ == "__main__":
    main()
