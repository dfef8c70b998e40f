"""The verifier beside its baselines, for docs/benchmarks.md: claims of dev files, planted errors, evidence, cost.

    python -m benchmarks.verifiers --data data [--limit 0] [--only claims planted evidence cost]

claims     balanced accuracy, AUROC and ECE on each file of claims/dev, beside the shipped baseline check, the share of
           the claim's words that the passage holds, the cosine of claim and best window, and the majority label
planted    right answers of the golden sets as sentences, and the same with one number, name, date, negation or unit
           changed (eval/golden/planted.jsonl, each checked by hand): shares flagged, the edited ones by kind as well,
           and by whether the passage holds all their words
evidence   right answers of qa/dev/squad2 on their passages: how often the cited characters hold the gold answer
cost       milliseconds a pair of 200 tokens in batch, OpenVINO int8 beside torch fp32 in the same run
"""

from __future__ import annotations

import argparse
import functools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from sklearn.metrics import balanced_accuracy_score

from eval.calibration import auroc, expected_calibration_error
from rag.build import build_baseline, build_encoder, build_reader, build_verifier
from rag.check import HEAD
from rag.datafiles import ClaimRow, Label, read_claims, read_qa
from rag.encode import Encoder
from rag.evidence import view
from rag.pair_model import PAIR_WEIGHTS, PairModel
from rag.pair_tokens import Pair
from rag.settings import Settings, load_settings
from rag.types import Passage
from rag.verify import Verifier
from rag.weights import require
from rag.weights_trained import CHECK, models_in_repository
from rag.words import read_words
from train.pairs import make_pairs
from train.sources import holds, question_file

PLANTED_FILE = Path(__file__).resolve().parent.parent / "eval" / "golden" / "planted.jsonl"
PARTS = ("claims", "planted", "evidence", "cost")
_PAIR_TOKENS, _PAIRS = 200, 64

Judge = Callable[[ClaimRow], float]


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=0, help="first N rows of each file; 0: all")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    settings = load_settings()
    encoder = build_encoder(settings)
    verifier = build_verifier(settings, encoder, build_reader(settings))
    if "claims" in options.only:
        claims(options.data / "claims" / "dev", options.limit, judges(verifier, encoder))
    if "planted" in options.only:
        planted(verifier)
    if "evidence" in options.only:
        evidence(verifier, question_file(options.data / "qa" / "dev", "squad2"), options.limit)
    if "cost" in options.only:
        cost(settings)


def judges(verifier: Verifier, encoder: Encoder) -> Mapping[str, Judge]:
    """The ways to judge a claim, by name; each gives a support in [0, 1]."""
    baseline = build_baseline(encoder)
    return {
        verifier.name: lambda row: supported(verifier, row),
        baseline.name: lambda row: supported(baseline, row),
        "words": words_held,
        "cosine": lambda row: best_cosine(row, encoder),
        "majority": lambda _row: 0.0,
    }


def supported(verifier: Verifier, row: ClaimRow) -> float:
    """The support that a verifier gives."""
    return verifier.verify([row.claim], [passage_of(row)], row.question)[0].support


def words_held(row: ClaimRow) -> float:
    """Share of the claim's stems that the passage holds."""
    ours, theirs = read_words(row.claim).stems, read_words(row.passage).stems
    return len(ours & theirs) / max(1, len(ours))


def best_cosine(row: ClaimRow, encoder: Encoder) -> float:
    """Cosine of the claim and the nearest sentence, at least 0."""
    (claim,), (passage,) = view([row.claim], [row.passage], row.question, encoder)
    return max(0.0, min(1.0, float((passage.vectors @ claim.vector).max()))) if len(passage.vectors) else 0.0


def passage_of(row: ClaimRow) -> Passage:
    """The passage of a row."""
    return Passage(0, row.id, "", row.id, 0, len(row.passage), row.passage)


def claims(folder: Path, limit: int, ways: Mapping[str, Judge]) -> None:
    """A line a way and file. The baselines get the threshold that suits all files best, the verifiers their own."""
    rows = {path.name.split(".")[0]: read_claims(path, limit) for path in sorted(folder.glob("*.jsonl*"))}
    heads = [*rows, "mean", "AUROC", "ECE", "ECE of all rows"]
    print("| verifier | " + " | ".join(heads) + " |\n" + "|---" * (len(heads) + 1) + "|")
    for name, judge in ways.items():
        support = {file: [judge(row) for row in found] for file, found in rows.items()}
        told = {file: [row.label is Label.SUPPORTED for row in found] for file, found in rows.items()}
        steps = np.round(np.arange(0.02, 0.99, 0.02), 2).tolist()
        best = max(steps, key=lambda step: np.mean([accuracy(support[f], told[f], step) for f in rows]))
        each = [accuracy(support[file], told[file], best) for file in rows]
        ranks = [auroc(support[file], told[file]) or 0.5 for file in rows]
        errors = [expected_calibration_error(support[file], told[file]) or 0.0 for file in rows]
        every, all_told = [v for some in support.values() for v in some], [v for some in told.values() for v in some]
        pooled = expected_calibration_error(every, all_told) or 0.0
        cells = [*each, np.mean(each), np.mean(ranks), np.mean(errors), pooled]
        print(f"| {name} (from {best}) | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |", flush=True)


def accuracy(support: Sequence[float], told: Sequence[bool], threshold: float) -> float:
    """Balanced accuracy at a threshold."""
    return float(balanced_accuracy_score(told, [value >= threshold for value in support]))


def planted(verifier: Verifier) -> None:
    """How many right answers, and how many edited ones, are flagged as not supported."""
    kinds = [json.loads(line)["kind"] for line in PLANTED_FILE.read_text(encoding="utf-8").splitlines()]
    shares: dict[str, list[bool]] = {}
    for row, kind in zip(read_claims(PLANTED_FILE), kinds, strict=True):
        told = flagged(verifier, row.claim, [passage_of(row)], row.question)
        source = "examples/ (fitted on)" if row.id.startswith("examples-") else "other documents (held out)"
        for group in (kind, f"{source}, {'unedited' if kind == 'unedited' else 'edited'}"):
            shares.setdefault(group, []).append(told)
        if kind != "unedited":
            near = read_words(row.claim).stems <= read_words(row.passage).stems
            for group in ("edited", "near misses, all words in the passage" if near else "a word not in the passage"):
                shares.setdefault(group, []).append(told)
    for kind, flags in sorted(shares.items()):
        print(f"planted errors, {kind}: {np.mean(flags):.3f} of {len(flags)} flagged")


def flagged(verifier: Verifier, claim: str, passages: Sequence[Passage], question: str) -> bool:
    """Whether a claim is called anything but supported."""
    return verifier.verify([claim], passages, question)[0].verdict.value != "supported"


def evidence(verifier: Verifier, file: Path, limit: int) -> None:
    """How often the cited characters hold the right answer, and that every span round-trips."""
    rows = [row for row in make_pairs(read_qa(file, limit), 0) if row.label is Label.SUPPORTED]
    hits = 0
    for row in rows:
        spots = verifier.verify([row.claim], [passage_of(row)], row.question)[0].evidence
        assert all(0 <= spot.start < spot.end <= len(row.passage) for spot in spots)
        hits += bool(spots) and holds(row.passage[spots[0].start : spots[0].end], row.claim)
    print(f"evidence: {hits / max(1, len(rows)):.3f} of {len(rows)} first citations hold the answer")


def cost(settings: Settings) -> None:
    """Milliseconds a pair; best of five rounds of each, by turns."""
    import torch

    from lm.pair_encoder import load_compact

    model = PairModel(require(settings.home, CHECK), HEAD, settings.threads)
    reference = load_compact(models_in_repository() / CHECK / PAIR_WEIGHTS)

    def in_torch(ids: torch.Tensor) -> object:
        ones = torch.ones_like(ids)
        with torch.inference_mode():
            return reference(ids, ones, ones)

    draw = np.random.default_rng(0)
    ours, theirs = float("inf"), float("inf")
    for _ in range(5):  # with other rows each time: the model keeps what it has judged
        pairs = [Pair(draw.integers(1000, 20000, _PAIR_TOKENS), 1, 40) for _ in range(_PAIRS)]
        ids = torch.from_numpy(np.stack([pair.ids for pair in pairs]))
        ours = min(ours, _seconds(functools.partial(model.run, pairs)))
        theirs = min(theirs, _seconds(functools.partial(in_torch, ids)))
    cost = 1000 * ours / _PAIRS
    print(f"cost: {cost:.1f} ms a pair of {_PAIR_TOKENS} tokens; torch fp32 takes {theirs / ours:.2f} times")


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
