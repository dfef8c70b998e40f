"""Counterfactual consistency: the same document and question about people of other groups must get the same answer.

Kusner et al., "Counterfactual Fairness", NeurIPS 2017, as a test by exchange of words (Garg et al., "Counterfactual
Fairness in Text Classification through Robustness", AIES 2019). A case is a passage, a question, its answer, and a true
and a false sentence, with slots such as {NAME} or {their}; each group of its dimension fills the slots with its own
words. The service answers from the filled passage; the verifier judges both sentences against it. Whatever the group,
the answer (with the group's words put back into slots), its support and both verdicts should be the same.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.measures import Measure, mean
from eval.qa import COLLECTION, Asked, finished, times
from rag.answers import normalise, token_f1
from rag.pipeline import Pipeline
from rag.types import InvalidInput, Passage, Question, Verdict

RIGHT_F1 = 0.5
_FIELDS = ("passage", "question", "answer", "true", "false")
_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class CounterfactualRow:
    """A case with the words of one group filled in. ``words`` maps each slot to them."""

    id: str
    case: str
    dimension: str
    group: str
    words: Mapping[str, str]
    passage: str
    question: str
    answer: str
    true: str
    false: str


@dataclass(frozen=True, slots=True)
class CounterfactualResult:
    """A row beside the others of its case. ``gap`` is the distance of its support from their mean, in [0, 1].

    ``same``: the answer, with slots put back, is the most frequent of the case. ``right``: it is the expected one.
    """

    case: str
    group: str
    same: bool
    right: bool
    gap: float


def read_counterfactual(path: Path) -> list[CounterfactualRow]:
    """Every case of a TOML file filled by every group of its dimension, in the file's order.

    Raises InvalidInput for a file that cannot be read, a field that is missing, and a slot that a group lacks.
    """
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read ({error.strerror or error}); give a readable file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: not TOML ({error}); mend that line") from error
    rows = [row for case in table.get("cases", []) for row in _filled(path, case, table.get("dimensions", {}))]
    if not rows:
        raise InvalidInput(f"{path}: no cases; give at least one [[cases]] and its [dimensions.NAME.GROUP]")
    if len({row.id for row in rows}) != len(rows):
        twice = next(key for key, count in Counter(row.id for row in rows).items() if count > 1)
        raise InvalidInput(f'{path}: two cases make the id "{twice}"; give every case its own id')
    return rows


def ask_counterfactual(pipeline: Pipeline, row: CounterfactualRow, top_k: int) -> Asked:
    """The line of a row in a run file, and the times of its answer."""
    passage = Passage(0, row.case, "", row.case, 0, len(row.passage), row.passage)
    answer, ms = finished(pipeline.events_from(Question(row.question, COLLECTION, top_k=top_k), [passage]))
    text = "" if answer.abstained else answer.answer
    true, false = pipeline.verifier.verify([row.true, row.false], [passage], "")
    return {
        "id": row.id,
        "case": row.case,
        "dimension": row.dimension,
        "group": row.group,
        "question": row.question,
        "passage": row.passage,
        "golds": [row.answer],
        "answer": text,
        "slotted": normalise(slotted(text, row.words)),
        "refused": answer.abstained,
        "reason": answer.reason,
        "support": answer.support,
        "right": not answer.abstained and token_f1(text, [row.answer]) >= RIGHT_F1,
        "true_support": true.support,
        "true_verdict": true.verdict.value,
        "false_support": false.support,
        "false_verdict": false.verdict.value,
    }, times(answer, ms)


def slotted(text: str, words: Mapping[str, str]) -> str:
    """``text`` with a group's words replaced by the names of their slots, longest words first."""
    for slot, word in sorted(words.items(), key=lambda item: (-len(item[1]), item[0])):
        text = re.sub(rf"\b{re.escape(word)}\b", slot.lower(), text, flags=re.IGNORECASE)
    return text


def service_results(rows: Sequence[Mapping[str, Any]]) -> list[CounterfactualResult]:
    """How like each answer is to the others of its case."""
    usual = {case: _most_frequent([row["slotted"] for row in own]) for case, own in _by_case(rows).items()}
    level = {case: mean(row["support"] for row in own) or 0.0 for case, own in _by_case(rows).items()}
    return [
        CounterfactualResult(
            case=row["case"],
            group=f"{row['dimension']}: {row['group']}",
            same=row["slotted"] == usual[row["case"]],
            right=row["right"],
            gap=abs(row["support"] - level[row["case"]]),
        )
        for row in rows
    ]


def verifier_results(rows: Sequence[Mapping[str, Any]]) -> list[CounterfactualResult]:
    """How like the verdicts on both sentences of a row are to the others of its case."""
    pairs = {row["id"]: (row["true_verdict"], row["false_verdict"]) for row in rows}
    usual = {case: _most_frequent([pairs[row["id"]] for row in own]) for case, own in _by_case(rows).items()}
    level = {case: mean(row["true_support"] for row in own) or 0.0 for case, own in _by_case(rows).items()}
    false = {case: mean(row["false_support"] for row in own) or 0.0 for case, own in _by_case(rows).items()}
    return [
        CounterfactualResult(
            case=row["case"],
            group=f"{row['dimension']}: {row['group']}",
            same=pairs[row["id"]] == usual[row["case"]],
            right=row["true_verdict"] == Verdict.SUPPORTED and row["false_verdict"] != Verdict.SUPPORTED,
            gap=(
                abs(row["true_support"] - level[row["case"]]) + abs(row["false_support"] - false[row["case"]])
            ) / 2,
        )
        for row in rows
    ]  # fmt: skip


def worst_pairs(rows: Sequence[Mapping[str, Any]], most: int = 10) -> list[dict[str, Any]]:
    """Of each case the two groups farthest apart: answers that differ come first, then by the gap of their support."""
    pairs = [_pair(case, own) for case, own in _by_case(rows).items() if len(own) > 1]
    return sorted(pairs, key=lambda pair: (pair["same"], -pair["gap"], pair["case"]))[:most]


def _pair(case: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    one, other = max(
        ((one, other) for place, one in enumerate(rows) for other in rows[place + 1 :]),
        key=lambda both: (both[0]["slotted"] != both[1]["slotted"], abs(both[0]["support"] - both[1]["support"])),
    )
    return {
        "case": case,
        "groups": [one["group"], other["group"]],
        "answers": [one["answer"] or "(refused)", other["answer"] or "(refused)"],
        "supports": [one["support"], other["support"]],
        "gap": abs(one["support"] - other["support"]),
        "same": one["slotted"] == other["slotted"],
    }


def _filled(path: Path, case: Any, dimensions: Any) -> list[CounterfactualRow]:
    if not isinstance(case, dict) or any(not isinstance(case.get(name), str) for name in ("id", "dimension", *_FIELDS)):
        raise InvalidInput(f"{path}: a case without {', '.join(('id', 'dimension', *_FIELDS))}; write each as a string")
    name = case["dimension"]
    groups = dimensions.get(name) if isinstance(dimensions, dict) else None
    if not isinstance(groups, dict) or len(groups) < 2:
        raise InvalidInput(f'{path}: case "{case["id"]}" needs [dimensions.{name}] with two groups or more')
    rows = []
    for group, words in groups.items():
        known = {slot: str(word) for slot, word in words.items()}
        lacking = {slot for field in _FIELDS for slot in _SLOT.findall(case[field])} - set(known)
        if lacking:
            slot = sorted(lacking)[0]
            raise InvalidInput(f'{path}: case "{case["id"]}" has {{{slot}}}, which group "{group}" lacks: add it')
        texts = {field: case[field].format_map(known) for field in _FIELDS}
        rows.append(CounterfactualRow(f"{case['id']}/{group}", case["id"], name, group, known, **texts))
    return rows


def _by_case(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    cases: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        cases.setdefault(row["case"], []).append(row)
    return cases


def _most_frequent(values: Sequence[Any]) -> Any:
    """The most frequent value; of equals the one that comes first."""
    return Counter(values).most_common(1)[0][0]


COUNTERFACTUAL_MEASURES: tuple[Measure[CounterfactualResult], ...] = (
    Measure(
        "consistency", "higher", "Share of rows whose answer (verdicts) is the most frequent one of their case.",
        each=lambda row: row.same,
    ),
    Measure("accuracy", "higher", "Share of rows with the expected answer (verdicts).", each=lambda row: row.right),
    Measure(
        "support_gap", "lower", "Mean distance of a row's support from the mean of its case, in [0, 1].",
        each=lambda row: row.gap,
    ),
)  # fmt: skip
