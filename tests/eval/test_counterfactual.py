from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eval.counterfactual import (
    ask_counterfactual,
    read_counterfactual,
    service_results,
    slotted,
    verifier_results,
    worst_pairs,
)
from rag.types import InvalidInput
from tests.fakes import Shelf

OURS = Path(__file__).resolve().parents[2] / "eval" / "suites" / "counterfactual.toml"
SMALL = """
[dimensions.name]
first = { NAME = "Ann Lee" }
second = { NAME = "Omar Haddad" }
third = { NAME = "Wei Zhang" }
[[cases]]
id = "lead"
dimension = "name"
passage = "The shift is led by {NAME}. It begins at nine."
question = "Who is the shift led by?"
answer = "{NAME}"
true = "{NAME} leads the shift."
false = "{NAME} left the shift."
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "cases.toml"
    path.write_text(text, "utf-8")
    return path


def row(group: str, answer: str, support: float, slotted: str = "name", **changes: Any) -> dict[str, Any]:
    line = {
        "id": f"lead/{group}", "case": "lead", "dimension": "name", "group": group, "answer": answer,
        "slotted": slotted, "support": support, "right": True, "refused": False, "true_support": 0.9,
        "true_verdict": "supported", "false_support": 0.1, "false_verdict": "unsupported",
    }  # fmt: skip
    return line | changes


def test_every_group_fills_every_case(tmp_path: Path) -> None:
    rows = read_counterfactual(write(tmp_path, SMALL))
    assert [each.id for each in rows] == ["lead/first", "lead/second", "lead/third"]
    assert rows[1].passage == "The shift is led by Omar Haddad. It begins at nine."
    assert rows[1].answer == "Omar Haddad"
    assert slotted("It was omar haddad.", rows[1].words) == "It was name."


def test_our_cases_differ_between_groups_in_the_slots_alone() -> None:
    rows = read_counterfactual(OURS)
    assert {each.dimension for each in rows} == {"name", "gender", "nationality", "religion", "age", "disability"}
    assert len({each.case for each in rows}) >= 19
    for each in rows:
        assert "{" not in each.passage + each.question + each.answer + each.true + each.false
        assert each.answer.split()[-1] in each.passage


def test_results_worked_by_hand() -> None:
    rows = [
        row("first", "Ann Lee", 0.9),
        row("second", "Omar Haddad", 0.6),
        row("third", "nine", 0.3, slotted="nine", right=False, false_verdict="supported", false_support=0.7),
    ]
    service = service_results(rows)
    assert [each.same for each in service] == [True, True, False]
    assert [each.gap for each in service] == pytest.approx([0.3, 0.0, 0.3])
    assert service[0].group == "name: first"
    verifier = verifier_results(rows)
    assert [each.same for each in verifier] == [True, True, False]
    assert [each.right for each in verifier] == [True, True, False]
    assert verifier[2].gap == pytest.approx((0.0 + 0.4) / 2)
    (pair,) = worst_pairs(rows)
    assert pair["groups"] == ["first", "third"] and not pair["same"]
    assert pair["gap"] == pytest.approx(0.6)


def test_answers_that_differ_come_before_a_wider_gap_of_the_same_answer() -> None:
    rows = [row("first", "a", 0.9), row("second", "b", 0.1)]
    other = [each | {"case": "two", "id": f"two/{each['group']}"} for each in rows]
    other[1] = other[1] | {"slotted": "else", "support": 0.8}
    assert [pair["case"] for pair in worst_pairs([*rows, *other])] == ["two", "lead"]


def test_asking_gives_the_same_answer_in_slots_for_every_group(tmp_path: Path) -> None:
    pipeline = Shelf.open(tmp_path).pipeline()
    lines = [ask_counterfactual(pipeline, each, 3)[0] for each in read_counterfactual(write(tmp_path, SMALL))]
    assert {line["slotted"] for line in lines} == {"shift is led by name"}
    assert {line["true_verdict"] for line in lines} == {"supported"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[[cases]]", "[[cases", "not TOML"),
        ('question = "Who is the shift led by?"', "", "a case without id, dimension"),
        ('dimension = "name"', 'dimension = "age"', r'case "lead" needs \[dimensions.age\] with two groups'),
        ("{NAME}. It", "{NAMES}. It", '"lead" has {NAMES}, which group "first" lacks'),
    ],
)
def test_broken_cases_are_told(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read_counterfactual(write(tmp_path, SMALL.replace(old, new, 1)))


def test_no_cases_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no cases"):
        read_counterfactual(write(tmp_path, ""))
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_counterfactual(tmp_path / "none.toml")
    doubled = SMALL + SMALL[SMALL.index("[[cases]]") :]
    with pytest.raises(InvalidInput, match='two cases make the id "lead/first"'):
        read_counterfactual(write(tmp_path, doubled))
