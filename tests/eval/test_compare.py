from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from eval.compare import Limit, check_limits, compare, read_limit
from eval.runs import DataFile, Run
from rag.types import InvalidInput


def line(number: int, answer: str = "green", **changes: Any) -> dict[str, Any]:
    right = answer == "green"
    row = {
        "id": f"q{number}", "dataset": "d", "kind": "fact", "question": f"Question {number}?", "history": [],
        "answerable": True, "golds": ["green"], "answer": answer, "refused": False, "reason": "", "support": 0.9,
        "claims": [{"text": answer, "start": 0, "end": 5, "support": 0.9, "verdict": "supported", "quotes": []}],
        "cited": [["p"]], "passages": ["p"], "gold_passages": ["p"], "ranking": {},
        "read": [{"uri": "p", "title": "Page", "text": "The gate is green.", "score": 0.8}],
        "tokens": {"prompt_tokens": 20, "completion_tokens": 3},
        "em": float(right), "f1": float(right), "rouge_l": float(right),
    }  # fmt: skip
    return row | changes


def run_of(rows: list[dict[str, Any]], kind: str = "qa", **settings: Any) -> Run:
    return Run(kind, {}, settings, {"generator": "echo@1"}, 7, DataFile("rows.jsonl", "0" * 64, 10), rows)


GOOD = run_of([line(number) for number in range(40)])


def changed(*wrong: int) -> Run:
    return run_of([line(number, "blue") if number in wrong else line(number) for number in range(40)])


def test_a_run_against_itself_differs_in_nothing() -> None:
    found = compare(GOOD, GOOD)
    assert {change.verdict for change in found.changes} == {"same"}
    assert (found.flips, found.only_a, found.only_b, found.worse) == ((), 0, 0, ())


def test_a_clear_loss_is_worse_and_its_questions_are_listed() -> None:
    found = compare(GOOD, changed(*range(12)))
    f1 = next(change for change in found.changes if change.metric == "f1")
    assert (f1.a, f1.b, f1.n) == (1.0, 0.7, 40)
    assert f1.difference == pytest.approx(-0.3)
    assert f1.low <= f1.difference <= f1.high < 0
    assert f1.p < 0.05
    assert {"em", "f1", "brier", "aurc"} <= {change.metric for change in found.worse}
    assert [flip.id for flip in found.flips] == [f"q{number}" for number in range(12)]
    assert all(flip.worse and (flip.a, flip.b) == ("right", "wrong") for flip in found.flips)
    back = compare(changed(*range(12)), GOOD)
    assert next(change for change in back.changes if change.metric == "f1").verdict == "better"
    assert not any(flip.worse for flip in back.flips)


def test_one_question_of_forty_proves_nothing() -> None:
    found = compare(GOOD, changed(3))
    assert next(change for change in found.changes if change.metric == "f1").verdict == "same"
    assert len(found.flips) == 1


def test_rows_that_one_run_has_alone_are_counted_and_left_out() -> None:
    short = run_of([line(number) for number in range(10, 45)])
    found = compare(GOOD, short)
    assert (found.only_a, found.only_b) == (10, 5)
    assert next(change for change in found.changes if change.metric == "f1").n == 30


def test_runs_that_share_no_question_are_refused() -> None:
    with pytest.raises(InvalidInput, match="share no question"):
        compare(GOOD, run_of([line(99)]))
    with pytest.raises(InvalidInput, match="unknown kind 'poem'"):
        compare(GOOD, replace(GOOD, kind="poem"))
    with pytest.raises(InvalidInput, match="rows of another version"):
        compare(GOOD, run_of([{"id": "q1"}]))


def test_a_limit_holds_by_the_good_side_of_its_figure() -> None:
    run = changed(*range(10))
    assert check_limits(run, [Limit("f1", 0.75), Limit("hallucination_rate", 0.0), Limit("brier", 0.5)]) == []
    low, high = check_limits(run, [Limit("f1", 0.76), Limit("brier", 0.1)])
    assert low.line == "f1 is 0.7500, must be at least 0.76"
    assert high.line == "brier is 0.2100, must be at most 0.1"
    (missing,) = check_limits(run, [Limit("refusal_recall", 0.5)])
    assert missing.line == "refusal_recall is not defined, must be at least 0.5"


def test_a_figure_of_a_suite_is_found_by_its_ending_where_that_is_plain() -> None:
    sets = [{"name": name, "kind": "qa"} for name in ("one", "two")]
    rows = [line(number) | {"set": name} for name in ("one", "two") for number in range(3)]
    run = run_of(rows, "suite", sets=sets)
    assert check_limits(run, [Limit("one.f1", 1.0)]) == []
    with pytest.raises(InvalidInput, match=r"figure of several sets: one\.f1, two\.f1"):
        check_limits(run, [Limit("f1", 1.0)])
    with pytest.raises(InvalidInput, match="'f2' is no figure of this run; it has"):
        check_limits(run, [Limit("f2", 1.0)])
    single = run_of([row for row in rows if row["set"] == "one"], "suite", sets=sets[:1])
    assert check_limits(single, [Limit("f1", 1.0)]) == []


@pytest.mark.parametrize("text", ["f1", "f1=", "=0.5", "f1=high", "f1=nan", ""])
def test_a_limit_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is not METRIC=VALUE"):
        read_limit(text)


def test_a_limit_is_read() -> None:
    assert read_limit("golden.recall@5=0.9") == Limit("golden.recall@5", 0.9)
