"""How far the support score can be trusted: its agreement with people's labels, on claims files and on our own answers.

A report of hallucinations is a judgement by a model, so the model is itself measured here, against labels that people
gave: claims files, and `golden/labelled_answers.jsonl`, answers of our own generator labelled by the guideline in
docs/labelling.md. Each labelled answer has two labels, and each is a figure of its own: whether its passages support it
(what the score is for), and whether it is right (what a reader takes it for).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.calibration import auroc, expected_calibration_error
from eval.claims import judge_claims
from eval.metrics import ClaimResult, balanced_accuracy
from ingest.run import Progress
from rag.datafiles import ClaimRow, Label, read_claims
from rag.types import InvalidInput, Verdict
from rag.verify import Verifier

GOLDEN = Path(__file__).resolve().parent / "golden"
LABELLED_ANSWERS = GOLDEN / "labelled_answers.jsonl"
RIGHT = ":right"  # ends the name of the figures against the second label


@dataclass(frozen=True, slots=True)
class MetaFigures:
    """Agreement of support with a label of ``n`` claims; None where the file cannot give a figure.

    ``balanced_accuracy`` of the verdict, in [0, 1]; ``auroc`` of the support, in [0, 1]; ``correlation``: the
    point-biserial one of support and label, in [-1, 1]; ``ece``: expected calibration error, in [0, 1].
    """

    n: int
    balanced_accuracy: float | None
    auroc: float | None
    correlation: float | None
    ece: float | None


def meta_evaluation(
    verifier: Verifier, files: Sequence[Path] = (LABELLED_ANSWERS,), limit: int = 0, progress: Progress | None = None
) -> dict[str, MetaFigures]:
    """The figures of each file by its name, over its first ``limit`` claims (0: all).

    A file whose rows say whether they are right gives a second entry, "<name>:right". Equal input gives equal figures.
    Raises InvalidInput for a file that cannot be read, or two of one name.
    """
    names = [_name(file) for file in files]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InvalidInput(f'two claims files are called "{twice[0]}"; give each a name of its own')
    read = {name: read_claims(file, limit) for name, file in zip(names, files, strict=True)}
    whole, done = sum(len(rows) for rows in read.values()), 0
    figures: dict[str, MetaFigures] = {}
    for name, rows in read.items():
        results = judge_claims(rows, verifier, _shifted(progress or _quiet, done, whole))
        done += len(rows)
        figures |= _figures_of(name, rows, results)
    return figures


def _shifted(progress: Progress, before: int, whole: int) -> Progress:
    """The progress of one file as that of all of them."""
    return lambda here, _of: progress(before + here, whole)


def _figures_of(name: str, rows: Sequence[ClaimRow], results: Sequence[ClaimResult]) -> Mapping[str, MetaFigures]:
    told = {name: meta_figures(results, [row.label is Label.SUPPORTED for row in rows])}
    rated = [(result, row.right) for result, row in zip(results, rows, strict=True) if row.right is not None]
    if rated:
        told[name + RIGHT] = meta_figures([result for result, _ in rated], [right for _, right in rated])
    return told


def meta_figures(results: Sequence[ClaimResult], truth: Sequence[bool]) -> MetaFigures:
    """Agreement of judged claims with ``truth``, one value a claim."""
    supports = [result.support for result in results]
    said = [result.verdict is Verdict.SUPPORTED for result in results]
    return MetaFigures(
        len(results),
        balanced_accuracy(said, truth),
        auroc(supports, truth),
        correlation(supports, truth),
        expected_calibration_error(supports, truth),
    )


def correlation(supports: Sequence[float], truth: Sequence[bool]) -> float | None:
    """Point-biserial correlation (Pearson's r with a truth of 0 or 1), in [-1, 1]; None where either never varies."""
    n = len(supports)
    if n != len(truth):
        raise ValueError(f"{n} supports for {len(truth)} labels; give one of each per claim")
    if n == 0:
        return None
    mean_support, mean_truth = math.fsum(supports) / n, sum(truth) / n
    across = math.fsum((s - mean_support) * (t - mean_truth) for s, t in zip(supports, truth, strict=True))
    spread = math.fsum((s - mean_support) ** 2 for s in supports) * math.fsum((t - mean_truth) ** 2 for t in truth)
    return max(-1.0, min(1.0, across / math.sqrt(spread))) if spread > 0 else None


def _name(file: Path) -> str:
    return file.name.removesuffix(".gz").removesuffix(".jsonl")


def _quiet(_done: int, _whole: int | None) -> None:
    """Shows no progress."""
