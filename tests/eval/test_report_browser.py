"""A report in a real headless Chromium (Debian's): every plot is drawn, every drill-down opens, nothing is loaded.

The picture in docs/screenshots is of a run of our own suite; docs/evaluation.md says how it was made.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from api.app import create_app
from eval.report import build_report
from eval.report_html import render_html
from eval.runs import run_text
from eval.suite_run import measure
from rag.settings import load_settings
from rag.store import KeptRun
from tests.api.live import serve_app
from tests.eval.test_compare import line, run_of
from tests.eval.test_suite_run import parts, suite_of, write_rows
from tests.fakes import Shelf

playwright = pytest.importorskip("playwright.sync_api")

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
AXE = ROOT / "tests" / "vendor" / "axe.min.js"
EVIL = "<img src=x onerror=\"document.title='owned'\">"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    opened = browser.new_page(viewport={"width": 1200, "height": 900})
    problems: list[str] = []
    asked: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda said: problems.extend([said.text] if said.type == "error" else []))
    opened.on("request", lambda request: asked.append(request.url))
    yield opened
    opened.close()
    assert problems == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "http://127.0.0.1:"))] == []


def show(page: Any, folder: Path, *runs: Any) -> dict[str, Any]:
    report = build_report(runs, lambda _done, _total: None)
    file = folder / "report.html"
    file.write_text(render_html(report), "utf-8")
    page.goto(file.as_uri())
    return report


def test_every_plot_is_drawn_and_every_row_opens(page: Any, tmp_path: Path) -> None:
    suite = suite_of(write_rows(tmp_path), "qa", "robustness", "counterfactual")
    run = measure(parts(tmp_path / "a"), suite, {}, tmp_path / "runs", lambda _done, _total: None)
    report = show(page, tmp_path, run)
    plots = page.locator("svg")
    assert plots.count() >= 5
    for plot in plots.all():
        box = plot.bounding_box()
        assert box and box["width"] > 100 and box["height"] > 20
        assert plot.locator("polyline, rect").count() >= 1
    if page.locator("#more").is_visible():
        page.locator("#more").click()
    rows = page.locator("details.question")
    assert rows.count() == len(report["questions"])
    for row in rows.all():
        row.locator("summary").click()
        assert row.locator(".inside h3").first.inner_text() == "Answer"
        assert row.locator("blockquote").count() >= 1


def test_filters_narrow_the_list_and_a_flip_leads_to_its_question(page: Any, tmp_path: Path) -> None:
    before = run_of([line(number) for number in range(12)])
    after = run_of([line(number, "blue" if number < 6 else "green") for number in range(12)])
    show(page, tmp_path, before, after)
    assert page.get_by_text("Questions that flipped: 6").is_visible()
    page.get_by_label("Outcome").select_option("wrong")
    assert page.locator("#count").inner_text() == "6 of 12 rows"
    page.get_by_label("Outcome").select_option("")
    page.get_by_label("Text").fill("Question 11")
    assert page.locator("details.question").count() == 1
    page.get_by_role("link", name="Question 3?").click()
    opened = page.locator("details.question[open]")
    assert opened.get_attribute("data-id") == "q3"
    assert opened.locator(".claim.supported").inner_text() == "blue"
    assert opened.locator("blockquote").inner_text() == "The gate is green."


def test_text_of_a_document_stays_text_and_the_page_is_fit_for_all(page: Any, tmp_path: Path) -> None:
    row = line(1, EVIL, question=EVIL, read=[{"uri": "p", "title": EVIL, "text": EVIL, "score": 0.1}])
    show(page, tmp_path, run_of([row, line(2), line(3, "blue")]))
    page.locator("details.question summary").first.click()
    assert EVIL in page.locator("blockquote").first.inner_text()
    assert "owned" not in page.title()
    assert page.locator("main img").count() == 0
    page.evaluate(AXE.read_text("utf-8") + "; null")
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    serious = [rule for rule in found["violations"] if rule["impact"] in ("serious", "critical")]
    assert serious == [], [(rule["id"], [node["html"] for node in rule["nodes"]][:3]) for rule in serious]


def test_kept_runs_are_listed_on_the_page_with_their_rows(page: Any, tmp_path: Path) -> None:
    run = replace(run_of([line(1), line(2, "blue")]), metrics={"f1": 0.5, "golden": {"em": 0.25, "intervals": {}}})
    shelf = Shelf.open(tmp_path)
    kept = KeptRun(run.name, run.kind, run.data.name, run.metrics, datetime(2026, 3, 1, tzinfo=UTC))
    shelf.store.eval_runs.put(kept, run_text(run))
    settings = load_settings(home=tmp_path)
    with serve_app(create_app(settings, lambda _settings: Shelf.open(tmp_path).pipeline())) as url:
        page.goto(f"{url}/#/reports")
        page.locator("details.report summary").click()
        assert page.get_by_role("row", name="golden.em 0.2500").is_visible()
        page.get_by_role("button", name="Rows").click()
        page.get_by_role("row", name="q2 Question 2? blue 90").wait_for()
        page.evaluate(AXE.read_text("utf-8") + "; null")
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        serious = [rule["id"] for rule in found["violations"] if rule["impact"] in ("serious", "critical")]
    assert serious == []
