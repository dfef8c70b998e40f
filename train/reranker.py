"""Train the reranker: a cross-encoder from MiniLM that reads question and passage together. Resumable, time-limited.

    OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 torchrun --nproc-per-node 2 -m train.reranker --base MODELS/minilm-l6 \\
        --mined mined --out runs/reranker-1 --minutes 60

Two processes of one thread are faster than one of two (train/ranks.py); without torchrun it is one process.
Run the same command again after a kill: it goes on from the last checkpoint.

The model gives two logits for a pair. "relevant" ranks: its softmax over a question's gold passage and the mined ones
is trained (listwise cross-entropy, Cao et al., ICML 2007). "answers" says whether the passage answers the question:
a cross-entropy a pair, over the same passages and those that are on the subject and lack the answer (train/mining.py);
it feeds the refusal. Forward and backward run in bf16 by autocast, weights and AdamW in fp32.

OUT gets adapter_model.safetensors (at each measurement), metrics.jsonl, settings.json, checkpoint.safetensors.
Letters: G groups, S pairs of all groups, T tokens, C channels.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from lm.cross_encoder import CrossEncoder
from rag.rerank import MAX_TOKENS, pair_ids
from train.bert import (
    by_length,
    identity,
    in_order,
    load_bert,
    load_tokenizer,
    padded,
    save_trained,
    sha256_of_weights,
    trained_weights,
)
from train.groups import CLAIMS_FILE, DEV_FILE, TRAIN_FILE, Group, cloze, read_groups
from train.loop import DEVICES, BatchLoss, LoopOptions, RowLoop, in_bf16, outcome
from train.measure_ranking import auroc, mean_reciprocal_rank
from train.ranks import Ranks, join, leave

NEGATIVES = 5  # of a group's mined passages in one reading of it
LONGEST = 224  # tokens of a pair in training; serving takes MAX_TOKENS
DEV_GROUPS = 320
SETTINGS_FILE = "settings.json"
_SIDE_BY_SIDE, _ON_DEVICE = 8, 128  # pairs of one pass
_ANSWERS_WEIGHT = 1.0  # of the second loss
_POSITIVE_WEIGHT = 3.0  # pairs that answer are one in five to seven

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Row:
    """A group as pairs of tokens: ``pairs`` are (ids, where the passage begins), ``ranked`` of them, gold first, are
    ranked against each other (0 where there is no gold); ``answers`` says of each whether it answers, None that this
    is not known.
    """

    pairs: tuple[tuple[tuple[int, ...], int], ...]
    ranked: int
    answers: tuple[bool | None, ...]

    @property
    def ids(self) -> tuple[int, ...]:
        """All tokens, by which batches are cut."""
        return tuple(token for ids, _ in self.pairs for token in ids)


def to_row(group: Group, tokenizer: Tokenizer, draw: random.Random) -> Row:
    """The group with NEGATIVES of its mined passages, and what lacks the answer."""
    negatives = draw.sample(group.negatives, min(NEGATIVES, len(group.negatives)))
    gold = [group.positive] if group.positive else []
    texts = [(group.question, text) for text in (*gold, *negatives, *group.lacking)]
    if group.altered and gold:
        texts.append((group.altered, group.positive))
    pairs = tuple(pair_ids(tokenizer, question, text, LONGEST) for question, text in texts)
    ranked = 1 + len(negatives) if gold and negatives else 0
    told = tuple((bool(gold) and place == 0) if group.told else None for place in range(len(pairs)))
    return Row(pairs, ranked, told)


class RerankerLoop(RowLoop):
    """The loop of train/loop.py with the two losses."""

    def __init__(
        self,
        model: nn.Module,
        weights: Mapping[str, nn.Parameter],
        rows: Sequence[Row],
        options: LoopOptions,
        out: Path,
        ranks: Ranks = Ranks(),  # noqa: B008 (frozen)
    ) -> None:
        super().__init__(model, weights, rows, options, out, ranks)
        self._rows = rows

    def loss_of(self, numbers: list[int]) -> BatchLoss:
        """See BaseLoop."""
        rows = [self._rows[number] for number in numbers]
        pairs = [pair for row in rows for pair in row.pairs]
        logits = score(self.model, pairs)  # (S, 2)
        flags = [flag for row in rows for flag in row.answers]
        answers = logits.new_tensor([float(bool(flag)) for flag in flags])  # (S,)
        known = logits.new_tensor([float(flag is not None) for flag in flags])  # (S,)
        weight = logits.new_tensor(_POSITIVE_WEIGHT)
        told = F.binary_cross_entropy_with_logits(
            logits[:, 1], answers, known, pos_weight=weight, reduction="sum"
        ) / known.sum().clamp_min(1)
        loss = _ANSWERS_WEIGHT * told
        lists = _lists(rows)
        if lists:
            loss = loss + _listwise(logits[:, 0], lists)
        return BatchLoss(loss, sum(len(ids) for ids, _ in pairs), len(rows))


def _lists(rows: Sequence[Row]) -> list[range]:
    """Which pairs of the batch each row with a gold passage ranks, the gold one first."""
    found, first = [], 0
    for row in rows:
        if row.ranked:
            found.append(range(first, first + row.ranked))
        first += len(row.pairs)
    return found


def _listwise(scores: Tensor, lists: Sequence[range]) -> Tensor:
    """Mean over L lists of -log softmax of their first score; scores (S,)."""
    width = max(map(len, lists))
    places = torch.tensor([[*some, *[some[0]] * (width - len(some))] for some in lists])  # (L, W)
    absent = torch.arange(width)[None] >= torch.tensor([len(some) for some in lists])[:, None]  # (L, W)
    ranked = scores[places.to(scores.device)].masked_fill(absent.to(scores.device), -torch.inf)  # (L, W)
    return -F.log_softmax(ranked, dim=1)[:, 0].mean()


@dataclass(frozen=True, slots=True)
class RerankerOptions:
    """What to train, on which mined groups, and how. ``cloze``: share of the groups asked by a sentence as well."""

    base: Path
    mined: Path
    out: Path
    loop: LoopOptions
    cloze: float = 0.0


def train_reranker(options: RerankerOptions) -> dict[str, Any]:
    """Train, or go on training, and return {out, steps, seconds, tokens, loss, val_loss, dev}.

    Of several processes the first measures; to the others val_loss is None. Raises InvalidInput for base, data, or a
    folder that holds another run, TrainingFailed where the run cannot go on.
    """
    ranks = join()
    try:
        return _train(options, ranks)
    finally:
        leave(ranks)


def _train(options: RerankerOptions, ranks: Ranks) -> dict[str, Any]:
    tokenizer = load_tokenizer(options.base)
    model = CrossEncoder(load_bert(options.base), options.loop.seed)
    model.to(options.loop.device)
    draw = random.Random(options.loop.seed)
    rows = [to_row(group, tokenizer, draw) for group in training_groups(options, draw)]
    dev = read_groups(options.mined / DEV_FILE)[:DEV_GROUPS]
    loop = RerankerLoop(model, trained_weights(model), rows, options.loop, options.out, ranks)
    base = sha256_of_weights(model.bert)
    settings = {"loop": asdict(options.loop), "negatives": NEGATIVES, "longest": LONGEST, "base_sha256": base}

    def measure() -> dict[str, Any]:
        save_trained(model, options.out)
        (options.out / SETTINGS_FILE).write_text(json.dumps(settings, indent=1) + "\n", "utf-8")
        figures = measure_dev(model, dev, tokenizer)
        log.info("step %d: %s", loop.progress.step, json.dumps(figures))
        return figures

    log.info("%d groups, %d dev groups", len(rows), len(dev))
    fixed = {name: value for name, value in asdict(options.loop).items() if "minutes" not in name}
    run = identity({**fixed, "base": base, "world": ranks.world}, rows)
    progress = loop.run(run, measure)
    return outcome(options.out, progress)


def training_groups(options: RerankerOptions, draw: random.Random) -> list[Group]:
    """The mined groups, those of claims where they were made, and a share of both asked by a sentence as well."""
    groups = read_groups(options.mined / TRAIN_FILE)
    if (options.mined / CLAIMS_FILE).is_file():
        groups += read_groups(options.mined / CLAIMS_FILE)
    asked = [made for group in groups if draw.random() < options.cloze and (made := cloze(group, draw)) is not None]
    log.info("%d groups, %d asked by a sentence", len(groups), len(asked))
    return groups + asked


def score(model: nn.Module, pairs: Sequence[tuple[Sequence[int], int]]) -> Tensor:
    """Logits (S, 2) of pairs as `pair_ids` makes them, in their order."""
    parts, places = [], []
    for some, inputs in batches_of_pairs(pairs, next(model.parameters()).device.type):
        with in_bf16(inputs["input_ids"].device.type):
            parts.append(model(**inputs))
        places.append(some)
    return in_order(parts, places)


def batches_of_pairs(
    pairs: Sequence[tuple[Sequence[int], int]], device: str
) -> Iterator[tuple[list[int], dict[str, Tensor]]]:
    """Numbers of pairs of about equal length, and the model's inputs (S, T) of them, on ``device``."""
    for some in by_length([ids for ids, _ in pairs], _SIDE_BY_SIDE if device == "cpu" else _ON_DEVICE):
        inputs = padded([pairs[n][0] for n in some], [pairs[n][1] for n in some])
        yield some, {name: value.to(device) for name, value in inputs.items()}


@torch.inference_mode()
def measure_dev(model: nn.Module, groups: Sequence[Group], tokenizer: Tokenizer) -> dict[str, Any]:
    """val_loss (listwise, nats), MRR of the gold passage among the mined ones, and the AUROC of "answers" for telling
    a gold passage from one that lacks the answer."""
    losses, ranks = [], []
    right: list[float] = []
    wrong: list[float] = []
    for group in groups:
        gold = [group.positive] if group.positive else []
        texts = [*gold, *group.negatives, *group.lacking]
        pairs = [pair_ids(tokenizer, group.question, text, MAX_TOKENS) for text in texts]
        logits = score(model, pairs).cpu()  # (S, 2)
        if gold:
            ranked = logits[: 1 + len(group.negatives), 0]
            losses.append(float(F.cross_entropy(ranked[None], torch.zeros(1, dtype=torch.long))))
            ranks.append(1 + int((ranked[1:] >= ranked[0]).sum()))
            right.append(float(logits[0, 1]))
        wrong += logits[len(gold) + len(group.negatives) :, 1].tolist()
    return {
        "val_loss": round(sum(losses) / max(1, len(losses)), 5),
        "mrr": mean_reciprocal_rank(ranks),
        "answers_auroc": auroc(right, wrong),
    }


def option_parser(prog: str | None = None, base: Path | None = None) -> argparse.ArgumentParser:
    """The options of the command line; ``base`` is the default of --base, which has to be given otherwise."""
    parser = argparse.ArgumentParser(prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, required=base is None, default=base, help="folder of minilm-l6")
    parser.add_argument("--mined", type=Path, required=True, help="folder that train.mining wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    for name, value, text in _numbers():
        parser.add_argument(f"--{name}", type=type(value), default=value, help=text)
    parser.add_argument("--device", choices=DEVICES, default=DEVICES[0])
    return parser


def _numbers() -> Iterator[tuple[str, float, str]]:
    yield "minutes", 60.0, "time limit (0: none)"
    yield "steps", 0, "limit in optimizer steps (0: none)"
    yield "lr", 1e-4, "peak learning rate"
    yield "batch-tokens", 4096, "padded tokens of a batch"
    yield "accumulate", 2, "batches of a step"
    yield "seed", 0, "order of the groups and start of the head"
    yield "measure-minutes", 15.0, "time between two measurements"
    yield "cloze", 0.0, "share of the groups asked by a sentence of their passage as well"


def to_loop(given: argparse.Namespace) -> LoopOptions:
    """How to train, of parsed options. Raises InvalidInput for values that no run can have."""
    return LoopOptions(
        steps=given.steps,
        minutes=given.minutes,
        seed=given.seed,
        lr=given.lr,
        weight_decay=0.01,
        warmup=0.06,
        batch_tokens=given.batch_tokens,
        accumulate=given.accumulate,
        measure_minutes=given.measure_minutes,
        device=given.device,
    )


def to_options(given: argparse.Namespace) -> RerankerOptions:
    """What the parsed options say."""
    return RerankerOptions(given.base, given.mined, given.out, to_loop(given), given.cloze)


def main() -> None:
    """Trains, and the first process prints the result as JSON."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    result = train_reranker(to_options(option_parser().parse_args()))
    if result["val_loss"] is not None:
        sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
