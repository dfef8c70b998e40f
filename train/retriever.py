"""Train the retriever: MiniLM tuned so that a question lies nearer to its passage than to those that look alike.

    OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 torchrun --nproc-per-node 2 -m train.retriever --base MODELS/minilm-l6 \\
        --mined mined --out runs/retriever-1 --minutes 40

Multiple negatives ranking (Henderson et al. 2017): the softmax of a question's cosines over all passages of its batch,
its own mined hard negatives among them. A passage that is another question's gold counts as wrong, unless it is the
same text. Word embeddings stay as they are. Everything else (going on after a kill, several processes, files of OUT) is
as in train/reranker.py; the in-batch negatives of a process are its own.

A tuned encoder is shipped only where it beats the base on dev retrieval sets that it was not trained for: compare with
`python -m benchmarks.retrieval_table`, and write the decision into models/answerable-embed/README.md.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import BertModel

from lm.cross_encoder import mean_states
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
from train.groups import DEV_FILE, TRAIN_FILE, Group, read_groups
from train.loop import BatchLoss, LoopOptions, RowLoop, in_bf16, outcome
from train.measure_ranking import mean_reciprocal_rank
from train.ranks import Ranks, join, leave
from train.reranker import DEV_GROUPS, SETTINGS_FILE, RerankerOptions, option_parser, to_options

SCALE = 20.0  # of the cosines in the softmax, sentence-transformers' usual one
NEGATIVES = 2
LONGEST = 192  # tokens
_SIDE_BY_SIDE, _ON_DEVICE = 8, 128  # texts of one pass

log = logging.getLogger(__name__)


class BiEncoder(nn.Module):
    """BERT, the mean of its states, length 1: what rag/encode.py runs."""

    def __init__(self, bert: BertModel):
        super().__init__()
        self.bert = bert

    def forward(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Unit vectors (S, C), fp32."""
        on_cpu = next(self.parameters()).device.type == "cpu"
        places = list(by_length(rows, _SIDE_BY_SIDE if on_cpu else _ON_DEVICE))
        return in_order([self._vectors([rows[number] for number in some]) for some in places], places)

    def _vectors(self, rows: Sequence[Sequence[int]]) -> Tensor:
        device = next(self.parameters()).device
        inputs = {name: value.to(device) for name, value in padded(rows).items()}
        with in_bf16(device.type):
            states = self.bert(**inputs).last_hidden_state  # (S, T, C)
        return F.normalize(mean_states(states.float(), inputs["attention_mask"]), dim=1)


@dataclass(frozen=True, slots=True)
class Row:
    """Tokens of a question, its passage and its negatives."""

    question: tuple[int, ...]
    passages: tuple[tuple[int, ...], ...]

    @property
    def ids(self) -> tuple[int, ...]:
        """All tokens, by which batches are cut."""
        return tuple(token for ids in (self.question, *self.passages) for token in ids)


def to_row(group: Group, tokenizer: Tokenizer, draw: random.Random) -> Row:
    """The group's question and passage with NEGATIVES of its mined passages."""
    few = draw.sample(group.negatives, min(NEGATIVES, len(group.negatives)))
    return Row(text_ids(tokenizer, group.question), tuple(text_ids(tokenizer, text) for text in (group.positive, *few)))


def text_ids(tokenizer: Tokenizer, text: str) -> tuple[int, ...]:
    """Ids of [CLS] text [SEP], at most LONGEST."""
    ids = tokenizer.encode(text, add_special_tokens=True).ids
    return (*ids[: LONGEST - 1], ids[-1])


class RetrieverLoop(RowLoop):
    """The loop of train/loop.py with the contrastive loss."""

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
        passages = [passage for row in rows for passage in row.passages]
        questions = self.model([row.question for row in rows])  # (G, C)
        scores = SCALE * questions @ self.model(passages).T  # (G, P)
        own, place = [], 0
        for row in rows:
            own.append(place)
            place += len(row.passages)
        mine = torch.tensor(own)  # (G,)
        known: dict[tuple[int, ...], int] = {}
        texts = torch.tensor([known.setdefault(passage, len(known)) for passage in passages])  # (P,)
        same = (texts[None] == texts[mine][:, None]) & (torch.arange(place)[None] != mine[:, None])  # (G, P)
        scores = scores.masked_fill(same.to(scores.device), -torch.inf)
        loss = F.cross_entropy(scores, mine.to(scores.device))
        return BatchLoss(loss, sum(len(row.ids) for row in rows), len(rows))


def train_retriever(options: RerankerOptions) -> dict[str, Any]:
    """Train, or go on training, and return {out, steps, seconds, tokens, loss, val_loss, dev}.

    Raises what train_reranker raises.
    """
    ranks = join()
    try:
        return _train(options, ranks)
    finally:
        leave(ranks)


def _train(options: RerankerOptions, ranks: Ranks) -> dict[str, Any]:
    tokenizer = load_tokenizer(options.base)
    model = BiEncoder(load_bert(options.base))
    model.to(options.loop.device)
    draw = random.Random(options.loop.seed)
    groups = [group for group in read_groups(options.mined / TRAIN_FILE) if group.positive]
    rows = [to_row(group, tokenizer, draw) for group in groups]
    dev = [group for group in read_groups(options.mined / DEV_FILE) if group.positive][:DEV_GROUPS]
    loop = RetrieverLoop(model, trained_weights(model), rows, options.loop, options.out, ranks)
    base = sha256_of_weights(model.bert)
    settings = {"loop": asdict(options.loop), "negatives": NEGATIVES, "longest": LONGEST, "base_sha256": base}

    def measure() -> dict[str, Any]:
        save_trained(model, options.out)
        (options.out / SETTINGS_FILE).write_text(json.dumps(settings, indent=1) + "\n", "utf-8")
        figures = measure_dev(model, dev, tokenizer)
        log.info("step %d: %s", loop.progress.step, json.dumps(figures))
        return figures

    log.info("%d rows, %d dev groups", len(rows), len(dev))
    log.info("before: %s", json.dumps(measure_dev(model, dev, tokenizer)) if ranks.first else "")
    fixed = {name: value for name, value in asdict(options.loop).items() if "minutes" not in name}
    progress = loop.run(identity({**fixed, "base": base, "world": ranks.world}, rows), measure)
    return outcome(options.out, progress)


@torch.inference_mode()
def measure_dev(model: nn.Module, groups: Sequence[Group], tokenizer: Tokenizer) -> dict[str, Any]:
    """val_loss (nats) and MRR of the gold passage among the mined ones of its own group."""
    losses, ranks = [], []
    for group in groups:
        question = model([text_ids(tokenizer, group.question)])  # (1, C)
        texts = [text_ids(tokenizer, text) for text in (group.positive, *group.negatives)]
        cosines = (question @ model(texts).T)[0].cpu()  # (P,)
        losses.append(float(F.cross_entropy(SCALE * cosines[None], torch.zeros(1, dtype=torch.long))))
        ranks.append(1 + int((cosines[1:] >= cosines[0]).sum()))
    return {"val_loss": round(sum(losses) / max(1, len(losses)), 5), "mrr": mean_reciprocal_rank(ranks)}


def retriever_parser(*args: Any) -> argparse.ArgumentParser:
    """The reranker's options with this run's defaults: larger batches, for they are the negatives."""
    parser = option_parser(*args)
    parser.description = __doc__
    parser.set_defaults(lr=3e-5, batch_tokens=12288, accumulate=1)
    return parser


def main() -> None:
    """Trains, and the first process prints the result as JSON."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    result = train_retriever(to_options(retriever_parser().parse_args()))
    if result["val_loss"] is not None:
        sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
