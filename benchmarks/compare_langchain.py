"""Our server beside a plain pipeline of LangChain's over the same documents and base model, in one run.

    python -m benchmarks.compare_langchain examples eval/golden/examples.jsonl [--questions 50] [--quant q8_0]

The plain one is what a first script makes: RecursiveCharacterTextSplitter (1,000 characters, 200 of overlap), vectors
of sentence-transformers in fp32, a flat FAISS index, the three nearest chunks in a prompt, and ChatOpenAI on
llama.cpp's own server (package xllamacpp) with the base model that ours was trained from; it verifies nothing. It gets
the text that our readers made of each document, and as many threads. Ours is `answerable serve` as shipped: search by
meaning and words, the best passages reranked, the answer written, read once more and verified, over HTTP.

Each question is put to both, the one first that was second before, so that a busy machine hits both alike. The same
questions are never asked twice. Times are those that the client sees; the ratio is ours to theirs.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import httpx
import numpy as np
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_openai import ChatOpenAI
from langchain_text_splitters import RecursiveCharacterTextSplitter

from answerable_client import Client
from benchmarks.generate import llama_server
from lm.export_gguf import QUANTS, export_gguf
from rag.build import ENCODER, build_store
from rag.datafiles import read_qa
from rag.settings import Settings, load_settings
from rag.weights import require

BASE_MODEL = "smollm2-135m"
CHUNK_CHARS, OVERLAP_CHARS, NEAREST = 1000, 200, 3
START_S = 300.0
PROMPT = ChatPromptTemplate.from_messages(
    [
        ("system", "Answer the question briefly from the context. If it lacks the answer, say that you do not know."),
        ("user", "{context}\n\nQuestion: {question}"),
    ]
)
Ask = Callable[[str], "Seen"]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a client saw of an answer: seconds to its first word (None: a refusal) and to its end, and its length."""

    first: float | None
    whole: float
    tokens: int


def main() -> None:
    """Print the figures of both, and the ratios, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="documents")
    parser.add_argument("file", type=Path, help="a qa file whose questions are asked")
    parser.add_argument("--questions", type=int, default=50)
    parser.add_argument("--quant", choices=QUANTS, default="q8_0", help="of the base model in llama.cpp")
    given = parser.parse_args()
    settings = load_settings()
    asked = list(dict.fromkeys(row.question for row in read_qa(given.file)))[: given.questions + 2]
    with (
        served(settings, given.folder) as (url, texts),
        plain_chain(settings, texts, given.quant) as chain,
        Client(url) as client,
    ):
        by_turns(asked[:2], partial(ask_ours, client), partial(ask_plain, chain))  # warms both up
        seen = by_turns(asked[2:], partial(ask_ours, client), partial(ask_plain, chain))
    print(json.dumps({"documents": len(texts), **report(seen)}, indent=2))


@contextmanager
def served(settings: Settings, folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Our server, its data in a folder of its own, with ``folder`` ingested: its address, and the documents' texts."""
    with tempfile.TemporaryDirectory() as home, socket.socket() as free:
        (Path(home) / "models").symlink_to(settings.models_folder)
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        environment = {**os.environ, "ANSWERABLE_HOME": home}
        command = [sys.executable, "-m", "answerable"]
        subprocess.run([*command, "ingest", str(folder)], env=environment, check=True, stdout=subprocess.DEVNULL)
        store = build_store(settings.model_copy(update={"home": Path(home), "database_url": ""}))
        rows = store.documents.all(store.collections.get("default"))
        texts = [store.documents.get(row.id).text for row in rows]
        store.close()
        with subprocess.Popen([*command, "serve", "--port", str(port)], env=environment) as process:
            try:
                wait_until_ready(f"http://127.0.0.1:{port}", process)
                yield f"http://127.0.0.1:{port}", texts
            finally:
                process.terminate()


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    """Raises RuntimeError for a server that ends, or is not ready in START_S."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/readyz", timeout=START_S).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise RuntimeError(f"{url} did not become ready; its messages are above")


@contextmanager
def plain_chain(settings: Settings, texts: Sequence[str], quant: str) -> Iterator[Runnable[str, Any]]:
    """The plain pipeline over ``texts``: question -> the message that llama.cpp writes."""
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(str(settings.models_folder / ENCODER), device="cpu")
    splitter = RecursiveCharacterTextSplitter(chunk_size=CHUNK_CHARS, chunk_overlap=OVERLAP_CHARS)
    chunks = [chunk for text in texts for chunk in splitter.split_text(text)]
    vectors = encoder.encode(chunks, normalize_embeddings=True, show_progress_bar=False)  # (N, D)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)

    def retrieve(question: str) -> dict[str, str]:
        vector = encoder.encode([question], normalize_embeddings=True, show_progress_bar=False)  # (1, D)
        _, places = index.search(vector, NEAREST)
        return {"context": "\n\n".join(chunks[place] for place in places[0] if place >= 0), "question": question}

    threads = settings.threads or len(os.sched_getaffinity(0))
    base = require(settings.home, BASE_MODEL)
    with tempfile.TemporaryDirectory() as out, llama_server(export_gguf(base, Path(out), quant), threads) as llama:
        model = ChatOpenAI(
            base_url=f"{str(llama.base_url).rstrip('/')}/v1",
            api_key="none",
            model=BASE_MODEL,
            temperature=0,
            max_completion_tokens=settings.max_new_tokens,
            timeout=600,
        )
        yield RunnableLambda(retrieve) | PROMPT | model


def ask_ours(client: Client, question: str) -> Seen:
    """Our answer as its events come."""
    started, first, tokens = time.perf_counter(), None, 0
    for event in client.ask_events(question):
        if first is None and event.token is not None:
            first = time.perf_counter() - started
        if event.answer is not None:
            tokens = event.answer.usage.completion_tokens
    return Seen(first, time.perf_counter() - started, tokens)


def ask_plain(chain: Runnable[str, Any], question: str) -> Seen:
    """The plain pipeline's answer as its words come, at most as long as ours may be."""
    started, first, tokens = time.perf_counter(), None, 0
    for chunk in chain.stream(question):
        tokens += bool(chunk.content)
        if first is None and chunk.content:
            first = time.perf_counter() - started
    return Seen(first, time.perf_counter() - started, tokens)


def by_turns(questions: Sequence[str], ours: Ask, theirs: Ask) -> list[tuple[Seen, Seen]]:
    """Both on each question; who is asked first changes every time."""
    seen = []
    for number, question in enumerate(questions):
        if number % 2:
            second = theirs(question)
            seen.append((ours(question), second))
        else:
            seen.append((ours(question), theirs(question)))
    return seen


def report(seen: Sequence[tuple[Seen, Seen]]) -> dict[str, Any]:
    """Percentiles of both in milliseconds, and ours to theirs; first words of the questions where both wrote some."""
    spoken = [(mine.first, other.first) for mine, other in seen if mine.first is not None and other.first is not None]
    whole = [(mine.whole, other.whole) for mine, other in seen]
    told: dict[str, Any] = {"questions": len(seen), "refused_without_a_word": len(seen) - len(spoken)}
    for name, pairs in (("first_word_ms", spoken), ("answer_ms", whole)):
        for percent in (50, 95):
            mine, other = (1000 * float(np.percentile([pair[side] for pair in pairs], percent)) for side in (0, 1))
            told[f"{name}_p{percent}"] = {"ours": round(mine), "plain": round(other), "ratio": round(mine / other, 2)}
    for side, name in ((0, "ours"), (1, "plain")):
        told[f"tokens_mean_{name}"] = round(statistics.mean(pair[side].tokens for pair in seen), 1)
    return told


if __name__ == "__main__":
    main()
