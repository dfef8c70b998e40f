"""How fast answers are written: our engine beside llama.cpp on the same weights, one after another in one run.

    python -m benchmarks.generate FILE [--model NAME] [--prompts 50] [--threads 2]      FILE: a qa file

Prompts are the product's own, of 500 to 1,000 tokens: a question, its passage and passages of the questions after it,
as many as it takes; up to 48 new tokens, greedy, the answer ends where it ends. llama.cpp (the package xllamacpp) reads
exported GGUF files, Q8_0 and Q4_1, over its own server, without a prompt cache. Then batches of 8 against one at a
time, and the floors: multiplications of the prompts at this machine's bf16 speed, weights read once a new token.
Printed are ratios; times of other runs are not comparable.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import httpx
import torch
import xllamacpp

from lm.batch import greedy_batch
from lm.config import DecoderConfig, read_config
from lm.engine import INT8_FOLDER, Engine, load_engine
from lm.export_gguf import export_gguf
from lm.lookup import greedy_lookup
from lm.openvino_engine import WEIGHTS_FILE
from lm.tokenizer import Tokenizer
from rag.datafiles import QaRow, SourceText, read_qa
from rag.prompt import build_prompt
from rag.settings import load_settings
from rag.types import Passage, Question
from rag.weights import require

SHORTEST, LONGEST, NEW_TOKENS, BATCH = 500, 1000, 48, 8
QUANTS = ("q8_0", "q4_1")


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds over all prompts, and the tokens written."""

    seconds: float
    tokens: int


def main() -> None:
    """Measure each way and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--model", default="")
    parser.add_argument("--prompts", type=int, default=50)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 2)
    arguments = parser.parse_args()
    settings = load_settings()
    folder = require(settings.home, arguments.model or settings.generator)
    tokenizer = Tokenizer.load(folder)
    prompts = list(islice(long_prompts(read_qa(arguments.file), tokenizer), arguments.prompts))
    read = sum(map(len, prompts))
    print(f"{len(prompts)} prompts of {min(map(len, prompts))} to {max(map(len, prompts))} tokens, {read} in all")
    engine = load_engine(folder, "cpu", arguments.threads)
    ours = timed(lambda: sum(1 for prompt in prompts for _ in written(engine, prompt, tokenizer)))
    theirs = {quant: llama(folder, quant, prompts, arguments.threads) for quant in QUANTS}
    for quant, each in theirs.items():
        ratio = ours.seconds / each.seconds
        print(f"llama.cpp {quant}: {each.seconds:.1f} s, {each.tokens} tokens; ours : theirs {ratio:.2f}")
    print(f"ours: {ours.seconds:.1f} s, {ours.tokens} tokens")
    report_batches(engine, prompts)
    report_floors(folder, read_config(folder), read, ours)


def long_prompts(rows: Sequence[QaRow], tokenizer: Tokenizer) -> Iterator[list[int]]:
    """Prompts of SHORTEST to LONGEST tokens, each question with its own passages and those of the rows after it."""

    def count(texts: Sequence[str]) -> list[int]:
        return [tokenizer.count(text) for text in texts]

    for number, row in enumerate(rows):
        passages = [as_passage(source) for source in row.passages]
        for other in rows[number + 1 : number + 20]:
            prompt = build_prompt(Question(row.question), passages, LONGEST, count)
            ids = tokenizer.chat(prompt.messages)
            if SHORTEST <= len(ids) <= LONGEST:
                yield ids
                break
            passages += [as_passage(source) for source in other.passages]


def as_passage(source: SourceText) -> Passage:
    """A passage of no stored document."""
    return Passage(0, "", source.title, "", 0, len(source.text), source.text, source.title)


def written(engine: Engine, prompt: Sequence[int], tokenizer: Tokenizer) -> Iterator[int]:
    """Tokens of the answer, as the product writes them."""
    for step in greedy_lookup(engine, prompt, NEW_TOKENS, tokenizer.stop_ids):
        yield step.token


def timed(work: Callable[[], int]) -> Timed:
    """What ``work``, which returns the tokens it wrote, takes."""
    started = time.perf_counter()
    tokens = work()
    return Timed(time.perf_counter() - started, tokens)


def llama(folder: Path, quant: str, prompts: Sequence[list[int]], threads: int) -> Timed:
    """llama.cpp on the same weights."""
    with tempfile.TemporaryDirectory() as out, llama_server(export_gguf(folder, Path(out), quant), threads) as client:

        def complete(prompt: list[int]) -> int:
            asked = {"prompt": prompt, "n_predict": NEW_TOKENS, "temperature": 0, "cache_prompt": False}
            answer = client.post("/completion", json=asked).raise_for_status().json()
            return int(answer["tokens_predicted"])

        complete(prompts[0])
        return timed(lambda: sum(map(complete, prompts)))


@contextmanager
def llama_server(path: Path, threads: int) -> Iterator[httpx.Client]:
    """llama.cpp's server over the file."""
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx, params.n_parallel, params.verbosity, params.warmup = 2048, 1, 0, True
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(params)
    with httpx.Client(base_url=server.listening_address, timeout=600) as client:
        yield client
    del server  # stops it


def report_batches(engine: Engine, prompts: Sequence[list[int]]) -> None:
    """Answers of a fixed length, so that what is compared is the same: one at a time, and BATCH side by side."""
    some = sorted(prompts, key=len)[: len(prompts) // BATCH * BATCH][: 3 * BATCH]
    for count, what in ((1, "prompts read alone"), (NEW_TOKENS, f"and {NEW_TOKENS} tokens written to each")):
        one = timed(lambda: sum(1 for p in some for _ in greedy_batch(engine, [p], count, frozenset())))  # noqa: B023
        groups = [some[start : start + BATCH] for start in range(0, len(some), BATCH)]
        side = timed(lambda: sum(1 for g in groups for _ in greedy_batch(engine, g, count, frozenset())))  # noqa: B023
        print(f"batch of {BATCH}, {what}: {side.tokens / side.seconds / (one.tokens / one.seconds):.2f} times as fast")
        if count == 1:
            reading_one, reading_side = one.seconds, side.seconds
    writing = (one.seconds - reading_one) / (side.seconds - reading_side)
    print(f"batch of {BATCH}, writing alone: {writing:.2f} times as fast")


def report_floors(folder: Path, config: DecoderConfig, read: int, ours: Timed) -> None:
    """The time that multiplications and memory reads alone would take, as a share of ours."""
    multiplied = (
        config.num_hidden_layers
        * config.hidden_size
        * (
            2 * config.head_dim * (config.num_attention_heads + config.num_key_value_heads)
            + 3 * config.intermediate_size
        )
    )
    reading = 2 * multiplied * read / flops()
    writing = ours.tokens * (folder / INT8_FOLDER / WEIGHTS_FILE).stat().st_size / memory_speed()
    print(f"floors as shares of ours: reading {reading / ours.seconds:.2f}, writing {writing / ours.seconds:.2f}")


def flops() -> float:
    """Operations a second of a bf16 product of the decoder's shape, the best of five."""
    left, right = torch.randn(2048, 576).bfloat16(), torch.randn(576, 1536).bfloat16()
    best = min(timed(lambda: int((left @ right).shape[0])).seconds for _ in range(5))
    return 2 * 2048 * 576 * 1536 / best


def memory_speed() -> float:
    """Bytes a second of a sum over memory that no cache holds, the best of five."""
    numbers = torch.zeros(256 * 2**20, dtype=torch.int8).view(torch.int64)
    best = min(timed(lambda: int(numbers.sum())).seconds for _ in range(5))
    return 256 * 2**20 / best


if __name__ == "__main__":
    main()
