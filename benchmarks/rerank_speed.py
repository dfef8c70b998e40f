"""Reranking 30 passages of 200 tokens: ours (OpenVINO, int8, one call) to sentence-transformers' CrossEncoder in fp32.

    python -m benchmarks.rerank_speed --base MODELS/minilm-l6 [--reranker MODELS/answerable-rerank]

Both are given the same pairs, by turns, on the same threads; the best of the rounds counts. Ours reads of each passage
what is nearest to the question (rag/key_sentences.py), and the time to find that is counted; with --whole it reads all,
as the baseline does. Each round has passages of its own, for ours keeps what it has judged. The baseline is a
CrossEncoder of the same shape with two labels over the base's weights: speed does not depend on what was learnt.
Without --reranker an untrained one is made of the base, by the same conversion.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from sentence_transformers import CrossEncoder

from rag.rerank import MAX_TOKENS, READ_TOKENS, OpenVinoReranker
from rag.rerank_export import export_reranker

PASSAGES, SENTENCES, WORDS = 30, 14, 12  # words of one token each, with question and full stops about 200


def main() -> None:
    """Print milliseconds of each and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--reranker", type=Path)
    parser.add_argument("--whole", action="store_true", help="passages are read whole")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of each")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        torch.set_num_threads(given.threads)
        most = MAX_TOKENS if given.whole else READ_TOKENS
        ours = OpenVinoReranker(given.reranker or untrained(given.base, Path(folder)), given.threads, most)
        theirs = CrossEncoder(str(given.base), num_labels=2, max_length=256, device="cpu", local_files_only=True)
        best = [np.inf, np.inf]
        for number in range(given.rounds):
            best = [min(old, new) for old, new in zip(best, one_round(ours, theirs, number), strict=True)]
    print(f"ours {1000 * best[0]:.0f} ms, CrossEncoder fp32 {1000 * best[1]:.0f} ms, ratio {best[0] / best[1]:.3f}")


def one_round(ours: OpenVinoReranker, theirs: CrossEncoder, number: int) -> tuple[float, float]:
    """Seconds that each takes for the passages of round ``number``."""
    question, passages = texts(number)
    pairs = [(question, passage) for passage in passages]
    return (
        timed(lambda: ours.logits(question, passages)),
        timed(lambda: theirs.predict(pairs, batch_size=PASSAGES, show_progress_bar=False)),
    )


def texts(seed: int) -> tuple[str, list[str]]:
    """A question of twelve tokens and passages of sentences of plain words."""
    words = "the heater switches on below three degrees and draws nine watts from its battery all winter".split()
    draw = np.random.default_rng(seed)
    drawn = draw.choice(words, (PASSAGES, SENTENCES, WORDS))
    passages = [" ".join(" ".join(sentence).capitalize() + "." for sentence in passage) for passage in drawn]
    return "how long does the battery of the heater last in winter?", passages


def untrained(base: Path, folder: Path) -> Path:
    """A reranker with the base's weights and a head of noise."""
    weights = load_file(base / "model.safetensors")
    layers = {f"bert.{name}": value for name, value in weights.items() if name.startswith("encoder.")}
    width = weights["encoder.layer.0.output.dense.bias"].shape[0]
    head = np.random.default_rng(0).normal(size=(2, 2 * width)).astype(np.float16)
    trained = folder / "adapter_model.safetensors"
    save_file(layers | {"head.weight": head, "head.bias": np.zeros(2, dtype=np.float16)}, trained)
    (folder / "out").mkdir()
    export_reranker(base, trained, folder / "out", "untrained")
    return folder / "out"


def timed(work: Callable[[], object]) -> float:
    """Seconds."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
