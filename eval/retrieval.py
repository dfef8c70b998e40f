"""`eval retrieval`: ingest a corpus as the product would, run every query, and score each way of searching.

A document is ranked by its best chunk. Each mode searches on its own: dense, bm25, both fused, and, where there is a
reranker, the fused list reranked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from eval.ranking import ranking_metrics, ranking_scores
from eval.runs import Run, describe_data
from eval.scratch import scratch_search
from ingest.build import build_ingester
from ingest.run import Document, Ingester, Progress
from rag.datafiles import RetrievalSet, read_retrieval
from rag.retrieve import Mode, Retriever
from rag.settings import Settings
from rag.store import Source
from rag.types import ParsedDocument

COLLECTION = "eval"
DEPTH = 100  # documents ranked for each query
_CHUNKS_A_DOCUMENT = 3  # chunks fetched for each document wanted, as several may be of the same one

Rankings = Mapping[str, list[str]]  # query id -> document ids, best first


@dataclass(frozen=True, slots=True)
class RetrievalEvaluation:
    """What ranking needs: the retriever, and the ingester over the same store."""

    retriever: Retriever
    ingester: Ingester
    collection: str = COLLECTION

    @property
    def modes(self) -> list[Mode]:
        """The ways of searching that there are."""
        all_modes: tuple[Mode, ...] = get_args(Mode)
        return [mode for mode in all_modes if mode != "reranked" or self.retriever.reranker is not None]

    def run(self, data: RetrievalSet, progress: Progress) -> dict[str, Rankings]:
        """Ingest the corpus of ``data`` and rank its documents for every query, in every mode."""
        self.ingest(data, progress)
        return {mode: self._rank(data, mode, progress) for mode in self.modes}

    def ingest(self, data: RetrievalSet, progress: Progress) -> None:
        """Put the documents of the corpus into the collection, but for empty ones."""
        documents = (
            Document(Source(key, hashlib.sha256(source.text.encode()).hexdigest()), _parsed(source.title, source.text))
            for key, source in data.corpus.items()
            if source.text.strip()
        )
        self.ingester.ingest_documents(documents, self.collection, progress)

    def rank(self, query: str, mode: Mode) -> list[str]:
        """The ids of the DEPTH best documents for ``query``, best first."""
        collection = self.retriever.store.collections.get(self.collection)
        hits = self.retriever.search(query, collection, DEPTH * _CHUNKS_A_DOCUMENT, mode)
        return list(dict.fromkeys(hit.passage.uri for hit in hits))[:DEPTH]

    def _rank(self, data: RetrievalSet, mode: Mode, progress: Progress) -> Rankings:
        ranked: dict[str, list[str]] = {}
        for done, (query_id, query) in enumerate(data.queries.items(), start=1):
            ranked[query_id] = self.rank(query, mode)
            progress(done, len(data.queries))
        return ranked


def run_retrieval(settings: Settings, folder: Path, limit: int, progress: Progress) -> Run:
    """Rank the first ``limit`` judged queries (0: all) of ``folder``. Raises InvalidInput and ModelMissing."""
    data = read_retrieval(folder, limit)
    with scratch_search(settings) as search:
        rankings = RetrievalEvaluation(search.retriever, build_ingester(settings, search)).run(data, progress)
        encoder, reranker = search.encoder, search.retriever.reranker
    metrics = {mode: ranking_metrics(data.qrels, ranked) for mode, ranked in rankings.items()}
    rows = [
        {"id": key, **{mode: ranking_scores(data.qrels[key], ranked[key]) for mode, ranked in rankings.items()}}
        for key in data.queries
    ]
    return Run(
        kind="retrieval",
        metrics=metrics,
        settings={"limit": limit, "device": settings.device, "chunk_tokens": settings.chunk_tokens},
        models={"retriever": f"{encoder.name}@{encoder.fingerprint}"}
        | ({"reranker": f"{reranker.name}@{reranker.fingerprint}"} if reranker else {}),
        seed=0,
        data=describe_data(folder),
        rows=rows,
    )


def _parsed(title: str, text: str) -> ParsedDocument:
    return ParsedDocument(title=title, text=text, reader="record/1")
