"""How a generator in training does on questions of the dev files: EM and F1 of its answers, and its refusals.

A small fixed sample, one passage a question, greedy, a few new tokens: enough to see which way a run goes, and not the
figures of `answerable eval qa`, which asks through the whole pipeline.

    python -m train.measure --base MODELS/smollm2-135m --adapter runs/tune-1 --dev qa/dev --rows 500
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from lm.checkpoint import load
from lm.lora import fingerprint, load_adapter
from lm.model import Decoder, KVCache
from lm.tokenizer import Tokenizer
from rag.answers import exact_match, token_f1
from rag.datafiles import QaRow, SourceText, read_qa
from rag.prompt import build_prompt, parse_answer
from rag.types import Passage, Question
from train.batches import PASSAGE_TOKENS, counter
from train.sources import question_file

NEW_TOKENS = 20
_FILES = ("nq_oracle", "squad2", "boolq")
_LONGEST = 1000
_BATCH, _BATCH_ON_DEVICE = 8, 128


@dataclass(frozen=True, slots=True)
class DevRow:
    """A question to measure on, with its prompt."""

    row: QaRow
    prompt: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DevScores:
    """``em`` and ``f1`` of the answerable questions (a refusal scores 0); precision, recall and F1 of refusing."""

    n: int
    em: float
    f1: float
    by_dataset: dict[str, float]
    refusal_precision: float
    refusal_recall: float
    refusal_f1: float


def dev_sample(
    folder: Path, tokenizer: Tokenizer, sizes: dict[str, int], seed: int = 0, longest: int = 230
) -> list[DevRow]:
    """Up to ``sizes[file]`` rows of one passage from each file, half unanswerable if it can be.

    ``longest`` is the most tokens of a prompt. Raises InvalidInput for a file that is missing.
    """
    sample: list[DevRow] = []
    for name, size in sizes.items():
        rows = read_qa(question_file(folder, name))
        random.Random(seed).shuffle(rows)
        kept: dict[bool, list[DevRow]] = {True: [], False: []}
        room = {False: min(size // 2, sum(not row.answerable for row in rows))}
        room[True] = size - room[False]
        for row in rows:
            if len(kept[row.answerable]) < room[row.answerable] and len(row.passages) == 1:
                prompt = prompt_of(row, tokenizer)
                if len(prompt) <= longest:
                    kept[row.answerable].append(DevRow(row, prompt))
        sample += kept[True] + kept[False]
    return sorted(sample, key=lambda one: (len(one.prompt), one.row.id))


def prompt_of(row: QaRow, tokenizer: Tokenizer) -> tuple[int, ...]:
    """The prompt of a row over its own passages."""
    passages = [_passage(source) for source in row.passages]
    question = Question(row.question, history=row.history)
    prompt = build_prompt(question, passages, PASSAGE_TOKENS, counter(tokenizer))
    return tuple(tokenizer.chat(prompt.messages))


@torch.inference_mode()
def answer_all(
    model: Decoder, prompts: Sequence[Sequence[int]], tokenizer: Tokenizer, never_first: int | None = None
) -> list[str]:
    """Greedy answers, at most NEW_TOKENS tokens each, in the order of ``prompts``; none begins with ``never_first``."""
    answers: list[str] = []
    size = _BATCH if model.lm_head.weight.device.type == "cpu" else _BATCH_ON_DEVICE
    for start in range(0, len(prompts), size):
        answers += _answer_batch(model, prompts[start : start + size], tokenizer, never_first)
    return answers


def _answer_batch(
    model: Decoder, prompts: Sequence[Sequence[int]], tokenizer: Tokenizer, never_first: int | None
) -> list[str]:
    length, device = max(map(len, prompts)), model.lm_head.weight.device
    ids = torch.tensor([[0] * (length - len(prompt)) + list(prompt) for prompt in prompts], device=device)  # (B, T)
    held = [[False] * (length - len(prompt)) + [True] * len(prompt) for prompt in prompts]
    mask = torch.tensor(held, device=device)  # (B, T)
    cache = KVCache(model.config, length + NEW_TOKENS, len(prompts), like=model.lm_head.weight)
    stops = torch.tensor(sorted(tokenizer.stop_ids), device=device)
    written: list[torch.Tensor] = []
    done = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    new = ids
    while len(written) < NEW_TOKENS and not bool(done.all()):
        logits = model(new, mask, cache, at=torch.tensor([new.shape[1] - 1], device=device))  # (B, 1, V)
        if never_first is not None and not written:
            logits[..., never_first] = -torch.inf
        new = logits.argmax(-1)  # (B, 1)
        done |= torch.isin(new[:, 0], stops)
        written.append(new[:, 0])
        mask = torch.cat((mask, torch.ones(len(prompts), 1, dtype=torch.bool, device=device)), dim=1)  # (B, P + 1)
    return [_text(row, tokenizer) for row in torch.stack(written, dim=1).tolist()]


def _text(ids: list[int], tokenizer: Tokenizer) -> str:
    end = next((place for place, id in enumerate(ids) if id in tokenizer.stop_ids), len(ids))
    return tokenizer.decode(ids[:end])


def score(sample: Sequence[DevRow], answers: Sequence[str]) -> DevScores:
    """Scores of ``answers``, raw as written, to the questions of ``sample``."""
    exact: list[float] = []
    f1: list[float] = []
    by_dataset: dict[str, list[float]] = {}
    pairs: Counter[tuple[bool, bool]] = Counter()  # (refused, unanswerable)
    for one, written in zip(sample, answers, strict=True):
        parsed = parse_answer(written, len(one.row.passages))
        pairs[parsed.refused, not one.row.answerable] += 1
        if one.row.answerable:
            exact.append(exact_match(parsed.text, one.row.answers))
            f1.append(token_f1(parsed.text, one.row.answers))
            by_dataset.setdefault(one.row.dataset, []).append(f1[-1])
    refused, unanswerable = pairs[True, True] + pairs[True, False], pairs[True, True] + pairs[False, True]
    return DevScores(
        n=len(sample),
        em=_mean(exact),
        f1=_mean(f1),
        by_dataset={name: _mean(values) for name, values in sorted(by_dataset.items())},
        refusal_precision=pairs[True, True] / max(1, refused),
        refusal_recall=pairs[True, True] / max(1, unanswerable),
        refusal_f1=2 * pairs[True, True] / max(1, refused + unanswerable),
    )


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / max(1, len(values)), 4)


def _passage(source: SourceText) -> Passage:
    return Passage(0, "dev", source.title, "dev", 0, len(source.text), source.text, source.title)


def main() -> None:
    """Prints the scores of one adapter as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, required=True, help="folder of the base checkpoint")
    parser.add_argument("--adapter", type=Path, required=True, help="folder of the adapter")
    parser.add_argument("--dev", type=Path, required=True, help="folder of question files to measure on")
    parser.add_argument("--rows", type=int, default=100, help="most questions of each of " + ", ".join(_FILES))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args()
    model, tokenizer = load(options.base), Tokenizer.load(options.base)
    load_adapter(model, options.adapter, fingerprint(model))
    model = model.bfloat16().to(options.device)
    model.tie()
    sample = dev_sample(options.dev, tokenizer, dict.fromkeys(_FILES, options.rows), longest=_LONGEST)
    scores = score(sample, answer_all(model, [one.prompt for one in sample], tokenizer))
    sys.stdout.write(json.dumps(asdict(scores)) + "\n")


if __name__ == "__main__":
    main()
