"""Two runs of the same questions side by side: what changed, how sure that is, and which questions flipped.

Figures are compared over the questions that both runs have, by the tests of eval/resampling.py. A change is told as
"better" or "worse" only where its p-value, corrected by Holm's method for the figures of its group, is under 0.05.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.bias import BbqResult
from eval.counterfactual import CounterfactualResult
from eval.groups import Group, Row, groups
from eval.measures import Better, Measure
from eval.resampling import Difference, holm, paired
from eval.results import ClaimResult, Scored
from eval.robust import RobustResult
from eval.runs import Run
from rag.datafiles import Label
from rag.types import InvalidInput, Verdict

SIGNIFICANT = 0.05
GOOD = ("right", "refused rightly", "kept")


@dataclass(frozen=True, slots=True)
class Change:
    """A figure in both runs. ``verdict`` is "better", "worse", "changed" (of figures with no good side) or "same";
    ``p`` is corrected for the number of figures of the group."""

    metric: str
    n: int
    better: Better
    a: float
    b: float
    difference: float
    low: float
    high: float
    p: float
    verdict: str


@dataclass(frozen=True, slots=True)
class Flip:
    """A question whose outcome differs between the runs, with what each answered."""

    group: str
    id: str
    question: str
    a: str
    b: str
    a_answer: str
    b_answer: str

    @property
    def worse(self) -> bool:
        """Whether it was as it should be in the first run, and is not in the second."""
        return self.a in GOOD and self.b not in GOOD


@dataclass(frozen=True, slots=True)
class Comparison:
    """Run ``b`` against run ``a``. ``only_a`` and ``only_b`` count rows that the other has not."""

    a: str
    b: str
    changes: tuple[Change, ...]
    flips: tuple[Flip, ...]
    only_a: int
    only_b: int

    @property
    def worse(self) -> tuple[Change, ...]:
        """The figures that are significantly worse in ``b``."""
        return tuple(change for change in self.changes if change.verdict == "worse")


@dataclass(frozen=True, slots=True)
class Limit:
    """What a figure must reach: at least ``value``; at most, where lower is better; within +-, where 0 is best."""

    metric: str
    value: float


@dataclass(frozen=True, slots=True)
class Failure:
    """A figure that does not keep its limit; ``value`` None is one that the run cannot give."""

    metric: str
    value: float | None
    limit: float
    better: Better

    @property
    def line(self) -> str:
        """What the gate says of it."""
        rule = {"lower": "at most", "zero": "within +-"}.get(self.better, "at least")
        shown = "not defined" if self.value is None else f"{self.value:.4f}"
        return f"{self.metric} is {shown}, must be {rule} {self.limit:g}"


def compare(first: Run, second: Run, seed: int = 0) -> Comparison:
    """``second`` against ``first``. Raises InvalidInput for runs that share no question."""
    left, right = ({(group.name, group.kind): group for group in groups(run)} for run in (first, second))
    changes: list[Change] = []
    flips: list[Flip] = []
    only_a = only_b = shared = 0
    for key, group in left.items():
        pair = _paired(group, right.get(key))
        only_a, only_b = only_a + len(group.rows) - len(pair.rows), only_b + pair.beside
        shared += len(pair.rows)
        changes += _changes(group, pair, seed)
        flips += _flips(group, pair)
    only_b += sum(len(group.rows) for key, group in right.items() if key not in left)
    if not shared:
        raise InvalidInput(f"{first.name} and {second.name} share no question; compare two runs of the same file")
    return Comparison(first.name, second.name, tuple(changes), tuple(flips), only_a, only_b)


def check_limits(run: Run, limits: Sequence[Limit]) -> list[Failure]:
    """The limits that ``run`` does not keep. Raises InvalidInput for a figure that it lacks or has in several sets."""
    known = _figures(run)
    failures = []
    for limit in limits:
        name = _resolve(limit.metric, known)
        value, better = known[name]
        if value is None or _beyond(value, limit.value, better):
            failures.append(Failure(name, value, limit.value, better))
    return failures


def read_limit(text: str) -> Limit:
    """METRIC=VALUE. Raises InvalidInput for anything else."""
    metric, _, number = text.rpartition("=")
    try:
        value = float(number)
    except ValueError:
        value = float("nan")
    if not metric.strip() or value != value:
        raise InvalidInput(f"--fail-under {text!r} is not METRIC=VALUE; write for example f1=0.6")
    return Limit(metric.strip(), value)


def _beyond(value: float, limit: float, better: Better) -> bool:
    if better == "lower":
        return value > limit
    return abs(value) > limit if better == "zero" else value < limit


def _figures(run: Run) -> dict[str, tuple[float | None, Better]]:
    known: dict[str, tuple[float | None, Better]] = {}
    for group in groups(run):
        known |= {group.title(measure): (measure.value(group.items), measure.better) for measure in group.measures}
    return known | {name: (value, "lower") for name, value in _flat(run.timings.get("metrics", {}))}


def _flat(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, float | None]]:
    found: list[tuple[str, float | None]] = []
    for name, value in table.items():
        found += _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [(prefix + name, value)]
    return found


def _resolve(metric: str, known: Mapping[str, Any]) -> str:
    if metric in known:
        return metric
    ending = [name for name in known if name.endswith(f".{metric}")]
    if len(ending) == 1:
        return ending[0]
    if ending:
        raise InvalidInput(f"{metric!r} is a figure of several sets: {', '.join(ending)}; name one of them")
    raise InvalidInput(f"{metric!r} is no figure of this run; it has {', '.join(known)}")


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Rows and items that both groups have, row for row; ``beside`` counts those of the second alone."""

    rows: tuple[tuple[Row, Row], ...]
    first: tuple[Any, ...]
    second: tuple[Any, ...]
    beside: int


def _paired(group: Group, other: Group | None) -> _Pairs:
    if other is None:
        return _Pairs((), (), (), 0)
    places = {row["id"]: place for place, row in enumerate(other.rows)}
    both = [(place, places[row["id"]]) for place, row in enumerate(group.rows) if row["id"] in places]
    return _Pairs(
        rows=tuple((group.rows[a], other.rows[b]) for a, b in both),
        first=tuple(group.items[a] for a, _ in both),
        second=tuple(other.items[b] for _, b in both),
        beside=len(other.rows) - len(both),
    )


def _changes(group: Group, pairs: _Pairs, seed: int) -> list[Change]:
    found = paired(group.measures, pairs.first, pairs.second, seed)
    known = [measure for measure in group.measures if measure.name in found]
    corrected = holm([found[measure.name].p for measure in known])
    return [
        _change(group.title(measure), len(pairs.rows), measure, found[measure.name], p)
        for measure, p in zip(known, corrected, strict=True)
    ]


def _change(name: str, n: int, measure: Measure[Any], found: Difference, p: float) -> Change:
    verdict = "same"
    if p < SIGNIFICANT and found.difference:
        verdict = _direction(measure.better, found)
    return Change(name, n, measure.better, found.a, found.b, found.difference, found.low, found.high, p, verdict)


def _direction(better: Better, found: Difference) -> str:
    gain = {
        "higher": found.difference,
        "lower": -found.difference,
        "zero": abs(found.a) - abs(found.b),
        "neither": 0.0,
    }[better]
    return "changed" if not gain else "better" if gain > 0 else "worse"


def _flips(group: Group, pairs: _Pairs) -> list[Flip]:
    flips = []
    for (row, other), one, two in zip(pairs.rows, pairs.first, pairs.second, strict=True):
        before, after = outcome(one), outcome(two)
        if before != after:
            asked = row.get("question") or row.get("claim") or ""
            flips.append(
                Flip(group.name, row["id"], asked, before, after, row.get("answer", ""), other.get("answer", ""))
            )
    return flips


def outcome(item: Any) -> str:
    """What became of a row in one word or two; empty for rows that are only scored, such as rankings."""
    if isinstance(item, Scored):
        return item.outcome
    if isinstance(item, RobustResult):
        return "kept" if item.kept else "not kept"
    if isinstance(item, ClaimResult):
        return "right" if (item.verdict is Verdict.SUPPORTED) == (item.label is Label.SUPPORTED) else "wrong"
    if isinstance(item, BbqResult | CounterfactualResult):
        return "right" if item.right else "wrong"
    return ""
