"""A run's rows, put together as they are measured: which figures come from which rows, whatever the kind of run.

A plain run is one group or two (the service and the verifier alone); a suite has those of each of its sets, headed by
the set's name: "golden.f1", "robustness.typing.answer_kept". Reports, intervals and compare work on groups alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from eval.bias import BIAS_MEASURES, bbq_results
from eval.claims import read_claim_row
from eval.counterfactual import COUNTERFACTUAL_MEASURES, service_results, verifier_results
from eval.measures import Figures, Measure, figures
from eval.metrics import CLAIM_MEASURES
from eval.qa import read_qa_row
from eval.qa_measures import QA_MEASURES, RANKING_MEASURES
from eval.results import scored
from eval.robust import CHECKS, INJECTION_MEASURES, PLAIN, ROBUST_MEASURES, robust_results
from eval.runs import Run
from rag.types import InvalidInput

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of a run that are measured together. ``rows[i]`` is the line of the run file that ``items[i]`` comes from.

    ``name`` heads its figures, empty in a plain run; ``kind`` tells what the items are.
    """

    name: str
    kind: str
    rows: tuple[Row, ...]
    items: tuple[Any, ...]
    measures: tuple[Measure[Any], ...]

    def title(self, measure: Measure[Any]) -> str:
        """The name of a figure of this group in the whole run."""
        return f"{self.name}.{measure.name}" if self.name else measure.name

    def figures(self) -> Figures:
        """n and every figure of the group."""
        return {"n": len(self.items), **figures(self.measures, self.items)}


def groups(run: Run) -> list[Group]:
    """The groups of a run, in order. Raises InvalidInput for a kind of run, or rows, that are not known."""
    if run.kind != "suite":
        return _groups_of(run.name, run.kind, run.rows)
    found = []
    for each in run.settings["sets"]:
        rows = [row for row in run.rows if row["set"] == each["name"]]
        found += [_under(each["name"], group) for group in _groups_of(run.name, each["kind"], rows)]
    return found


def set_groups(name: str, kind: str, rows: Sequence[Row]) -> list[Group]:
    """The groups of one set of a suite, headed by its name."""
    return [_under(name, group) for group in _groups_of(name, kind, rows)]


def _under(name: str, group: Group) -> Group:
    return replace(group, name=f"{name}.{group.name}" if group.name else name)


def _groups_of(name: str, kind: str, rows: Sequence[Row]) -> list[Group]:
    if kind not in _READERS:
        raise InvalidInput(f"{name}: a run of the unknown kind {kind!r}; known are {', '.join(_READERS)} and suite")
    try:
        return _READERS[kind](rows)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(
            f"{name}: rows of another version ({type(error).__name__}: {error}); run the evaluation again"
        ) from error


def _qa(rows: Sequence[Row]) -> list[Group]:
    items = tuple(scored([read_qa_row(row) for row in rows]))
    ranked = any(item.result.ranking for item in items)
    return [Group("", "qa", tuple(rows), items, (*QA_MEASURES, *RANKING_MEASURES) if ranked else QA_MEASURES)]


def _robustness(rows: Sequence[Row]) -> list[Group]:
    plain = replace(_qa([row for row in rows if row["check"] == PLAIN])[0], name=PLAIN)
    found = [plain]
    for check in CHECKS:
        if pairs := robust_results(rows, check):
            measures = INJECTION_MEASURES if check == "injection" else ROBUST_MEASURES
            changed, items = zip(*pairs, strict=True)
            found.append(Group(check, "robustness", changed, items, measures))
    return found


def _claims(rows: Sequence[Row]) -> list[Group]:
    return [Group("", "claims", tuple(rows), tuple(read_claim_row(row) for row in rows), CLAIM_MEASURES)]


def _bias(rows: Sequence[Row]) -> list[Group]:
    return [
        Group("", "bias", tuple(rows), tuple(bbq_results(rows, "chosen")), BIAS_MEASURES),
        Group("verifier", "bias", tuple(rows), tuple(bbq_results(rows, "verifier_chosen")), BIAS_MEASURES),
    ]


def _counterfactual(rows: Sequence[Row]) -> list[Group]:
    measures = COUNTERFACTUAL_MEASURES
    return [
        Group("", "counterfactual", tuple(rows), tuple(service_results(rows)), measures),
        Group("verifier", "counterfactual", tuple(rows), tuple(verifier_results(rows)), measures),
    ]


def _retrieval(rows: Sequence[Row]) -> list[Group]:
    if not rows:
        return []
    names = [(mode, key) for mode, scores in rows[0].items() if isinstance(scores, Mapping) for key in scores]
    measures = tuple(
        Measure[Row](f"{mode}.{key}", "higher", f"{key} of {mode} search; see eval/ranking.py", each=_score(mode, key))
        for mode, key in names
    )
    return [Group("", "retrieval", tuple(rows), tuple(rows), measures)]


def _score(mode: str, key: str) -> Callable[[Row], float | None]:
    return lambda row: row[mode][key]


_READERS: Mapping[str, Callable[[Sequence[Row]], list[Group]]] = {
    "qa": _qa,
    "robustness": _robustness,
    "claims": _claims,
    "bias": _bias,
    "counterfactual": _counterfactual,
    "retrieval": _retrieval,
}
