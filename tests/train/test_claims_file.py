"""Claims files made on the command line can be read and measured on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rag.datafiles import read_claims

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "eval" / "golden" / "examples.jsonl"


@pytest.mark.parametrize("module", ["train.edits", "train.pairs"])
def test_the_same_seed_writes_the_same_file(module: str, tmp_path: Path) -> None:
    outs = [tmp_path / "1.jsonl", tmp_path / "2.jsonl"]
    for out in outs:
        command = [sys.executable, "-m", module, str(GOLDEN), "--out", str(out), "--limit", "40", "--seed", "3"]
        subprocess.run(command, cwd=ROOT, check=True, timeout=100)
    assert outs[0].read_bytes() == outs[1].read_bytes()
    labels = {row.label.value for row in read_claims(outs[0])}
    assert "supported" in labels and len(labels) > 1
    assert set(json.loads(outs[0].read_text().splitlines()[0])) >= {"id", "dataset", "passage", "claim", "label"}
