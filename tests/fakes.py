"""Small stand-ins for the models: deterministic, fast, without weights. And a shelf of rows to try them on.

HashEncoder      a bag of hashed words: texts that share words are near
EchoGenerator    copies the sentence of the passages that shares most words with the question
LexicalVerifier  support is the share of the claim's words in the best sentence of the passages
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rag.generate import Generator, Piece
from rag.index import IndexOptions, open_index
from rag.pipeline import Limits, Pipeline
from rag.policy import Policy
from rag.prompt import NO_ANSWER, Prompt
from rag.retrieve import Retriever
from rag.sentences import sentences
from rag.store import Source, Store
from rag.types import Chunk, ParsedDocument, Passage, Verdict
from rag.verify import Evidence, Judgement
from tests.backend import database_url, index_url

_SUPPORTED = 0.5


def words(text: str) -> list[str]:
    """Lower-case words of ``text``."""
    return re.findall(r"\w+", text.lower())


class HashEncoder:
    """Each word adds +1 or -1 to one of ``dimension`` places, by its hash; rows are unit vectors."""

    name = "hash"
    max_tokens = 256

    def __init__(self, dimension: int = 64, fingerprint: str = "ha54ha54ha54"):
        self.dimension = dimension
        self.fingerprint = fingerprint

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in words(text) or [""]:
                digest = hashlib.sha256(word.encode("utf-8", "surrogatepass")).digest()
                vectors[row, int.from_bytes(digest[:4], "big") % self.dimension] += 1 if digest[4] % 2 else -1
            if not vectors[row].any():  # every word was undone by another
                vectors[row, 0] = 1
        unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(words(text)) for text in texts]


class EchoGenerator:
    """Answers with the sentence of the passages that shares most words with the question, word by word."""

    name = "echo"
    fingerprint = "ec40ec40ec40"

    def stream(self, prompt: Prompt, max_new_tokens: int, refuse_at: float) -> Iterator[Piece]:
        for text in re.findall(r"\s*\S+", self.answer(prompt))[:max_new_tokens]:
            yield Piece(text, 1.0)

    def answer(self, prompt: Prompt) -> str:
        asked = set(words(prompt.messages[-1].text.rsplit("Question:", 1)[-1]))
        best, shared = NO_ANSWER, 0
        for number, passage in enumerate(prompt.passages, start=1):
            for start, end in sentences(passage.text):
                overlap = len(asked & set(words(passage.text[start:end])))
                if overlap > shared:
                    best, shared = f"{passage.text[start:end]} [{number}]", overlap
        return best

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(words(text)) for text in texts]

    def prompt_tokens(self, prompt: Prompt) -> int:
        return sum(self.count_tokens([message.text for message in prompt.messages]))


class LexicalVerifier:
    """A claim is supported when at least half of its words stand in one sentence of the passages."""

    name = "lexical"
    fingerprint = "1e11e11e11e1"

    def verify(self, claims: Sequence[str], passages: Sequence[Passage], question: str) -> list[Judgement]:
        return [self._judge(set(words(claim)), passages) for claim in claims]

    def _judge(self, claim: set[str], passages: Sequence[Passage]) -> Judgement:
        best: Evidence | None = None
        for number, passage in enumerate(passages):
            for start, end in sentences(passage.text):
                share = len(claim & set(words(passage.text[start:end]))) / max(1, len(claim))
                if best is None or share > best.score:
                    best = Evidence(number, start, end, share)
        if best is None:
            return Judgement(0.0, Verdict.UNSUPPORTED)
        verdict = Verdict.SUPPORTED if best.score >= _SUPPORTED else Verdict.UNSUPPORTED
        return Judgement(best.score, verdict, (best,))


@dataclass(frozen=True, slots=True)
class Shelf:
    """A database and an index in ``home``, as one process sees them; two of one home are two processes."""

    home: Path
    store: Store
    retriever: Retriever

    @classmethod
    def open(cls, home: Path, encoder: HashEncoder | None = None) -> Shelf:
        store = Store.open(database_url(home))
        return cls(
            home, store, Retriever(encoder or HashEncoder(), open_index(index_url(home), store, IndexOptions()), store)
        )

    def put(self, texts: Mapping[str, str], collection: str = "default") -> None:
        """Write documents by uri, each sentence a chunk."""
        encoder = self.retriever.encoder
        target = self.store.collections.ensure(collection, encoder.fingerprint, encoder.dimension)
        for uri, text in texts.items():
            parts = [Chunk(start, end, text[start:end]) for start, end in sentences(text)]
            source = Source(uri, hashlib.sha256(text.encode()).hexdigest())
            document = ParsedDocument(Path(uri).stem, text, "fake-1")
            self.store.documents.put(target, source, document, parts, encoder.encode([part.text for part in parts]))

    def pipeline(self, generator: Generator | None = None, limits: Limits | None = None) -> Pipeline:
        """The whole way from question to answer, over this shelf."""
        return Pipeline(self.retriever, generator or EchoGenerator(), LexicalVerifier(), Policy(), limits or Limits())


class HookedGenerator(EchoGenerator):
    """An EchoGenerator that calls ``before_piece`` with the number of each piece before it gives it out."""

    def __init__(self, before_piece: Callable[[int], None]):
        self._before_piece = before_piece
        self.closed = 0

    def stream(self, prompt: Prompt, max_new_tokens: int, refuse_at: float) -> Iterator[Piece]:
        try:
            for number, piece in enumerate(super().stream(prompt, max_new_tokens, refuse_at)):
                self._before_piece(number)
                yield piece
        finally:
            self.closed += 1
