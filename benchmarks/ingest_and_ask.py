"""Ingest throughput and one-question latency, as ratios to a plain script, in one run.

    python -m benchmarks.ingest_and_ask FOLDER [--limit FILES] [--questions N]

Baseline: sentence-transformers in fp32 and a flat FAISS index, batches of 32, over the very chunks that our ingest made
(handed to it ready, so it pays for no parsing, no database and no full-text index); its answer is written by
transformers' generate in fp32 from the very prompt that ours reads. Both use the same weights and the same two calls
are timed on each side. Rounds alternate between the two, and the best round of each counts, so that a noisy neighbour
hits both alike.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import faiss

from benchmarks.answers import GENERATOR_ONLY
from benchmarks.real_documents import make_questions
from ingest.build import build_ingester
from rag.build import ENCODER, Search, build_pipeline, build_search
from rag.generate import LocalGenerator
from rag.pipeline import NEVER, Pipeline
from rag.prompt import build_prompt
from rag.settings import Settings, load_settings
from rag.types import Question

ROUNDS = 3


def main() -> None:
    """Run the benchmark and print its figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=120, help="files of the folder, in name order")
    parser.add_argument(
        "--questions", type=int, default=8, help="made of headings, nothing refused before it is answered"
    )
    arguments = parser.parse_args()
    files = sorted(path for path in arguments.folder.rglob("*") if path.is_file())[: arguments.limit]
    settings = load_settings()
    baseline = load_baseline(settings)
    ours, theirs = [], []
    for round_number in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            scratch = settings.model_copy(update={"database_url": f"sqlite:///{folder}/rows.db", "index_url": folder})
            search = build_search(scratch)
            search.encoder.encode(["warm"])
            report = build_ingester(scratch, search).ingest_paths(files, "bench")
            ours.append(report.chunks / report.seconds)
            texts = chunk_texts(search)
            index, seconds = timed(embed_plain, baseline, texts)
            theirs.append(len(texts) / seconds)
            if round_number == ROUNDS - 1:
                pipeline = replace(build_pipeline(scratch, search), policy=replace(GENERATOR_ONLY, refuse_at=NEVER))
                questions = make_questions(search, "bench", arguments.questions)
                latency = compare_latency(pipeline, baseline, index, questions)
    result = {
        "files": len(files),
        "chunks": len(texts),
        "ingest_chunks_per_second": {"ours": max(ours), "baseline": max(theirs), "ratio": max(ours) / max(theirs)},
        **latency,
    }
    print(json.dumps(result, indent=2))


def load_baseline(settings: Settings) -> dict[str, Any]:
    """The same weights through sentence-transformers and transformers, fp32."""
    from sentence_transformers import SentenceTransformer
    from transformers import AutoModelForCausalLM

    encoder = SentenceTransformer(str(settings.models_folder / ENCODER), device="cpu")
    generator = AutoModelForCausalLM.from_pretrained(settings.models_folder / settings.generator, dtype="float32")
    return {"encoder": encoder, "generator": generator.eval()}


def chunk_texts(search: Search) -> list[str]:
    """What our encoder read of every chunk: heading and text."""
    collection = search.store.collections.get("bench")
    return [f"{heading}\n{text}" for batch in search.store.chunks.texts(collection) for _, heading, text in batch]


def embed_plain(baseline: dict[str, Any], texts: list[str]) -> Any:
    """A flat index over fp32 vectors, as a first script would make it."""
    vectors = baseline["encoder"].encode(texts, batch_size=32, normalize_embeddings=True, show_progress_bar=False)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return index


def compare_latency(pipeline: Pipeline, baseline: dict[str, Any], index: Any, questions: list[str]) -> dict[str, Any]:
    """Median milliseconds to find passages, and to answer from them, on each side."""
    generator = pipeline.generator
    assert isinstance(generator, LocalGenerator)
    search_ours, search_theirs, answer_ours, answer_theirs = [], [], [], []
    collection = pipeline.retriever.store.collections.get("bench")
    for text in questions:
        question = Question(text, "bench", top_k=3)
        hits, seconds = timed(pipeline.retriever.search, text, collection, 3)
        search_ours.append(seconds)
        _, seconds = timed(search_plain, baseline, index, text)
        search_theirs.append(seconds)
        passages = [hit.passage for hit in hits]
        answer, seconds = timed(pipeline.answer, question)
        answer_ours.append(seconds)
        limits = pipeline.limits
        prompt = build_prompt(question, passages, limits.passage_tokens, pipeline.generator.count_tokens)
        ids = generator.prompt_ids(prompt)
        new_tokens = max(1, answer.usage.completion_tokens)
        _, seconds = timed(generate_plain, baseline, ids, new_tokens)
        answer_theirs.append(seconds)
    return {
        "search_ms": ratio(search_ours, search_theirs),
        "answer_ms": ratio(answer_ours, answer_theirs),
        "note": "our answer includes search and verification; the baseline's is generation alone, as many tokens",
    }


def search_plain(baseline: dict[str, Any], index: Any, text: str) -> Any:
    """The three nearest chunks by cosine."""
    vector = baseline["encoder"].encode([text], normalize_embeddings=True, show_progress_bar=False)  # (1, D)
    return index.search(vector, 3)


def generate_plain(baseline: dict[str, Any], ids: list[int], new_tokens: int) -> Any:
    """Greedy decoding of exactly ``new_tokens`` tokens by transformers."""
    import torch

    with torch.inference_mode():
        prompt = torch.tensor([ids])
        return baseline["generator"].generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=new_tokens, min_new_tokens=new_tokens,
            do_sample=False, pad_token_id=0,
        )  # fmt: skip


def ratio(ours: list[float], baseline: list[float]) -> dict[str, float]:
    """Medians in milliseconds, and how many times faster ours is."""
    mine, theirs = statistics.median(ours) * 1000, statistics.median(baseline) * 1000
    return {"ours": mine, "baseline": theirs, "ratio": theirs / mine}


def timed(work: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """What ``work`` returns, and how many seconds it took."""
    started = time.perf_counter()
    result = work(*arguments)
    return result, time.perf_counter() - started


if __name__ == "__main__":
    main()
