"""A report as one HTML file that loads nothing: style, plots, script and rows are all inside it.

The page's policy forbids every request, so a file that is passed on calls nobody. Rows are data, not markup: the script
makes text nodes of them, and the template escapes what it prints.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from eval.plots import Bar, Point, bars, curve
from eval.report_text import number, plain_timings

FILES = Path(__file__).resolve().parent / "report_files"
_FLIPS = 100
_SUMMARY = (
    *("f1", "refusal_f1", "hallucination_rate", "citation_precision", "accuracy_at_80", "ece"),
    *("answer_kept", "right_kept", "resisted", "consistency", "accuracy", "support_gap"),
    *("accuracy_ambiguous", "accuracy_clear", "bias_ambiguous", "bias_clear", "fused.ndcg@10", "reranked.ndcg@10"),
)
_BARS = ("f1", "answer_kept", "consistency", "balanced_accuracy", "accuracy_ambiguous", "accuracy_clear")


def render_html(report: Mapping[str, Any]) -> str:
    """The page of a report (eval/report.py)."""
    environment = Environment(
        loader=FileSystemLoader(FILES),
        autoescape=select_autoescape(["j2", "html"], default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    compared = report["comparison"]
    changes = [change for change in compared["changes"] if change["difference"]] if compared else []
    return environment.get_template("report.html.j2").render(
        report=report,
        last=report["runs"][-1],
        n=number,
        changes=sorted(changes, key=lambda change: (change["verdict"] != "worse", change["p"])),
        worse=[change for change in changes if change["verdict"] == "worse"],
        flips=sorted(compared["flips"], key=lambda flip: not flip["worse"])[:_FLIPS] if compared else [],
        summary=_summary(report),
        plots=_plots(report),
        timings=plain_timings(report["runs"][-1]["timings"]),
        css=Markup(_file("report.css")),
        js=Markup(_file("report.js")),
        data=Markup(_embedded({"questions": report["questions"], "passages": report["passages"]})),
    )


def _summary(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A line a group, of the few figures that tell most, as far as it has them."""
    lines = []
    for group in report["groups"]:
        values = {figure["name"]: figure["value"] for figure in group["figures"]}
        figures = [(name, values[name]) for name in _SUMMARY if values.get(name) is not None]
        if group["kind"] != "claims" and figures:
            lines.append({"name": group["name"], "n": group["n"], "figures": figures})
    return lines


def _file(name: str) -> str:
    return (FILES / name).read_text("utf-8")


def _embedded(value: Mapping[str, Any]) -> str:
    """JSON that no text inside it can end the script element of, nor open a comment in it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _plots(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    plots = [plot for group in report["groups"] for plot in _curves(group)]
    for name in _BARS:
        values = [_bar(group, figure) for group in report["groups"] for figure in group["figures"]
                  if figure["name"] == name and figure["value"] is not None]  # fmt: skip
        if values:
            plots.append(_plot(bars(f"{name} of each set", values), f"{name}, with 95 % intervals."))
    return plots + [plot for group in report["groups"] if group["kind"] == "qa" for plot in _kinds(group)]


def _curves(group: Mapping[str, Any]) -> list[dict[str, Any]]:
    title, curves, plots = group["name"] or "the run", group["curves"], []
    if curves.get("reliability"):
        points = [Point(x, y, size) for x, y, size in curves["reliability"]]
        drawn = curve(f"Reliability of {title}", points, ("mean support", "share right"), diagonal=True)
        plots.append(
            _plot(drawn, f"Reliability, {title}: on the dashed line, support is the true share of right ones.")
        )
    if curves.get("risk"):
        points = [Point(x, y) for x, y in curves["risk"]]
        drawn = curve(f"Risk and coverage of {title}", points, ("share answered, most supported first", "share wrong"))
        plots.append(_plot(drawn, f"Risk and coverage, {title}: wrong answers among those with most support."))
    return plots


def _kinds(group: Mapping[str, Any]) -> list[dict[str, Any]]:
    values = [Bar(name, own["f1"]) for name, own in group["parts"].items() if own.get("f1") is not None]
    title = group["name"] or "the run"
    return [_plot(bars(f"F1 by kind, {title}", values), f"F1 by kind of question, {title}.")] if values else []


def _bar(group: Mapping[str, Any], figure: Mapping[str, Any]) -> Bar:
    return Bar(group["name"] or figure["name"], figure["value"], figure["low"], figure["high"])


def _plot(svg: str, caption: str) -> dict[str, Any]:
    return {"svg": Markup(svg), "caption": caption}
