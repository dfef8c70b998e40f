"""The golden questions are well formed, and their answers and passages stand in the documents: examples/, and those of
eval/golden/documents.

The text of each document is taken out here with the plain libraries, not with our readers, so that a fault of a reader
cannot hide a fault of the questions.
"""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import docx
import pypdfium2
import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
GOLDEN = ROOT / "eval" / "golden"
SOURCES = ROOT / "docs" / "examples-src"
FIELDS = {"id", "dataset", "question", "passages", "answers", "answerable", "source", "kind"}
LEAST = {  # questions of each kind, over both files
    **{"fact": 20, "number": 40, "date": 20, "unit": 25, "table": 40, "negation": 35, "yes-no": 20, "near-miss": 50},
    **{"multi-hop": 15, "contradiction": 20, "injection": 20, "unanswerable": 70, "follow-up": 20},
}
FILES = {
    "Employee handbook: Leave": "handbook/leave.md",
    "Employee handbook: Expenses and travel": "handbook/expenses.md",
    "Employee handbook: Remote work": "handbook/remote-work.md",
    "Employee handbook: Information security": "handbook/information-security.md",
    "Employee handbook: Health and safety": "handbook/health-and-safety.md",
    "Skua 200 user manual": "products/skua-200-manual.html",
    "Skua 400 user manual": "products/skua-400-manual.pdf",
    "Fulmar gateway firmware: release notes": "products/fulmar-release-notes.md",
    "Price list 2025": "products/price-list-2025.html",
    "Price list 2026": "products/price-list-2026.docx",
    "Safety data sheet: OptiClean 70": "products/opticlean-70-safety-data-sheet.pdf",
    "Fellview service level agreement": "support/service-level-agreement.pdf",
    "Frequently asked questions": "support/faq.html",
    "Post-mortem: Fellview outage of 18 March 2026": "support/incident-2026-03-18-fellview-outage.md",
    "Onboarding guide for new colleagues": "people/onboarding-guide.docx",
    "Glossary for staff and customers": "reference/glossary.txt",
    "Minutes of the product meeting": "meetings/2026-06-09-product-meeting.txt",
    "Offer 26-1187: bearings and lithium batteries": "inbox/supplier-offer-brindlemere.txt",
}
DOCUMENTS = {
    "Statutes of the Larkmoor Housing Cooperative": "housing/statutes-2021.md",
    "Larkmoor house rules, edition of 2019": "housing/house-rules-2019.md",
    "Larkmoor house rules, edition of 2025": "housing/house-rules-2025.md",
    "Minutes of the general meeting of 23 May 2026": "housing/general-meeting-2026.txt",
    "Energy report 2025": "housing/energy-report-2025.md",
    "Hearth & Hall, newsletter of spring 2026": "housing/newsletter-spring-2026.txt",
    "Loan agreement L-2026-031": "museum/loan-agreement.md",
    "Courier report: loan L-2026-031": "museum/courier-report.txt",
    "Port Anselm City Gallery: visiting": "museum/visitor-information.md",
    "Standard operating procedure 14: Samples": "laboratory/sample-handling.md",
    "Tests, times and prices": "laboratory/price-and-times.md",
    "Samples of today, and a question on Saturday": "laboratory/mail-from-practice.txt",
    "Skerrow Ferries: timetable and fares 2026": "ferry/timetable-2026.md",
    "Skerrow Ferries: notice of 6 July 2026": "ferry/notice-2026-07.txt",
    "Report on the contact of the ferry Marten with the quay on 9 February 2026": "ferry/accident-report.md",
}
PLACES = {title: EXAMPLES / name for title, name in FILES.items()} | {
    title: GOLDEN / "documents" / name for title, name in DOCUMENTS.items()
}

Row = dict[str, Any]


def load(name: str) -> list[Row]:
    return [json.loads(line) for line in (GOLDEN / name).read_text(encoding="utf-8").splitlines()]


ROWS = load("examples.jsonl") + load("documents.jsonl")
each_row = pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])


def squeeze(text: str) -> str:
    """Take out white space and Markdown marks, which differ between a passage and its file."""
    return re.sub(r"[\s*`#|]", "", text)


@cache
def document(file: Path) -> str:
    """The squeezed text of a document."""
    reader = {".pdf": pdf_text, ".docx": docx_text, ".html": html_text}.get(file.suffix)
    return squeeze(reader(file) if reader else file.read_text(encoding="utf-8"))


def pdf_text(file: Path) -> str:
    with pypdfium2.PdfDocument(file) as pdf:
        pages = []
        for page in pdf:
            text_page = page.get_textpage()
            pages.append(text_page.get_text_bounded())
            text_page.close()
            page.close()
    text = "\n".join(pages).replace("\r", "")
    return re.sub(r"^(Tarnfell Instruments - .*|Page \d+ of \d+)$", "", text, flags=re.MULTILINE)


def docx_text(file: Path) -> str:
    lines = []
    for item in docx.Document(str(file)).iter_inner_content():
        rows = getattr(item, "rows", None)
        lines += [item.text] if rows is None else [" | ".join(cell.text for cell in row.cells) for row in rows]
    return "\n".join(lines)


def html_text(file: Path) -> str:
    text = re.sub(r"<(script|style)>.*?</\1>", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
    return html.unescape(re.sub(r"<[^>]+>", " ", text))


def test_there_are_enough_questions_of_every_kind_and_a_fifth_has_no_answer() -> None:
    counts = Counter(row["kind"] for row in ROWS)
    assert len(ROWS) >= 300
    assert set(counts) == set(LEAST)
    assert {kind: counts[kind] for kind, least in LEAST.items() if counts[kind] < least} == {}
    assert sum(not row["answerable"] for row in ROWS) >= 0.2 * len(ROWS)


def test_ids_and_questions_are_unique() -> None:
    assert len({row["id"] for row in ROWS}) == len(ROWS)
    assert len({(row["question"], json.dumps(row.get("history"))) for row in ROWS}) == len(ROWS)


@each_row
def test_form(row: Row) -> None:
    assert set(row) - {"history"} == FIELDS
    assert row["dataset"] == "golden-" + row["id"].rsplit("-", 1)[0]
    assert row["kind"] in LEAST
    assert row["question"].endswith("?")
    assert bool(row["answers"]) == row["answerable"]
    assert len(row["answers"]) <= 3
    assert all(set(passage) == {"title", "text"} for passage in row["passages"])
    assert ("history" in row) == (row["kind"] == "follow-up")
    assert [turn["role"] for turn in row.get("history", [])] in ([], ["user", "assistant"])
    assert all(turn["text"].strip() for turn in row.get("history", []))
    if row["kind"] == "unanswerable":
        assert not row["answerable"]


@each_row
def test_source_is_among_the_documents_of_the_passages(row: Row) -> None:
    sources = set(row["source"].split(" + "))
    named = FILES if row["dataset"] == "golden-examples" else DOCUMENTS
    assert sources <= {named[passage["title"]] for passage in row["passages"]}
    if len(sources) > 1:
        assert row["kind"] in ("multi-hop", "contradiction") or not row["answerable"]
    if row["kind"] in ("multi-hop", "contradiction"):
        assert len(row["passages"]) > 1 or "not " in row["passages"][0]["text"]


@each_row
def test_every_answer_stands_in_the_passages_of_its_source(row: Row) -> None:
    if row["answers"] in (["Yes"], ["No"]):
        assert re.match(r"(Is|Are|May|Can|Did|Do|Does|Was|Were) ", row["question"])
        return
    sources = [
        PLACES[title] for title in PLACES if PLACES[title].as_posix().endswith(tuple(row["source"].split(" + ")))
    ]
    passages = [passage for passage in row["passages"] if PLACES[passage["title"]] in sources]
    text = "\n".join(f"{passage['title']}\n{passage['text']}" for passage in passages)
    missing = [answer for answer in row["answers"] if answer not in text]
    assert not missing


@each_row
def test_every_passage_stands_in_its_document(row: Row) -> None:
    for passage in row["passages"]:
        text = document(PLACES[passage["title"]])
        missing = [line for line in passage["text"].splitlines() if squeeze(line) not in text]
        assert not missing, f"not in {PLACES[passage['title']]}"


@pytest.mark.parametrize(("folder", "names"), [(EXAMPLES, FILES), (GOLDEN / "documents", DOCUMENTS)], ids=["ex", "doc"])
def test_every_document_is_asked_about_and_has_a_fair_length(folder: Path, names: dict[str, str]) -> None:
    files = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    assert files == set(names.values())
    asked = {source for row in ROWS for source in row["source"].split(" + ")}
    assert files <= asked
    assert all((folder / name).stat().st_size < 60_000 for name in files)


@pytest.mark.parametrize("source", sorted(SOURCES.glob("*.md")), ids=lambda path: path.stem)
def test_binary_documents_follow_their_sources(source: Path) -> None:
    """Fails when a source was changed and docs/examples-src/build.py was not run."""
    (name,) = (name for name in FILES.values() if Path(name).stem == source.stem)
    lines = [re.sub(r"^(- |\d+\. )", "", line) for line in source.read_text(encoding="utf-8").splitlines()]
    wanted = [line for line in lines if set(line) - set("|- ")]
    assert [line for line in wanted if squeeze(line) not in document(EXAMPLES / name)] == []
