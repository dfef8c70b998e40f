"""Train the reader: MiniLM with a span head, on the question files; resumable, within a time limit.

    OMP_NUM_THREADS=1 torchrun --nproc-per-node 2 -m train.reader --base HOME/models/minilm-l6 \\
        --data data --out runs/reader-1 --minutes 240

Run the same command again after a kill. OUT/model/ holds what goes to models/answerable-reader/ (train/encoder_run.py
says what else is in OUT). Cross-entropy of the first and of the last token, "none" being the row's first (Devlin et
al., "BERT", 2019). Every 15 minutes, EM and F1 on fixed samples of dev files, once with the best span whatever its
probability ("forced") and once refusing at even odds; the card's calibration is fitted there too.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from torch import Tensor

from rag.answers import exact_match, token_f1
from rag.datafiles import QaRow, read_qa
from rag.encode import TOKENIZER_FILE
from rag.pair_tokens import PairTokenizer
from rag.reader import HEAD, MAX_TOKENS, Calibration, Reader, Reading, no_answer
from rag.types import Passage
from train.encoder_rows import EncoderBatch, EncoderRows
from train.encoder_run import Job, Outputs, RunOptions, TorchRuns, run
from train.reader_rows import make_rows
from train.sources import question_file

NAME = "answerable-reader"
DEV_SIZES = {"nq_oracle": 120, "squad2": 200, "policyqa": 40}
_FLOOR = -1e4  # for tokens that are no place for an answer; -inf would make no gradient at all

log = logging.getLogger(__name__)


def span_loss(outputs: Outputs, batch: EncoderBatch) -> Tensor:
    """Mean of both cross-entropies over passage tokens and the first one; ``outputs`` (B, T, 2)."""
    places = torch.arange(batch.ids.shape[1], device=batch.ids.device)  # (T,)
    inside = (places[None] >= batch.second[:, None]) & (places[None] < batch.mask.sum(1, keepdim=True) - 1)  # (B, T)
    inside[:, 0] = True
    logits = outputs[0].masked_fill(~inside[..., None], _FLOOR)  # (B, T, 2)
    first = torch.nn.functional.cross_entropy(logits[..., 0], batch.targets[:, 0])
    last = torch.nn.functional.cross_entropy(logits[..., 1], batch.targets[:, 1])
    loss: Tensor = (first + last) / 2
    return loss


@dataclass(frozen=True, slots=True)
class ReaderScores:
    """EM and F1 over answerable questions: of the best span (forced), and with refusals at even odds scoring 0."""

    n: int
    em: float
    f1: float
    f1_with_refusals: float
    refusal_f1: float
    answerable_auroc: float | None
    by_dataset: dict[str, dict[str, float]]


def dev_sample(folder: Path, sizes: dict[str, int], seed: int = 0) -> list[QaRow]:
    """Up to ``sizes[file]`` rows of each file, the same for the same seed. Raises InvalidInput for a missing file."""
    sample: list[QaRow] = []
    for name, size in sizes.items():
        rows = read_qa(question_file(folder, name))
        sample += random.Random(seed).sample(rows, min(size, len(rows)))
    return sample


def read_all(reader: Reader, sample: Sequence[QaRow]) -> list[Reading]:
    """What the reader makes of each row's own passages."""
    return [
        reader.read(row.question, [Passage(0, "", "", "", 0, len(p.text), p.text) for p in row.passages])
        for row in sample
    ]


def score(sample: Sequence[QaRow], readings: Sequence[Reading]) -> ReaderScores:
    """Figures of the readings."""
    by_dataset: dict[str, list[tuple[float, float]]] = {}
    kept, refused, absent, doubts = [], [], [], []
    for row, reading in zip(sample, readings, strict=True):
        text = reading.spans[0].text if reading.spans else ""
        refused.append(reading.no_answer > 0.5)
        absent.append(not row.answerable)
        doubts.append(reading.no_answer)
        if row.answerable:
            pair = exact_match(text, row.answers), token_f1(text, row.answers)
            by_dataset.setdefault(row.dataset, []).append(pair)
            kept.append(0.0 if refused[-1] else pair[1])
    both = sum(no and gone for no, gone in zip(refused, absent, strict=True))
    pairs = [pair for found in by_dataset.values() for pair in found]
    return ReaderScores(
        n=len(sample),
        em=_mean([em for em, _ in pairs]),
        f1=_mean([f1 for _, f1 in pairs]),
        f1_with_refusals=_mean(kept),
        refusal_f1=round(2 * both / max(1, sum(refused) + sum(absent)), 4),
        answerable_auroc=round(float(roc_auc_score(absent, doubts)), 4) if 0 < sum(absent) < len(absent) else None,
        by_dataset={
            name: {"em": _mean([em for em, _ in found]), "f1": _mean([f1 for _, f1 in found])}
            for name, found in sorted(by_dataset.items())
        },
    )


def calibrate(sample: Sequence[QaRow], readings: Sequence[Reading]) -> tuple[Calibration, float]:
    """Temperature and bias by logistic regression of "answerable" on the best margin, and its mean loss in nats.

    Only files that hold both kinds count. Without any, or where the margin says nothing yet: 1 and 0.
    """
    datasets = {row.dataset for row in sample if not row.answerable} & {row.dataset for row in sample if row.answerable}
    found = [
        (reading.spans[0].margin, row.answerable)
        for row, reading in zip(sample, readings, strict=True)
        if reading.spans and row.dataset in datasets
    ]
    margins = np.array([margin for margin, _ in found])
    told = np.array([answerable for _, answerable in found])
    if len(set(told.tolist())) < 2:
        return Calibration(), float("nan")
    model = LogisticRegression(C=100.0).fit(margins[:, None], told)
    slope, offset = float(model.coef_[0, 0]), float(model.intercept_[0])
    chances = np.clip(model.predict_proba(margins[:, None])[:, 1], 1e-6, 1 - 1e-6)
    loss = -float(np.mean(np.log(np.where(told, chances, 1 - chances))))
    return (Calibration(1 / slope, -offset / slope) if slope > 1e-3 else Calibration()), round(loss, 4)


def reader_job(options: RunOptions, most: int = 0, sizes: dict[str, int] | None = None) -> Job:
    """The training of the reader. Raises ModelBroken for the base's tokenizer, InvalidInput for the dev files."""
    tokenizer = PairTokenizer(options.base / TOKENIZER_FILE)
    sample = dev_sample(options.data / "qa" / "dev", sizes or DEV_SIZES)

    def measure(runs: TorchRuns) -> tuple[dict[str, Any], dict[str, float]]:
        raw = read_all(Reader(runs, tokenizer, Calibration(), NAME, ""), sample)
        fitted, loss = calibrate(sample, raw)
        readings = [replace(one, no_answer=no_answer(one.spans[0].margin, fitted)) if one.spans else one for one in raw]
        scores = score(sample, readings)
        figures = {"val_loss": loss, **{name: getattr(scores, name) for name in ReaderScores.__slots__}}
        return figures, {"temperature": fitted.temperature, "bias": fitted.bias}

    def rows() -> tuple[EncoderRows, dict[str, Any]]:
        return make_rows(options.data, tokenizer, options.loop.seed, most, options.without)

    return Job(NAME, HEAD, MAX_TOKENS, rows, span_loss, measure)


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / max(1, len(values)), 4)


if __name__ == "__main__":
    run(__doc__, reader_job)
