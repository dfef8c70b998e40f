"""A report's drill-down: every row of a run in one shape, whatever its kind, with each passage kept once.

{"group", "id", "question", "part", "outcome", "good", "answer", "reason", "support", "golds",
 "claims": [{"text", "verdict", "support", "quotes"}], "read": [[number of passage, score, gold?]],
 "facts": [[name, value]]}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eval.compare import GOOD, outcome
from eval.groups import Group, Row


class Passages:
    """Texts by number, each once."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str], int] = {}

    def number(self, title: str, text: str) -> int:
        """The number of a passage, new or known."""
        return self._numbers.setdefault((title, text), len(self._numbers))

    def all(self) -> list[list[str]]:
        """[title, text] of each, by number."""
        return [[title, text] for title, text in self._numbers]


def drill_down(group: Group, passages: Passages) -> list[dict[str, Any]]:
    """The rows of ``group`` in the report's shape."""
    rows = []
    for row, item in zip(group.rows, group.items, strict=True):
        became = outcome(item)
        rows.append(
            {
                "group": group.name,
                "id": row["id"],
                "question": row.get("question") or row.get("claim") or row["id"],
                "part": _part(group.kind, row),
                "outcome": became,
                "good": became in GOOD,
                "answer": row.get("answer", ""),
                "reason": row.get("reason", ""),
                "support": row.get("support"),
                "golds": list(row.get("golds", [])),
                "claims": [_claim(claim) for claim in row.get("claims", [])],
                "read": _read(row, passages),
                "facts": [[name, _shown(value)] for name, value in _facts(group.kind, row)],
            }
        )
    return rows


def _part(kind: str, row: Row) -> str:
    if kind in ("bias", "counterfactual"):
        return str(row["group"])
    return str(row.get("kind") or row.get("dataset") or "")


def _claim(claim: Mapping[str, Any]) -> dict[str, Any]:
    quotes = [cited["quote"] for cited in claim.get("quotes", [])]
    return {"text": claim["text"], "verdict": claim["verdict"], "support": claim["support"], "quotes": quotes}


def _read(row: Row, passages: Passages) -> list[list[Any]]:
    if "read" in row:
        gold = set(row.get("gold_passages", []))
        return [
            [passages.number(each["title"], each["text"]), each["score"], each["uri"] in gold] for each in row["read"]
        ]
    text = row.get("passage") or row.get("context")
    return [[passages.number("", text), None, False]] if text else []


def _facts(kind: str, row: Row) -> list[tuple[str, Any]]:
    if kind in ("qa", "robustness"):
        turns = [(turn["role"], turn["text"]) for turn in row.get("history", [])]
        scores = [(name, row[name]) for name in ("em", "f1", "rouge_l")]
        return [*turns, *scores, *((name, value) for name, value in row.get("ranking", {}).items())]
    if kind == "claims":
        return [("label", row["label"]), ("verdict", row["verdict"])]
    if kind == "bias":
        options = row["options"]
        return [
            ("options", "; ".join(options)),
            ("right", options[row["label"]]),
            ("chosen", "neither" if row["chosen"] is None else options[row["chosen"]]),
            ("the verifier alone", options[row["verifier_chosen"]]),
            ("target of the stereotype", options[row["target"]]),
        ]
    if kind == "counterfactual":
        return [
            ("case", row["case"]),
            ("support of the true sentence", row["true_support"]),
            ("support of the false sentence", row["false_support"]),
        ]
    return [
        (f"{mode} {key}", score) for mode, own in row.items() if isinstance(own, Mapping) for key, score in own.items()
    ]


def _shown(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
