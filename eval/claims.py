"""`eval claims`: judge every claim of a data file against its passage with the verifier in use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.metrics import ClaimResult, claim_metrics
from eval.runs import Run, describe_data
from ingest.run import Progress
from rag.build import build_encoder, build_reader, build_verifier
from rag.datafiles import ClaimRow, Label, read_claims
from rag.settings import Settings
from rag.types import Passage, Verdict
from rag.verify import Verifier


def run_claims(settings: Settings, file: Path, limit: int, progress: Progress) -> Run:
    """Judge the first ``limit`` claims (0: all) of ``file``. Raises InvalidInput, ModelMissing, ModelBroken."""
    rows = read_claims(file, limit)
    verifier = build_verifier(settings, build_encoder(settings), build_reader(settings))
    results = judge_claims(rows, verifier, progress)
    return Run(
        kind="claims",
        metrics=claim_metrics(results),
        settings={"limit": limit, "device": settings.device},
        models={"verifier": f"{verifier.name}@{verifier.fingerprint}"},
        seed=0,
        data=describe_data(file),
        rows=[claim_row_json(row, result) for row, result in zip(rows, results, strict=True)],
    )


def judge_claims(rows: Sequence[ClaimRow], verifier: Verifier, progress: Progress) -> list[ClaimResult]:
    """One result a row, in order."""
    results = []
    for done, row in enumerate(rows, start=1):
        results.append(judge_claim(row, verifier))
        progress(done, len(rows))
    return results


def judge_claim(row: ClaimRow, verifier: Verifier) -> ClaimResult:
    """What the verifier says of one claim."""
    passage = Passage(0, row.id, "", row.id, 0, len(row.passage), row.passage)
    judged = verifier.verify([row.claim], [passage], row.question)[0]
    return ClaimResult(row.id, row.dataset, row.label, judged.support, judged.verdict)


def claim_row_json(row: ClaimRow, result: ClaimResult) -> dict[str, Any]:
    """The line of a claim in a run file."""
    return {
        "id": result.id,
        "dataset": result.dataset,
        "claim": row.claim,
        "passage": row.passage,
        "question": row.question,
        "label": result.label.value,
        "support": result.support,
        "verdict": result.verdict.value,
    }


def read_claim_row(row: Mapping[str, Any]) -> ClaimResult:
    """What ``claim_row_json`` wrote, as the record that figures are made of."""
    return ClaimResult(row["id"], row["dataset"], Label(row["label"]), row["support"], Verdict(row["verdict"]))
