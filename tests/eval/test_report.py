from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eval.report import build_report
from eval.report_html import render_html
from eval.report_text import render_markdown
from eval.runs import Run, read_run, write_run
from rag.types import InvalidInput
from tests.eval.test_compare import GOOD, changed, line, run_of

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"


def report_of(*runs: Run) -> dict[str, Any]:
    return build_report(runs, lambda _done, _total: None)


def embedded(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    return dict(json.loads(found[1]))


def test_a_report_holds_figures_with_intervals_and_every_row() -> None:
    report = report_of(changed(1, 2))
    (group,) = report["groups"]
    f1 = next(figure for figure in group["figures"] if figure["name"] == "f1")
    assert f1["low"] <= f1["value"] == 0.95 <= f1["high"]
    assert "SQuAD" in f1["about"]
    assert len(report["questions"]) == 40
    assert report["passages"] == [["Page", "The gate is green."]]
    assert report["comparison"] is None


def test_the_page_loads_nothing_and_has_plots_and_rows() -> None:
    page = render_html(report_of(GOOD, changed(*range(12))))
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)
    assert "default-src 'none'" in page
    assert page.count("<svg") >= 3
    assert "What changed" in page and "Questions that flipped: 12" in page
    assert len(embedded(page)["questions"]) == 40


def test_text_of_a_document_never_becomes_markup() -> None:
    row = line(1, EVIL, question=EVIL, reason=EVIL, read=[{"uri": "p", "title": EVIL, "text": EVIL, "score": 0.1}])
    runs = [run_of([line(1), line(2)]), run_of([row, line(2)])]
    page = render_html(report_of(*runs))
    assert "<img src=x" not in page
    assert page.count("<script") == 2
    assert embedded(page)["passages"][0] == [EVIL, EVIL]
    assert "<img" not in render_markdown(report_of(*runs))


def test_a_thousand_questions_of_three_passages_each_stay_under_five_megabytes() -> None:
    words = "the quick brown fox jumps over the lazy dog while seventeen engineers measure pressure in bar ".split()
    rows = []
    for number in range(1000):
        texts = [" ".join(f"{word}{(number * 7 + part) % 89}" for word in words * 9) for part in range(3)]
        assert len(texts[0]) > 900  # a passage has about 200 tokens, 900 characters
        read = [{"uri": f"{number}-{part}", "title": "Page", "text": f"{number} {text}", "score": 0.5}
                for part, text in enumerate(texts)]  # fmt: skip
        rows.append(line(number, read=read))
    assert len(render_html(report_of(run_of(rows))).encode()) < 5_000_000


def test_markdown_tells_what_changed_and_what_did_not_go_well() -> None:
    text = render_markdown(report_of(GOOD, changed(*range(12))))
    assert "## What changed" in text
    assert "Questions that flipped: 12" in text
    assert "Rows that did not go well: 12 of 40" in text
    assert "| f1 | 1.000 | 0.700 |" in text
    assert "nan" not in text.lower()


def test_no_run_and_no_question_are_refused() -> None:
    with pytest.raises(InvalidInput, match="no run to report"):
        report_of()
    with pytest.raises(InvalidInput, match="no questions in the run"):
        report_of(run_of([]))


def test_a_run_that_was_cut_short_or_holds_nan_is_refused_with_the_cure(tmp_path: Path) -> None:
    path = write_run(replace(GOOD, metrics={"f1": 0.5}), tmp_path)
    whole = path.read_text("utf-8")
    path.write_text(whole[: len(whole) // 2], "utf-8")
    with pytest.raises(InvalidInput, match="cut short: run the evaluation again"):
        read_run(path)
    path.write_text(whole.replace('"f1": 0.5', '"f1": NaN'), "utf-8")
    with pytest.raises(InvalidInput, match="NaN stands where a number should"):
        read_run(path)
