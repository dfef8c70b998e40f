"""Fits the baseline check (rag/verify.py): two logistic regressions over plain features, in minutes on two cores.

    python -m train.baseline_check --data data --home ~/.answerable --out models/baseline-check

``--data`` holds claims/train/*.jsonl[.gz] and qa/train/*.jsonl[.gz]. Sentences are fitted on the claim files named
below and on sentences that train/edits.py takes from passages and edits, fragments ("1901") on pairs that
train/pairs.py makes of the question files. Nothing under dev/ is read.
Supported and not supported weigh the same in each fit, so support is the probability for a claim that is as likely to
be right as wrong beforehand; the threshold is the support that parts the two best (balanced accuracy).
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from rag.build import ENCODER
from rag.datafiles import ClaimRow, Label, read_claims, read_qa
from rag.encode import Encoder, load_encoder
from rag.evidence import ANSWER_FEATURES, SENTENCE_FEATURES, is_fragment, place, view
from rag.types import InvalidInput
from rag.verify import WEIGHTS_FILE
from rag.weights import require
from train.edits import make_edits
from train.pairs import make_pairs, tidy

CLAIM_SETS = (
    *("begin", "checkcovid", "expertqa", "factcheckgpt", "fever_symmetric", "feverous_dev", "foolmetwice"),
    *("multirc", "q2_wow", "rte", "summedits"),
)
EDIT_SETS = ("doc2dial", "policyqa", "squad", "squadshifts_newwiki")
QUESTION_SETS = ("boolq", "qed", "squad", "squad_dev_a", "squadshifts_amazon", "squadshifts_newwiki", "tatqa")
_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Examples:
    """Feature rows (N, F), whether each is supported (N,), and its weight (N,), equal in sum for both classes."""

    features: NDArray[np.float64]
    supported: NDArray[np.bool_]
    weights: NDArray[np.float64]


def load_claims(data: Path, per_set: int, seed: int) -> list[ClaimRow]:
    """At most ``per_set`` claims of each claim file, and half as many edited sentences of each passage file.

    Raises InvalidInput for a missing file.
    """
    rows: list[ClaimRow] = []
    for name in CLAIM_SETS:
        found = read_claims(_data_file(data / "claims" / "train", name))
        rows += random.Random(seed).sample(found, min(per_set, len(found)))
    for name in EDIT_SETS:
        edits = make_edits(read_qa(_data_file(data / "qa" / "train", name)), seed)
        rows += _draw_twos(edits, per_set // 4, seed)
    return rows


def load_pairs(data: Path, per_set: int, seed: int) -> list[ClaimRow]:
    """Two claims of at most ``per_set`` questions of each question file; only those whose claim is a fragment."""
    rows: list[ClaimRow] = []
    for name in QUESTION_SETS:
        pairs = make_pairs(read_qa(_data_file(data / "qa" / "train", name)), seed)
        rows += [pair for pair in _draw_twos(pairs, per_set, seed) if is_fragment(pair.claim, pair.question)]
    return rows


def _draw_twos(claims: Sequence[ClaimRow], count: int, seed: int) -> list[ClaimRow]:
    """``count`` of the neighbouring twos, right and wrong, of ``claims``. Drawn last: each needs its neighbours."""
    firsts = random.Random(seed).sample(range(0, len(claims), 2), min(count, len(claims) // 2))
    return [claims[place] for first in firsts for place in (first, first + 1)]


def examples(rows: Sequence[ClaimRow], names: Sequence[str], encoder: Encoder) -> Examples:
    """Features of the best window of each row, as the check itself computes them, in the order of ``names``."""
    features, supported = [], []
    for row in rows:
        claims, passages = view([tidy(row.claim)], [tidy(row.passage)], row.question, encoder)
        if (placement := place(claims[0], passages[0])) is not None:
            features.append([placement.features[name] for name in names])
            supported.append(row.label is Label.SUPPORTED)
    flags = np.array(supported, dtype=np.bool_)
    shares = np.where(flags, 0.5 / max(flags.sum(), 1), 0.5 / max((~flags).sum(), 1))
    return Examples(np.array(features), flags, shares * len(flags))


def fit(train: Examples, names: Sequence[str], penalty: float) -> dict[str, Any]:
    """Weights by feature, bias and threshold, rounded to four digits so that the file reads well."""
    model = LogisticRegression(C=1 / penalty, max_iter=2000)
    model.fit(train.features, train.supported, sample_weight=train.weights)
    weights = np.round(model.coef_[0], _DIGITS)
    bias = round(float(model.intercept_[0]), _DIGITS)
    support = 1 / (1 + np.exp(-(train.features @ weights + bias)))
    threshold = best_threshold(support, train.supported)
    return {
        "weights": {name: float(weight) for name, weight in zip(names, weights, strict=True)},
        "bias": bias,
        "threshold": threshold,
        "fitted_on": {
            "rows": len(train.supported),
            "supported": int(train.supported.sum()),
            "balanced_accuracy": round(float(balanced_accuracy_score(train.supported, support >= threshold)), _DIGITS),
            "auroc": round(float(roc_auc_score(train.supported, support)), _DIGITS),
        },
    }


def best_threshold(support: NDArray[np.float64], supported: NDArray[np.bool_]) -> float:
    """The support in steps of .01 that gives the best balanced accuracy; the middle of the best ones."""
    steps = np.round(np.arange(0.05, 0.96, 0.01), 2)
    scores = np.array([balanced_accuracy_score(supported, support >= step) for step in steps])
    return float(np.round(np.median(steps[scores >= scores.max() - 0.002]), 2))


class MemoryEncoder:
    """An encoder that has seen its texts before: all of them are encoded once, in batches of like length."""

    def __init__(self, encoder: Encoder, texts: Iterable[str], progress: Callable[[str], None]):
        self.name, self.fingerprint = encoder.name, encoder.fingerprint
        self.dimension, self.max_tokens = encoder.dimension, encoder.max_tokens
        ordered = sorted(dict.fromkeys(texts), key=len)
        self._vectors: dict[str, NDArray[np.float16]] = {}
        for begin in range(0, len(ordered), 4096):
            batch = ordered[begin : begin + 4096]
            self._vectors.update(zip(batch, encoder.encode(batch).astype(np.float16), strict=True))
            progress(f"encoded {begin + len(batch)} of {len(ordered)} texts")

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of texts given to the constructor, (N, D); KeyError for another text."""
        return np.stack([self._vectors[text] for text in texts]).astype(np.float32)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Not needed here; words stand in for tokens."""
        return [len(text.split()) for text in texts]


class _Recorder:
    """Notes which texts the features will ask for, and answers with zeros."""

    name, fingerprint, dimension, max_tokens = "recorder", "0" * 12, 1, 1

    def __init__(self) -> None:
        self.texts: dict[str, None] = {}

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.texts |= dict.fromkeys(texts)
        return np.zeros((len(texts), 1), dtype=np.float32)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [1] * len(texts)


def texts_of(rows: Sequence[ClaimRow]) -> Iterator[str]:
    """Every text that ``examples`` will encode for ``rows``."""
    recorder = _Recorder()
    for row in rows:
        view([tidy(row.claim)], [tidy(row.passage)], row.question, recorder)
    yield from recorder.texts


def _data_file(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.jsonl.gz", folder / f"{name}.jsonl"):
        if path.is_file():
            return path
    raise InvalidInput(f"{folder}: no {name}.jsonl or {name}.jsonl.gz; give --data the folder with claims/ and qa/")


def main() -> None:
    """Fits both regressions and writes weights.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with claims/train and qa/train")
    parser.add_argument("--home", type=Path, required=True, help="HOME with the base encoder pulled")
    parser.add_argument("--out", type=Path, required=True, help="folder to write weights.json to")
    parser.add_argument("--per-set", type=int, default=300, help="rows drawn from each file")
    parser.add_argument("--penalty", type=float, default=1.0, help="L2 penalty of the regressions")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw of rows and wrong answers")
    options = parser.parse_args()
    claims = load_claims(options.data, options.per_set, options.seed)
    pairs = load_pairs(options.data, options.per_set, options.seed)
    base = load_encoder(require(options.home, ENCODER), "cpu")
    encoder = MemoryEncoder(base, texts_of([*claims, *pairs]), lambda line: print(line))  # noqa: T201
    fitted = {
        "sentence": fit(examples(claims, SENTENCE_FEATURES, encoder), SENTENCE_FEATURES, options.penalty),
        "answer": fit(examples(pairs, ANSWER_FEATURES, encoder), ANSWER_FEATURES, options.penalty),
        "recipe": {"per_set": options.per_set, "penalty": options.penalty, "seed": options.seed},
        "encoder": f"{base.name}@{base.fingerprint}",
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / WEIGHTS_FILE).write_text(json.dumps(fitted, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
