"""How often the int8 graph writes what torch writes, and how fast, for the shipped settings and for faster ones.

    python -m benchmarks.parity FILE [--limit N] [--model NAME]       FILE: a qa file, its questions and own passages

Greedy, up to 32 new tokens, against torch in fp32 of the same model. For each setting: prompts whose tokens are all
equal, the largest difference in probability at a first differing token, and tokens a second of reading and of writing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lm.config import read_config
from lm.engine import INT8_FOLDER, Engine
from lm.openvino_engine import OpenVinoEngine
from lm.tokenizer import Tokenizer
from lm.torch_engine import TorchEngine
from rag.datafiles import QaRow, read_qa
from rag.prompt import build_prompt
from rag.settings import load_settings
from rag.types import Passage, Question
from rag.weights import require

NEW_TOKENS = 32
MOST_TOKENS = 600  # longer prompts are left out
SETTINGS: dict[str, dict[str, Any]] = {
    "shipped": {},
    "f32": {"INFERENCE_PRECISION_HINT": "f32"},
    "bf16": {"INFERENCE_PRECISION_HINT": "bf16", "KV_CACHE_PRECISION": "bf16"},
    "bf16, keys and values in u8": {"INFERENCE_PRECISION_HINT": "bf16", "KV_CACHE_PRECISION": "u8"},
}


@dataclass(frozen=True, slots=True)
class Written:
    """What an engine wrote: each token and the probabilities (V,) it was chosen from; seconds of reading, writing."""

    tokens: tuple[int, ...]
    probabilities: tuple[Any, ...]
    read_s: float
    write_s: float


def main() -> None:
    """Write with torch once, then with each setting, and print a line a setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--model", default="")
    arguments = parser.parse_args()
    settings = load_settings()
    folder = require(settings.home, arguments.model or settings.generator)
    tokenizer = Tokenizer.load(folder)
    prompts = make_prompts(read_qa(arguments.file), tokenizer, arguments.limit)
    torch_engine = TorchEngine(folder, "cpu", "float32")
    expected = [write(torch_engine, prompt, tokenizer.stop_ids) for prompt in prompts]
    report("torch fp32", prompts, expected, expected)
    for name, changed in SETTINGS.items():
        engine = OpenVinoEngine(folder / INT8_FOLDER, read_config(folder), changed)
        report(name, prompts, expected, [write(engine, prompt, tokenizer.stop_ids) for prompt in prompts])


def make_prompts(rows: Sequence[QaRow], tokenizer: Tokenizer, limit: int) -> list[list[int]]:
    """The prompts of the first ``limit`` rows that are short enough, in the product's own form."""
    prompts = []
    for row in rows:
        passages = [Passage(0, "", p.title, "", 0, len(p.text), p.text, p.title) for p in row.passages]
        prompt = build_prompt(
            Question(row.question), passages, MOST_TOKENS, lambda ts: [tokenizer.count(t) for t in ts]
        )
        ids = tokenizer.chat(prompt.messages)
        if len(ids) <= MOST_TOKENS:
            prompts.append(ids)
        if len(prompts) == limit:
            break
    return prompts


def write(engine: Engine, prompt: Sequence[int], stop_ids: frozenset[int]) -> Written:
    """Greedy decoding that keeps the probabilities; the stop token is written too, so that lengths count."""
    tokens: list[int] = []
    chosen_from = []
    with engine.session(len(prompt) + NEW_TOKENS) as session:
        started = time.perf_counter()
        logits = session.feed(prompt)  # (V,)
        read_s = time.perf_counter() - started
        started = time.perf_counter()
        for _ in range(NEW_TOKENS):
            shifted = np.exp(logits - logits.max(), dtype=np.float64)
            chosen_from.append((shifted / shifted.sum()).astype(np.float32))
            tokens.append(int(logits.argmax()))
            if tokens[-1] in stop_ids:
                break
            logits = session.feed((tokens[-1],))
    return Written(tuple(tokens), tuple(chosen_from), read_s, time.perf_counter() - started)


def report(name: str, prompts: Sequence[Sequence[int]], expected: Sequence[Written], found: Sequence[Written]) -> None:
    """One line: equal prompts, widest first difference, speeds."""
    gaps = [gap for one, other in zip(expected, found, strict=True) if (gap := first_gap(one, other)) is not None]
    reading = sum(map(len, prompts)) / sum(each.read_s for each in found)
    writing = sum(len(each.tokens) for each in found) / sum(each.write_s for each in found)
    print(
        f"{name:27} equal {len(found) - len(gaps)} of {len(found)}  widest gap {max(gaps, default=0.0):.3f}  "
        f"reads {reading:.0f}  writes {writing:.0f} tokens/s",
        flush=True,
    )


def first_gap(expected: Written, found: Written) -> float | None:
    """How much more probable torch's token was to torch than the other one, where they part; None: they do not."""
    for place, (mine, other) in enumerate(zip(expected.tokens, found.tokens, strict=False)):
        if mine != other:
            probabilities = expected.probabilities[place]
            return float(probabilities[mine] - probabilities[other])
    return None


if __name__ == "__main__":
    main()
