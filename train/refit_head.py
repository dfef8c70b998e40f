"""Give a reranker whose head reads all last states the head of lm/cross_encoder.py, without training it again.

    python -m train.refit_head --base MODELS/minilm-l6 --trained answerable-rerank-v0.1/adapter_model.safetensors \\
        --mined mined --out runs/reranker-first --pairs 20000

The old head read [first last state, mean of last states]; the new one reads the mean of the states before the last
layer. Its weights are the ridge regression of the old logits on what it reads, over mined pairs; all others stay.

OUT gets adapter_model.safetensors; printed is how near the logits come on pairs of dev groups that were not fitted on.
Letters: S pairs, T tokens, C channels, F = 2C + 1 numbers that the head reads, a one for its bias among them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn

from lm.cross_encoder import CrossEncoder, head_inputs, mean_states
from rag.rerank import MAX_TOKENS, pair_ids
from rag.types import InvalidInput
from train.bert import load_bert, load_tokenizer, save_trained
from train.groups import DEV_FILE, TRAIN_FILE, Group, read_groups
from train.reranker import DEV_GROUPS, batches_of_pairs

_RIDGE = 1e-4  # of the mean square of what the head reads
_AT_ONCE = 512  # pairs sorted by length together

log = logging.getLogger(__name__)

Pair = tuple[tuple[int, ...], int]


def refit(base: Path, trained: Path, mined: Path, out: Path, most: int) -> dict[str, Any]:
    """Write the model with its new head to ``out``; figures of the fit. ``most``: pairs to fit on.

    Raises InvalidInput for weights, base or groups that cannot be used, TrainingFailed for a full disk.
    """
    tokenizer, model = load_tokenizer(base), load_with_old_head(base, trained)
    pairs = list(itertools.islice(_pairs(read_groups(mined / TRAIN_FILE), tokenizer), most))
    dev = list(_pairs(read_groups(mined / DEV_FILE)[:DEV_GROUPS], tokenizer))
    head = fit(model, pairs)
    figures = nearness(model, head, dev)
    model.head.load_state_dict(head.state_dict())
    save_trained(model, out)
    return {"fitted_on": len(pairs), "measured_on": len(dev), **figures}


def load_with_old_head(base: Path, trained: Path) -> CrossEncoder:
    """The trained model, with its old head's weights in the place of the new one's. Raises InvalidInput."""
    model = CrossEncoder(load_bert(base)).eval()
    try:
        weights = {name: value.float() for name, value in load_file(trained).items()}
        missing, unknown = model.load_state_dict(weights, strict=False)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise InvalidInput(f"{trained}: not the weights of a reranker on {base} ({error})") from error
    lost = [name for name in missing if not name.startswith("bert.embeddings.")]
    if lost or unknown:
        raise InvalidInput(f"{trained}: not the weights of a reranker on {base}: {(lost + unknown)[:3]}")
    return model


def _pairs(groups: Sequence[Group], tokenizer: Tokenizer) -> Iterator[Pair]:
    for group in groups:
        for text in (group.positive, *group.negatives, *group.lacking):
            if text:
                yield pair_ids(tokenizer, group.question, text, MAX_TOKENS)


@torch.no_grad()
def read_both(model: CrossEncoder, pairs: Sequence[Pair]) -> Iterator[tuple[Tensor, Tensor]]:
    """What the new head reads, (S, 2C), and the old head's logits, (S, 2), of batches of the pairs."""
    for start in range(0, len(pairs), _AT_ONCE):
        for _, inputs in batches_of_pairs(pairs[start : start + _AT_ONCE], "cpu"):
            *_, before, last = model.bert(**inputs, output_hidden_states=True).hidden_states  # each (S, T, C)
            mask = inputs["attention_mask"]
            old = model.head(torch.cat([last[:, 0], mean_states(last, mask)], dim=1))  # (S, 2)
            yield head_inputs(last[:, 0], before, mask), old
        log.info("%d of %d pairs read", min(start + _AT_ONCE, len(pairs)), len(pairs))


def fit(model: CrossEncoder, pairs: Sequence[Pair]) -> nn.Linear:
    """The head that comes nearest to the old logits of the pairs, by least squares in double precision."""
    width = model.head.in_features + 1
    gram, target = torch.zeros(width, width).double(), torch.zeros(width, 2).double()  # (F, F), (F, 2)
    for read, old in read_both(model, pairs):
        seen = torch.cat([read, torch.ones(len(read), 1)], dim=1).double()  # (S, F)
        gram += seen.T @ seen
        target += seen.T @ old.double()
    ridge = _RIDGE * gram.diagonal().mean() * torch.eye(width).double()
    ridge[-1, -1] = 0.0  # the bias may be what it wants
    weights = torch.linalg.solve(gram + ridge, target).float()  # (F, 2)
    head = nn.Linear(width - 1, 2)
    head.load_state_dict({"weight": weights[:-1].T, "bias": weights[-1]})
    return head


@torch.no_grad()
def nearness(model: CrossEncoder, head: nn.Linear, pairs: Sequence[Pair]) -> dict[str, Any]:
    """For both logits: the old one's standard deviation, the root mean square of the change, and their correlation."""
    both = [(old, head(read)) for read, old in read_both(model, pairs)]
    old, new = (torch.cat(part).double() for part in zip(*both, strict=True))  # (S, 2)
    change = (new - old).square().mean(0).sqrt()
    return {
        name: {
            "std": round(float(old[:, place].std()), 4),
            "rms_change": round(float(change[place]), 4),
            "correlation": round(float(torch.corrcoef(torch.stack([old[:, place], new[:, place]]))[0, 1]), 5),
        }
        for place, name in enumerate(("relevant", "answers"))
    }


def main() -> None:
    """Fits, and prints the figures as JSON."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("base", "trained", "mined", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=20_000, help="pairs to fit on, groups in their mined order")
    given = parser.parse_args()
    figures = refit(given.base, given.trained, given.mined, given.out, given.pairs)
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
