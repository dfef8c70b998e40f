"""A short run of benchmarks/kill_points.py: killed at random moments, gone on with, compared with a quiet run."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.kill_points import run


@pytest.mark.slow
@pytest.mark.models
@pytest.mark.timeout(900)
def test_a_killed_ingest_ends_as_a_quiet_one(models_home: Path, tmp_path: Path) -> None:
    result = run(tmp_path, models_home / "models", 4, (60, 7))
    assert (result["differed"], result["orphans"]) == (0, 0)
    assert result["inside"]
