"""Runs in the database, where the page lists them, and finding one by file or by name."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from eval.groups import groups
from eval.runs import Run, parse_run, read_run, run_text
from rag.build import build_store
from rag.settings import Settings
from rag.store import KeptRun

_LOOKED_AT = 100  # newest runs that are looked through


def keep_run(run: Run, settings: Settings) -> None:
    """Keeps ``run`` in the database of ``settings``, where the page finds it. Raises StoreUnavailable."""
    store = build_store(settings)
    try:
        line = KeptRun(run.name, run.kind, run.data.name, run.metrics, datetime.now(UTC))
        store.eval_runs.put(line, run_text(run))
    finally:
        store.close()


def latest_labelled(settings: Settings, verifier: str) -> Run | None:
    """The newest kept run that measured ``verifier`` (name@fingerprint) on labelled claims; None without one."""
    store = build_store(settings)
    try:
        for kept in store.eval_runs.latest(_LOOKED_AT):
            if kept.kind not in ("suite", "claims"):
                continue
            run = parse_run(store.eval_runs.body(kept.name), kept.name)
            if run.models.get("verifier") == verifier and any(group.kind == "claims" for group in groups(run)):
                return run
    finally:
        store.close()
    return None


def find_run(given: str, settings: Settings) -> Run:
    """The run of a file, of a name in the runs folder, or of a name in the database.

    Raises InvalidInput as read_run does, NotFound where there is none.
    """
    for path in (Path(given), settings.runs_folder / f"{given}.json"):
        if path.is_file() or given.endswith(".json"):
            return read_run(path)
    store = build_store(settings)
    try:
        return parse_run(store.eval_runs.body(given), given)
    finally:
        store.close()
