"""Train the verifier: MiniLM that reads claim and passage together; resumable, within a time limit.

    OMP_NUM_THREADS=1 torchrun --nproc-per-node 2 -m train.verifier --base HOME/models/minilm-l6 \\
        --data data --out runs/verifier-1 --minutes 300

Run the same command again after a kill. OUT/model/ holds what goes to models/answerable-check/. Loss: cross-entropy
over supported, contradicted and not in the passage; rows that are only known not to be supported count the last two
as one; and, where it is known which words are wrong, cross-entropy of each word of the claim. Every 15 minutes:
balanced accuracy and area under the ROC curve for each file of claims/dev, and on errors planted in squad2's
sentences and answers, all on fixed samples.
"""

from __future__ import annotations

import logging
import math
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from torch import Tensor
from torch.nn import functional

from rag.check import HEAD, MAX_TOKENS
from rag.check_windows import Ranking, text_windows
from rag.datafiles import ClaimRow, Label, read_claims, read_qa
from rag.encode import TOKENIZER_FILE
from rag.pair_tokens import Pair, PairTokenizer
from rag.words import read_words
from train.edits import make_edits
from train.encoder_rows import EncoderBatch, EncoderRows
from train.encoder_run import Job, Outputs, RunOptions, TorchRuns, run
from train.pairs import make_pairs, tidy
from train.sources import question_file
from train.verifier_rows import CheckExample, make_rows, to_row

NAME = "answerable-check"
DEV_SAMPLE = 50  # claims of each file
DEV_WINDOWS = 2
_WORD_LOSS = 0.3
_WRONG_WEIGHT = 3.0  # of a wrong word: there are far fewer than right ones
_NOT_SUPPORTED = 3

log = logging.getLogger(__name__)


def check_loss(outputs: Outputs, batch: EncoderBatch) -> Tensor:
    """Weighted mean loss; ``outputs`` labels (B, 3) and words (B, T), ``targets`` (B, 3) as in verifier_rows.to_row."""
    labels, words = outputs
    said = batch.targets[:, 0]  # (B,)
    chances = functional.log_softmax(labels, dim=-1)  # (B, 3)
    told = -chances.gather(1, said.clamp_max(2)[:, None])[:, 0]  # (B,)
    either = -torch.logsumexp(chances[:, 1:], dim=-1)  # (B,)
    loss = torch.where(said == _NOT_SUPPORTED, either, told)
    mean = (loss * batch.weights).sum() / batch.weights.sum()
    return mean + _WORD_LOSS * _word_loss(words, batch)


def _word_loss(words: Tensor, batch: EncoderBatch) -> Tensor:
    """Mean cross-entropy of the claims' tokens as wrong or right, over rows that know; 0 without any."""
    places = torch.arange(words.shape[1], device=words.device)[None]  # (1, T)
    first, last = batch.targets[:, 1:2], batch.targets[:, 2:3]  # (B, 1)
    known = (first >= 0) & (places >= batch.claim[:, None]) & (places < batch.second[:, None] - 1)  # (B, T)
    wrong = ((places >= first) & (places < last)).float()  # (B, T)
    each = functional.binary_cross_entropy_with_logits(words, wrong, reduction="none")
    weights = known * torch.where(wrong > 0, _WRONG_WEIGHT, 1.0)
    return (each * weights).sum() / weights.sum().clamp_min(1.0)


def dev_claims(data: Path, size: int = DEV_SAMPLE, seed: int = 0) -> dict[str, list[ClaimRow]]:
    """Fixed samples by name: each file of claims/dev, edited sentences and answers of qa/dev/squad2."""
    found = {path.name.split(".")[0]: read_claims(path) for path in sorted((data / "claims" / "dev").glob("*.jsonl*"))}
    questions = read_qa(question_file(data / "qa" / "dev", "squad2"))
    found |= {"edits": make_edits(questions, seed), "answers": make_pairs(questions, seed)}
    return {name: random.Random(seed).sample(rows, min(size, len(rows))) for name, rows in found.items()}


def judge(runs: TorchRuns, tokenizer: PairTokenizer, rows: Sequence[ClaimRow]) -> list[float]:
    """The support in [0, 1] that the best of DEV_WINDOWS windows gives each claim; 0 without a window."""
    pairs: list[Pair] = []
    owners: list[int] = []
    for number, row in enumerate(rows):
        passage, claim = tidy(row.passage), tidy(row.claim)
        windows = text_windows([passage])
        for place in Ranking.of(windows).best(read_words(f"{row.question} {claim}").stems, DEV_WINDOWS):
            shown = passage[windows[place].start : windows[place].end]
            made = to_row(CheckExample("", "", row.question, claim[:400], shown, row.label), tokenizer)
            if made is not None:
                pairs.append(made[0])
                owners.append(number)
    support = [0.0] * len(rows)
    for number, (labels, _) in zip(owners, runs.run(pairs), strict=True):
        shares = [math.exp(float(value) - float(labels.max())) for value in labels]
        support[number] = max(support[number], shares[0] / sum(shares))
    return support


def dev_figures(samples: dict[str, list[ClaimRow]], runs: TorchRuns, tokenizer: PairTokenizer) -> dict[str, Any]:
    """Balanced accuracy at .5 and AUROC by file, their means over claims/dev, and the mean loss there in nats."""
    figures: dict[str, dict[str, float]] = defaultdict(dict)
    losses: list[float] = []
    for name, rows in samples.items():
        support = judge(runs, tokenizer, rows)
        told = [row.label is Label.SUPPORTED for row in rows]
        if len(set(told)) == 2:
            accuracy = float(balanced_accuracy_score(told, [value >= 0.5 for value in support]))
            figures[name] = {
                "balanced_accuracy": round(accuracy, 4),
                "auroc": round(float(roc_auc_score(told, support)), 4),
            }
        if name not in ("edits", "answers"):
            losses += [-math.log(max(1e-4, s if ok else 1 - s)) for s, ok in zip(support, told, strict=True)]
    found = [scores for name, scores in figures.items() if name not in ("edits", "answers")]
    return {
        "val_loss": round(sum(losses) / max(1, len(losses)), 4),
        "balanced_accuracy": _mean([scores["balanced_accuracy"] for scores in found]),
        "auroc": _mean([scores["auroc"] for scores in found]),
        "by_file": dict(figures),
    }


def verifier_job(options: RunOptions, most: int = 0, size: int = DEV_SAMPLE) -> Job:
    """The training of the verifier. Raises ModelBroken for the base's tokenizer, InvalidInput for the dev files."""
    tokenizer = PairTokenizer(options.base / TOKENIZER_FILE)
    samples = dev_claims(options.data, size)

    def measure(runs: TorchRuns) -> tuple[dict[str, Any], dict[str, float]]:
        return dev_figures(samples, runs, tokenizer), {}

    def rows() -> tuple[EncoderRows, dict[str, Any]]:
        return make_rows(options.data, tokenizer, options.loop.seed, most, options.without)

    return Job(NAME, HEAD, MAX_TOKENS, rows, check_loss, measure)


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / max(1, len(values)), 4)


if __name__ == "__main__":
    run(__doc__, verifier_job)
