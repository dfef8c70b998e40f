"""`answerable eval run`: every row of every set of a suite, then the figures of each set, as one run.

The rows depend on the suite, its data, settings, models and seed alone, so two runs of the same are the same file but
for its times. Finished rows go into a journal (eval/journal.py), from which a run that was stopped goes on.
"""

from __future__ import annotations

import hashlib
import json
import resource
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from eval.counterfactual import worst_pairs
from eval.groups import Group, set_groups
from eval.journal import Journal, open_journal
from eval.measures import mean
from eval.metrics import percentile
from eval.resampling import intervals
from eval.runs import DataFile, Run, describe_data
from eval.scratch import answer_settings, scratch_search
from eval.suite import Suite, SuiteSet
from eval.suite_jobs import Job, Parts, jobs_of
from ingest.build import build_ingester
from ingest.run import Progress
from rag.build import build_pipeline
from rag.settings import Settings

_BY_KIND = ("f1", "answer_rate", "refusal_recall", "hallucination_rate", "citation_recall")
_STAGES = ("retrieve", "rerank", "generate", "verify", "total")

Rows = list[dict[str, Any]]
Times = Mapping[str, Mapping[str, float]]


def run_suite(settings: Settings, suite: Suite, folder: Path, progress: Progress) -> Run:
    """Measure every set of ``suite`` that is here; the journal is kept in ``folder``.

    Raises InvalidInput for a set that cannot be read or has no rows, before anything is asked; ModelMissing,
    ModelBroken. Whatever ends the run early, finished rows are kept for the next.
    """
    with scratch_search(settings) as search:
        pipeline = build_pipeline(settings, search)
        parts = Parts(pipeline, build_ingester(settings, search), settings.top_k, suite.seed)
        return measure(parts, suite, answer_settings(settings), folder, progress)


def measure(parts: Parts, suite: Suite, settings: Mapping[str, Any], folder: Path, progress: Progress) -> Run:
    """The same with parts that are built; ``settings`` are what the run file says of them."""
    jobs = {each.name: jobs_of(parts, each) for each in suite.here}
    run = Run(
        kind="suite",
        metrics={},
        settings=dict(settings) | _described(suite),
        models=asdict(parts.pipeline.models()),
        seed=suite.seed,
        data=_data(suite),
        rows=[],
    )
    with open_journal(folder / f".{run.name}.part.jsonl") as journal:
        asked = _made(jobs, journal, progress)
    return _measured(run, suite, asked)


def _made(
    jobs: Mapping[str, Sequence[Job]], journal: Journal, progress: Progress
) -> dict[str, list[tuple[str, dict[str, Any], dict[str, float]]]]:
    total, done = sum(len(own) for own in jobs.values()), 0
    made: dict[str, list[tuple[str, dict[str, Any], dict[str, float]]]] = {}
    for name, own in jobs.items():
        made[name] = []
        for job in own:
            if (found := journal.get(name, job.key)) is None:
                journal.put(name, job.key, *(found := job.make()))
            made[name].append((job.key, *found))
            done += 1
            progress(done, total)
    return made


def _measured(run: Run, suite: Suite, asked: Mapping[str, Any]) -> Run:
    metrics: dict[str, Any] = {}
    timed: dict[str, Any] = {}
    taken: dict[str, float] = {}
    rows: Rows = []
    for each in suite.here:
        own: Rows = [row for _, row, _ in asked[each.name]]
        times = {key: spent for key, _, spent in asked[each.name]}
        metrics[each.name] = set_metrics(each, own, suite.seed)
        rows += [{"set": each.name, **row} for row in own]
        if any(times.values()):
            timed[each.name] = _time_figures(times)
            taken |= {f"{each.name}/{key}": spent["total"] for key, spent in times.items()}
    memory = {"peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    return Run(
        kind=run.kind,
        metrics=metrics,
        settings=run.settings,
        models=run.models,
        seed=run.seed,
        data=run.data,
        rows=rows,
        timings={"metrics": timed | memory, "rows": taken},
    )


def set_metrics(each: SuiteSet, rows: Rows, seed: int) -> dict[str, Any]:
    """The figures of a set with their 95 % intervals; figures of its groups, of its kinds of question, worst pairs."""
    metrics: dict[str, Any] = {}
    for group in set_groups(each.name, each.kind, rows):
        inner = group.name.removeprefix(each.name).strip(".")
        sure = intervals(group.measures, group.items, seed)
        figures = group.figures() | {"intervals": {name: [each.low, each.high] for name, each in sure.items()}}
        if inner:
            metrics[inner] = figures
        else:
            metrics |= figures | _by_part(group)
    if each.kind == "counterfactual":
        metrics["worst_pairs"] = worst_pairs(rows)
    return metrics


def _by_part(group: Group) -> dict[str, Any]:
    """Figures of the rows of each kind of question, or of each group of people."""
    if group.kind == "qa":
        names = [row.get("kind", "") for row in group.rows]
        wanted = [measure for measure in group.measures if measure.name in _BY_KIND]
    elif group.kind in ("bias", "counterfactual"):
        names = [item.group for item in group.items]
        wanted = list(group.measures)
    else:
        return {}
    parts = {
        name: [item for item, of in zip(group.items, names, strict=True) if of == name] for name in sorted(set(names))
    }
    by = {
        name: {"n": len(items), **{measure.name: measure.value(items) for measure in wanted}}
        for name, items in parts.items()
        if name
    }
    return {"by_kind" if group.kind == "qa" else "by_group": by} if by else {}


def _time_figures(times: Times) -> dict[str, float | None]:
    """Median and 95th percentile of a row's time, and the mean of each stage, all in milliseconds."""
    totals = [spent["total"] for spent in times.values()]
    stages = {f"{stage}_ms": mean(spent[stage] for spent in times.values()) for stage in _STAGES}
    return {"latency_ms_p50": percentile(totals, 50), "latency_ms_p95": percentile(totals, 95), **stages}


def _described(suite: Suite) -> dict[str, Any]:
    return {
        "suite": suite.name,
        "sets": [each.describe() for each in suite.here],
        "left_out": [each.name for each in suite.sets if each.file is None],
    }


def _data(suite: Suite) -> DataFile:
    """One identity of all files of the suite: their hashes, in its order."""
    files = [(each.name, describe_data(each.file)) for each in suite.here if each.file is not None]
    digest = hashlib.sha256(json.dumps([[name, file.sha256] for name, file in files]).encode()).hexdigest()
    return DataFile(suite.name, digest, sum(file.size for _, file in files))
