"""What a report says, as one JSON value; report_html.py and report_markdown.py only lay it out.

    {"runs": [{name, kind, data, models, seed, settings, timings}], "trust": [group], "trust_from": name,
     "groups": [group], "comparison": {...} or null, "worst_pairs": {set: [...]}, "questions": [row],
     "passages": [[title, text]]}

Figures and questions are of the last run; where there are several, it is compared with the first. ``trust`` are the
groups that measure the support score itself against people's labels: how far the rest can be believed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from eval.calibration import reliability, risk_coverage
from eval.compare import Comparison, compare
from eval.groups import Group, groups
from eval.qa_measures import confidence
from eval.report_rows import Passages, drill_down
from eval.resampling import intervals
from eval.runs import Run
from rag.types import InvalidInput

_CURVE_POINTS = 60
Step = Callable[[int, int | None], None]


def build_report(runs: Sequence[Run], progress: Step, labelled: Run | None = None) -> dict[str, Any]:
    """The report of ``runs``, oldest first. ``labelled``: another run of the same verifier, which tells how far to
    trust it where the last run holds no labelled claims itself.

    Raises InvalidInput for no runs, or runs that cannot be compared.
    """
    if not runs:
        raise InvalidInput("no run to report; give at least one run file")
    last = runs[-1]
    own = groups(last)
    if not any(group.items for group in own):
        raise InvalidInput(f"{last.name}: no questions in the run; nothing can be reported of it")
    passages = Passages()
    described = []
    for done, group in enumerate(own, start=1):
        described.append(_group(group, last))
        progress(done, len(own))
    trust = [group for group in described if group["kind"] == "claims"]
    trusted = last if trust or labelled is None else labelled
    if trusted is not last:
        trust = [_group(group, trusted) for group in claim_groups(trusted)]
    questions = [row for group in own if not group.name.endswith("verifier") for row in drill_down(group, passages)]
    compared = compare(runs[0], last) if len(runs) > 1 else None
    return {
        "runs": [_run(run) for run in runs],
        "trust": trust,
        "trust_from": trusted.name,
        "groups": described,
        "comparison": _comparison(compared) if compared else None,
        "worst_pairs": _worst_pairs(last),
        "questions": questions,
        "passages": passages.all(),
    }


def claim_groups(run: Run) -> list[Group]:
    """The groups of a run that measure the verifier against labels."""
    return [group for group in groups(run) if group.kind == "claims" and group.items]


def _run(run: Run) -> dict[str, Any]:
    return {
        "name": run.name,
        "kind": run.kind,
        "data": run.data.name,
        "models": dict(run.models),
        "seed": run.seed,
        "settings": {name: value for name, value in run.settings.items() if name != "sets"},
        "timings": dict(run.timings.get("metrics", {})),
    }


def _group(group: Group, run: Run) -> dict[str, Any]:
    return {
        "name": group.name,
        "kind": group.kind,
        "n": len(group.items),
        "figures": _figures(group, run.seed),
        "parts": _parts(run, group),
        "curves": _curves(group),
    }


def _figures(group: Group, seed: int) -> list[dict[str, Any]]:
    sure = intervals(group.measures, group.items, seed)
    return [
        {
            "name": measure.name,
            "about": measure.about,
            "better": measure.better,
            "value": measure.value(group.items),
            "low": sure[measure.name].low if measure.name in sure else None,
            "high": sure[measure.name].high if measure.name in sure else None,
        }
        for measure in group.measures
    ]


def _parts(run: Run, group: Group) -> dict[str, Any]:
    """Figures of kinds of question, or groups of people, where the run has them."""
    place: Any = run.metrics if run.kind != "suite" else run.metrics.get(group.name, {})
    found = place.get("by_kind") or place.get("by_group") or place.get("by_dataset") or {}
    return dict(found) if isinstance(found, Mapping) and not group.name.endswith("verifier") else {}


def _curves(group: Group) -> dict[str, list[list[float]]]:
    """Points of the reliability plot (confidence, right, count) and the risk-coverage curve (coverage, risk)."""
    if group.kind == "claims":
        support = [item.support for item in group.items]
        right = [item.label.value == "supported" for item in group.items]
    elif group.kind == "qa":
        support, right = confidence(group.items)
    else:
        return {}
    curve = risk_coverage(support, right)
    step = max(1, len(curve) // _CURVE_POINTS)
    return {
        "reliability": [[each.confidence, each.right, each.count] for each in reliability(support, right)],
        "risk": [[point.coverage, point.risk] for point in curve[step - 1 :: step]],
    }


def _comparison(found: Comparison) -> dict[str, Any]:
    return {
        "a": found.a,
        "b": found.b,
        "changes": [asdict(change) for change in found.changes],
        "flips": [asdict(flip) | {"worse": flip.worse} for flip in found.flips],
        "only_a": found.only_a,
        "only_b": found.only_b,
    }


def _worst_pairs(run: Run) -> dict[str, Any]:
    if run.kind != "suite":
        return {}
    return {name: own["worst_pairs"] for name, own in run.metrics.items() if "worst_pairs" in own}
