"""A report as Markdown: the figures, what changed, and the questions that did not go well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_SHOWN = 50


def render_markdown(report: Mapping[str, Any]) -> str:
    """The Markdown of a report (eval/report.py); its first 50 rows that did not go well, no passages."""
    last = report["runs"][-1]
    models = ", ".join(f"{role} {model}" for role, model in last["models"].items() if model)
    parts = [f"# Report: {last['data']}", f"`{last['name']}`. {models}. Seed {last['seed']}."]
    parts.append("## How far the support score can be trusted")
    if not report["trust"]:
        parts.append("This run holds no labelled claims; `answerable eval run` measures the verifier on some.")
    parts += [_figures(group, last["data"]) for group in report["trust"]]
    if report["comparison"]:
        parts += _comparison(report["comparison"])
    parts.append("## Figures")
    parts += [_figures(group, last["data"]) for group in report["groups"] if group["kind"] != "claims"]
    parts += [_pairs(name, pairs) for name, pairs in report["worst_pairs"].items()]
    parts.append(
        "## Cost\n\n" + _table(("figure", "value"), [(n, number(v)) for n, v in plain_timings(last["timings"])])
    )
    parts.append(_questions(report["questions"]))
    return "\n\n".join(parts) + "\n"


def number(value: Any) -> str:
    """A figure for people: whole numbers as they are, others with three places, a dash for none."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:.0f}" if float(value).is_integer() and abs(value) >= 2 else f"{value:.3f}"


def plain_timings(timings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Times and memory by their whole names, in the run's order."""
    found: list[tuple[str, Any]] = []
    for name, value in timings.items():
        found += plain_timings(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [(prefix + name, value)]
    return found


def _figures(group: Mapping[str, Any], data: str) -> str:
    rows = [
        (figure["name"], number(figure["value"]), _range(figure["low"], figure["high"]), figure["better"])
        for figure in group["figures"]
    ]
    return f"### {group['name'] or data} ({group['n']} rows)\n\n" + _table(
        ("figure", "value", "95 % interval", "better"), rows
    )


def _comparison(found: Mapping[str, Any]) -> list[str]:
    changed = [change for change in found["changes"] if change["difference"]]
    rows = [
        (
            change["metric"],
            number(change["a"]),
            number(change["b"]),
            _range(change["low"], change["high"]),
            number(change["p"]),
            change["verdict"],
        )
        for change in sorted(changed, key=lambda change: (change["verdict"] != "worse", change["p"]))
    ]
    worse = sorted(found["flips"], key=lambda flip: not flip["worse"])[:_SHOWN]
    flips = [
        (flip["question"], f"{flip['a']}: {flip['a_answer']}", f"{flip['b']}: {flip['b_answer']}") for flip in worse
    ]
    return [
        f"## What changed\n\n`{found['a']}` → `{found['b']}`",
        _table(("figure", "before", "after", "95 % interval of the difference", "p", "verdict"), rows),
        f"### Questions that flipped: {len(found['flips'])}",
        _table(("question", "before", "after"), flips),
    ]


def _pairs(name: str, pairs: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            pair["case"],
            " / ".join(pair["groups"]),
            " / ".join(pair["answers"]),
            " / ".join(number(support) for support in pair["supports"]),
        )
        for pair in pairs
    ]
    return f"## Pairs of groups farthest apart: {name}\n\n" + _table(("case", "groups", "answers", "support"), rows)


def _questions(questions: Sequence[Mapping[str, Any]]) -> str:
    bad = [row for row in questions if row["outcome"] and not row["good"]]
    rows = [
        (row["id"], row["question"], " / ".join(row["golds"]), row["answer"] or "(refused)", row["outcome"])
        for row in bad[:_SHOWN]
    ]
    head = f"## Rows that did not go well: {len(bad)} of {len(questions)}\n\n"
    return head + _table(("id", "question", "expected", "answer", "outcome"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return "None."
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")


def _range(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{number(low)} to {number(high)}"
