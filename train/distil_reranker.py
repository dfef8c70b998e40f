"""Teach the network of lm/cross_encoder.py to say what another reranker says. Resumable, time-limited.

    OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 torchrun --nproc-per-node 2 -m train.distil_reranker \\
        --base MODELS/minilm-l6 --teacher MODELS/answerable-rerank --weights adapter_model.safetensors \\
        --mined mined --out runs/reranker-pruned --minutes 60

The teacher, a reranker as `models pull` makes it, reads the same pairs that train/reranker.py learns from, once; its
logits are kept in OUT/teacher.npy. The loss is the mean square of what is missing to them, each logit in units of the
teacher's standard deviation (Hinton et al., 2015, with logits in place of probabilities). ``--weights`` are what training
begins with: weights of the teacher's, that a network which reads less of a passage has to be brought back with.

OUT gets adapter_model.safetensors (at each measurement), metrics.jsonl, checkpoint.safetensors.
Letters: S pairs, as in train/reranker.py.
"""

from __future__ import annotations

import json
import logging
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import nn

from lm.cross_encoder import CrossEncoder
from rag.rerank import OpenVinoReranker, Reranker, pair_ids
from rag.types import InvalidInput
from train.bert import identity, load_bert, load_tokenizer, save_trained, trained_weights
from train.groups import DEV_FILE, TRAIN_FILE, Group, cloze, read_groups
from train.loop import BatchLoss, LoopOptions, RowLoop, outcome
from train.ranks import Ranks, join, leave
from train.reranker import DEV_GROUPS, LONGEST, asked_texts, measure_dev, run_parser, score, to_loop

TEACHER_FILE = "teacher.npy"
_LOGGED = 500  # groups between two lines of the log

log = logging.getLogger(__name__)

Texts = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class TaughtRow:
    """The pairs of a group, (ids, where the passage begins), and what the teacher says of each."""

    pairs: tuple[tuple[tuple[int, ...], int], ...]
    logits: tuple[tuple[float, ...], ...]

    @property
    def ids(self) -> tuple[int, ...]:
        """All tokens, by which batches are cut."""
        return tuple(token for ids, _ in self.pairs for token in ids)


class DistilLoop(RowLoop):
    """The loop of train/loop.py with the distance to the teacher, in its deviations ``scale`` (2,), as its loss."""

    def __init__(
        self,
        model: nn.Module,
        weights: Mapping[str, nn.Parameter],
        rows: Sequence[TaughtRow],
        options: LoopOptions,
        out: Path,
        ranks: Ranks = Ranks(),  # noqa: B008 (frozen)
    ) -> None:
        super().__init__(model, weights, rows, options, out, ranks)
        self._rows = rows
        self._scale = torch.tensor([logits for row in rows for logits in row.logits]).std(0)  # (2,)

    def loss_of(self, numbers: list[int]) -> BatchLoss:
        """See BaseLoop."""
        rows = [self._rows[number] for number in numbers]
        pairs = [pair for row in rows for pair in row.pairs]
        missing = score(self.model, pairs) - torch.tensor([logits for row in rows for logits in row.logits])  # (S, 2)
        return BatchLoss((missing / self._scale).square().mean(), sum(len(ids) for ids, _ in pairs), len(rows))


@dataclass(frozen=True, slots=True)
class DistilOptions:
    """What to teach by which reranker, on which mined groups, and how. ``cloze`` as in train/reranker.py."""

    base: Path
    teacher: Path
    start: Path
    mined: Path
    out: Path
    loop: LoopOptions
    cloze: float = 0.0


def distil(options: DistilOptions) -> dict[str, Any]:
    """Train, or go on training, and return {out, steps, seconds, tokens, loss, val_loss, dev}.

    Of several processes the first asks the teacher and measures; to the others val_loss is None. Raises InvalidInput
    for base, weights, data, or a folder that holds another run, TrainingFailed where the run cannot go on.
    """
    ranks = join()
    try:
        return _train(options, ranks)
    finally:
        leave(ranks)


def _train(options: DistilOptions, ranks: Ranks) -> dict[str, Any]:
    tokenizer = load_tokenizer(options.base)
    model = load_start(options.base, options.start)
    draw = random.Random(options.loop.seed)
    texts = training_texts(options, draw)
    dev = read_groups(options.mined / DEV_FILE)[:DEV_GROUPS]
    if ranks.first:
        ask_teacher(options, texts)
    ranks.wait()
    rows = taught_rows(texts, np.load(options.out / TEACHER_FILE), tokenizer)
    loop = DistilLoop(model, trained_weights(model), rows, options.loop, options.out, ranks)
    teacher = OpenVinoReranker(options.teacher)

    def measure() -> dict[str, Any]:
        save_trained(model, options.out)
        figures = measure_dev(model, dev, tokenizer) | nearness(model, teacher, dev, tokenizer)
        log.info("step %d: %s", loop.progress.step, json.dumps(figures))
        return figures

    log.info("%d groups of %d pairs, %d dev groups", len(rows), sum(map(len, texts)), len(dev))
    return outcome(options.out, loop.run(identity({"lr": options.loop.lr, "world": ranks.world}, rows), measure))


def training_texts(options: DistilOptions, draw: random.Random) -> list[Texts]:
    """Questions and passages of the mined groups, and after them those of a share that is asked by a sentence."""
    groups = read_groups(options.mined / TRAIN_FILE)
    texts = [asked_texts(group, draw)[0] for group in groups]
    made = [cloze(group, draw) for group in groups if draw.random() < options.cloze]
    return texts + [asked_texts(group, draw)[0] for group in made if group is not None]


def load_start(base: Path, start: Path) -> CrossEncoder:
    """The network with the weights in ``start``. Raises InvalidInput where they do not fit."""
    model = CrossEncoder(load_bert(base))
    try:
        weights = {name: value.float() for name, value in load_file(start).items()}
        missing, unknown = model.load_state_dict(weights, strict=False)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise InvalidInput(f"{start}: not the weights of a reranker on {base} ({error})") from error
    lost = [name for name in missing if not name.startswith("bert.embeddings.")]
    if lost or unknown:
        raise InvalidInput(f"{start}: not the weights of a reranker on {base}: {(lost + unknown)[:3]}")
    return model


def ask_teacher(options: DistilOptions, texts: Sequence[Texts]) -> None:
    """Write the teacher's logits of all pairs, (S, 2), to OUT, unless they are there already."""
    path = options.out / TEACHER_FILE
    if path.is_file():
        return
    options.out.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part.npy")
    np.save(unfinished, logits_of(OpenVinoReranker(options.teacher), texts))
    unfinished.replace(path)


def logits_of(teacher: Reranker, texts: Sequence[Texts]) -> NDArray[np.float32]:
    """What the teacher says of all pairs, (S, 2), in their order."""
    parts = []
    for done, some in enumerate(texts):
        questions = list(dict.fromkeys(question for question, _ in some))
        found = {
            question: iter(teacher.logits(question, [text for asked, text in some if asked == question]))
            for question in questions
        }
        parts += [next(found[question]) for question, _ in some]
        if done % _LOGGED == 0:
            log.info("%d of %d groups read by the teacher", done, len(texts))
    return np.stack(parts)


def taught_rows(texts: Sequence[Texts], logits: NDArray[np.float32], tokenizer: Tokenizer) -> list[TaughtRow]:
    """Groups as rows. Raises InvalidInput for logits of other groups."""
    if len(logits) != sum(map(len, texts)):
        raise InvalidInput(f"{len(logits)} logits in {TEACHER_FILE} for {sum(map(len, texts))} pairs: remove the file")
    rows, said = [], iter(logits.tolist())
    for some in texts:
        pairs = tuple(pair_ids(tokenizer, question, text, LONGEST) for question, text in some)
        rows.append(TaughtRow(pairs, tuple(tuple(next(said)) for _ in some)))
    return rows


@torch.inference_mode()
def nearness(model: nn.Module, teacher: Reranker, dev: Sequence[Group], tokenizer: Tokenizer) -> dict[str, Any]:
    """For both logits: their correlation with the teacher's on the dev groups' pairs."""
    mine, said = [], []
    for group in dev:
        texts = [text for text in (group.positive, *group.negatives, *group.lacking) if text]
        mine.append(score(model, [pair_ids(tokenizer, group.question, text, LONGEST) for text in texts]))
        said.append(torch.from_numpy(teacher.logits(group.question, texts)))
    both = torch.stack([torch.cat(mine), torch.cat(said)])  # (2, S, 2)
    return {
        f"{name}_correlation": round(float(torch.corrcoef(both[:, :, place])[0, 1]), 5)
        for place, name in enumerate(("relevant", "answers"))
    }


def main() -> None:
    """Trains, and the first process prints the result as JSON."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    parser = run_parser(__doc__)
    parser.add_argument("--teacher", type=Path, required=True, help="folder of a reranker that models pull made")
    parser.add_argument("--weights", type=Path, required=True, help="adapter_model.safetensors to begin with")
    parser.add_argument("--cloze", type=float, default=0.0, help="share of the groups asked by a sentence as well")
    given = parser.parse_args()
    result = distil(
        DistilOptions(given.base, given.teacher, given.weights, given.mined, given.out, to_loop(given), given.cloze)
    )
    if result["val_loss"] is not None:
        sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
