"""What the generator's weights cost in each precision: size, speed, and F1 of its answers.

    python -m benchmarks.compression QA_DEV_FOLDER [--limit 100] [--model NAME]

Greedy answers of the generator alone, no retrieval, check or refusal threshold, to the first ``--limit`` answerable
questions of squad2 and of nq_oracle that fit into 600 tokens with their own passage; F1 as SQuAD has it. torch runs the
checkpoint in fp32 and bf16; OpenVINO the exported graphs, as served (prompts read in bf16 where the processor can) and
from weights in fp32, int8 and int4. Speeds are of this run and machine: take their ratios.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.parity import Written, make_prompts, write
from lm.config import read_config
from lm.engine import Engine
from lm.export import export_openvino
from lm.openvino_engine import OpenVinoEngine
from lm.tokenizer import Tokenizer
from lm.torch_engine import TorchEngine
from rag.answers import token_f1
from rag.datafiles import QaRow, read_qa
from rag.prompt import parse_answer
from rag.settings import load_settings
from rag.weights import require
from train.sources import question_file

FILES = ("squad2", "nq_oracle")
F32: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
BF16: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "bf16", "KV_CACHE_PRECISION": "bf16"}
GRAPHS = {
    "OpenVINO fp32": ("float32", F32),
    "OpenVINO bf16": ("float32", BF16),
    "OpenVINO int8, as served": ("int8", {}),
    "OpenVINO int4": ("int4", {}),
}


def main() -> None:
    """Print a line a precision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of the dev question files")
    parser.add_argument("--limit", type=int, default=100, help="questions of each file")
    parser.add_argument("--model", default="", help="a generator of HOME/models; the settings' otherwise")
    given = parser.parse_args()
    settings = load_settings()
    model = require(settings.home, given.model or settings.generator)
    tokenizer = Tokenizer.load(model)
    rows = {name: _rows(given.folder, name, tokenizer, given.limit) for name in FILES}
    print("| weights | MB | reads, tokens/s | writes, tokens/s | " + " | ".join(f"F1 {name}" for name in FILES) + " |")
    print("|---" * (4 + len(FILES)) + "|")
    for name in ("float32", "bfloat16"):
        size = sum(value.stat().st_size for value in model.glob("*.safetensors")) * (2 if name == "float32" else 1)
        _line(f"torch {name}", size, TorchEngine(model, "cpu", name), rows, tokenizer)
    with tempfile.TemporaryDirectory(prefix="answerable-compression-") as scratch:
        for name, (weights, changed) in GRAPHS.items():
            out = Path(scratch) / weights
            if not out.is_dir():
                export_openvino(model, out, weights)
            size = sum(path.stat().st_size for path in out.glob("*.bin"))
            _line(name, size, OpenVinoEngine(out, read_config(model), changed), rows, tokenizer)


def _rows(folder: Path, name: str, tokenizer: Tokenizer, limit: int) -> list[tuple[QaRow, list[int]]]:
    """Answerable questions with their prompts."""
    rows = (row for row in read_qa(question_file(folder, name)) if row.answerable)
    pairs = ((row, prompts[0]) for row in rows if (prompts := make_prompts([row], tokenizer, 1)))
    return list(islice(pairs, limit))


def _line(
    name: str, size: int, engine: Engine, rows: dict[str, list[tuple[QaRow, list[int]]]], tokenizer: Tokenizer
) -> None:
    found = {file: [write(engine, prompt, tokenizer.stop_ids) for _, prompt in some] for file, some in rows.items()}
    every = [one for some in found.values() for one in some]
    tokens_read = sum(len(prompt) for some in rows.values() for _, prompt in some)
    reads = tokens_read / sum(one.read_s for one in every)
    writes = sum(len(one.tokens) for one in every) / sum(one.write_s for one in every)
    scores = [_f1([row for row, _ in rows[file]], found[file], tokenizer) for file in rows]
    cells = [f"{size / 1e6:.0f}", f"{reads:.0f}", f"{writes:.0f}", *(f"{score:.4f}" for score in scores)]
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def _f1(rows: Sequence[QaRow], found: Sequence[Written], tokenizer: Tokenizer) -> float:
    texts = [parse_answer(tokenizer.decode(one.tokens), 1).text for one in found]
    return sum(token_f1(text, row.answers) for row, text in zip(rows, texts, strict=True)) / max(1, len(rows))


if __name__ == "__main__":
    main()
