"""A large folder of real documents: ingest it twice, ask about it, and check every citation against the stored text.

    python -m benchmarks.real_documents FOLDER [--questions N]        such as the HTML of Debian's python3-doc

Prints seconds of both ingests and their ratio, how many questions were answered, and how many citations and passages
did not round-trip (document text[start:end] == quote), which must be 0. Questions are made of headings, spread evenly.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from ingest.build import build_ingester
from rag.build import Search, build_pipeline, build_search
from rag.settings import load_settings
from rag.types import Question
from rag.wire import answer_json

COLLECTION = "real"


def main() -> None:
    """Run both ingests and the questions; exit code 1 when a quote is not what the document says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--questions", type=int, default=50)
    arguments = parser.parse_args()
    settings = load_settings()
    with tempfile.TemporaryDirectory() as folder:
        scratch = settings.model_copy(update={"database_url": f"sqlite:///{folder}/rows.db", "index_url": folder})
        search = build_search(scratch)
        ingester = build_ingester(scratch, search)
        first = ingester.ingest_paths([arguments.folder], COLLECTION)
        second = ingester.ingest_paths([arguments.folder], COLLECTION)
        pipeline = build_pipeline(scratch, search)
        answers = [
            answer_json(pipeline.answer(Question(text, COLLECTION, top_k=scratch.top_k)))
            for text in make_questions(search, COLLECTION, arguments.questions)
        ]
        quotes = [quote for answer in answers for quote in quotes_of(answer)]
        wrong = [quote for quote in quotes if not round_trips(search, quote)]
    result = {
        "documents": first.added,
        "failed": len(first.failed),
        "chunks": first.chunks,
        "first_seconds": first.seconds,
        "second_seconds": second.seconds,
        "second_changed": second.added + second.changed + second.chunks,
        "second_over_first": second.seconds / first.seconds,
        "questions": len(answers),
        "answered": sum(not answer["abstained"] for answer in answers),
        "quotes": len(quotes),
        "quotes_wrong": len(wrong),
    }
    print(json.dumps(result, indent=2))
    sys.exit(1 if wrong else 0)


def make_questions(search: Search, name: str, count: int) -> list[str]:
    """Questions about the lowest heading of passages spread evenly over the collection."""
    collection = search.store.collections.get(name)
    headings = [heading for batch in search.store.chunks.texts(collection) for _, heading, _ in batch if heading]
    names = list(dict.fromkeys(heading.split(" > ")[-1] for heading in headings))
    step = max(1, len(names) // count)
    return [f"What is {name}?" for name in names[::step][:count]]


def quotes_of(answer: dict[str, object]) -> list[dict[str, object]]:
    """Every quote of an answer: those of its claims and its passages."""
    claims = answer["claims"]
    passages = answer["passages"]
    assert isinstance(claims, list) and isinstance(passages, list)
    return [citation for claim in claims for citation in claim["citations"]] + passages


def round_trips(search: Search, quote: dict[str, object]) -> bool:
    """Whether the stored document holds exactly these characters there."""
    start, end = quote["start"], quote["end"]
    assert isinstance(start, int) and isinstance(end, int)
    return search.store.documents.get(str(quote["document_id"])).text[start:end] == quote["quote"]


if __name__ == "__main__":
    main()
