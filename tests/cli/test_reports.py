"""eval report and compare on run files: what they print, their exit codes, their one-line errors."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from answerable import app
from eval.kept_runs import find_run, keep_run
from eval.runs import DataFile, Run, write_run
from rag.settings import load_settings
from rag.types import InvalidInput, NotFound
from tests.eval.test_compare import GOOD, changed

VERIFIER = {"verifier": "check@1"}


def write(folder: Path) -> tuple[str, str]:
    return str(write_run(GOOD, folder)), str(write_run(changed(*range(12)), folder))


def test_the_gate_names_the_figure_and_exits_with_one(tmp_path: Path) -> None:
    before, after = write(tmp_path)
    kept = CliRunner().invoke(app, ["eval", "compare", before, after, "--fail-under", "f1=0.7", "--json"])
    assert kept.exit_code == 0, kept.stderr
    told = json.loads(kept.stdout)
    assert told["metrics"]["f1"]["verdict"] == "worse"
    assert len(told["flips"]) == 12 and told["failed"] == []
    failed = CliRunner().invoke(app, ["eval", "compare", before, after, "--fail-under", "f1=0.9"])
    assert failed.exit_code == 1
    assert "failed: f1 is 0.7000, must be at least 0.9" in failed.stderr
    assert "12 questions flipped, 12 for the worse" in failed.stdout
    worse = CliRunner().invoke(app, ["eval", "compare", before, after, "--fail-worse"])
    assert worse.exit_code == 1 and "f1 went from 1.0000 to 0.7000" in worse.stderr
    assert CliRunner().invoke(app, ["eval", "compare", after, before, "--fail-worse"]).exit_code == 0


def test_a_report_is_written_in_three_forms(tmp_path: Path) -> None:
    before, after = write(tmp_path)
    page, text = tmp_path / "out" / "report.html", tmp_path / "out" / "report.md"
    options = ["--html", str(page), "--markdown", str(text), "--json"]
    done = CliRunner().invoke(app, ["eval", "report", before, after, *options])
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["comparison"]["flips"]
    assert page.read_text("utf-8").startswith("<!doctype html>")
    assert text.read_text("utf-8").startswith("# Report")


def test_a_report_names_the_run_that_measured_its_verifier(tmp_path: Path) -> None:
    rows = [
        {"id": str(number), "dataset": "d", "claim": "c", "passage": "p", "question": "", "label": label,
         "support": support, "verdict": label}
        for number, (label, support) in enumerate([("supported", 0.9), ("supported", 0.6)])
    ]  # fmt: skip
    labelled = Run("claims", {}, {}, VERIFIER, 0, DataFile("labels.jsonl", "0" * 64, 1), rows)
    settings = load_settings()
    keep_run(labelled, settings)
    own = str(write_run(replace(GOOD, models=VERIFIER), tmp_path))
    other = str(write_run(GOOD, tmp_path))
    with_own = json.loads(CliRunner().invoke(app, ["eval", "report", own, "--json"]).stdout)
    assert with_own["trust_from"] == labelled.name and with_own["trust"][0]["n"] == 2
    assert json.loads(CliRunner().invoke(app, ["eval", "report", other, "--json"]).stdout)["trust"] == []


def test_a_kept_run_is_found_by_its_name(tmp_path: Path) -> None:
    settings = load_settings()
    keep_run(GOOD, settings)
    keep_run(GOOD, settings)
    assert find_run(GOOD.name, settings) == GOOD
    with pytest.raises(NotFound, match="run 'none' does not exist"):
        find_run("none", settings)
    with pytest.raises(InvalidInput, match="cannot be read"):
        find_run(str(tmp_path / "none.json"), settings)
