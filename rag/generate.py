"""Prompt -> words: the one Generator protocol, and the in-house model behind it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lm.decode import Gate, Step
from lm.engine import Engine, load_engine
from lm.errors import LmError
from lm.lookup import greedy_lookup
from lm.tokenizer import TextStream, Tokenizer
from rag.batching import Alone, Batcher
from rag.prompt import NO_ANSWER, Prompt
from rag.types import InvalidInput, ModelBroken

CPU_ROWS = 4  # more of them cost memory and gain nothing (docs/benchmarks.md, "The service under load")


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the answer as it is written: its text (may be empty), and the probability of its token in [0, 1].

    ``unanswerable``, on the first piece of a generator that can tell: how probable it holds it, in [0, 1], that the
    passages lack the answer. ``tokens`` it stands for; ``prompt_tokens`` of the whole prompt, where only who wrote it
    knows them (0: not said).
    """

    text: str
    probability: float
    unanswerable: float | None = None
    tokens: int = 1
    prompt_tokens: int = 0


class Generator(Protocol):
    """Writes the answer to a prompt, piece by piece. Safe to use from several threads."""

    name: str
    fingerprint: str

    def stream(self, prompt: Prompt, max_new_tokens: int, refuse_at: float) -> Iterator[Piece]:
        """The answer, one piece a token; stops at the end of the turn or after ``max_new_tokens``.

        A generator that can tell how probable a refusal is writes NO_ANSWER exactly if that reaches ``refuse_at``.
        """
        ...

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text."""
        ...

    def prompt_tokens(self, prompt: Prompt) -> int:
        """Tokens of the whole prompt, control tokens included."""
        ...


class LocalGenerator:
    """The in-house transformer of lm/, decoding greedily: the same prompt gives the same answer."""

    def __init__(self, name: str, fingerprint: str, engine: Engine, tokenizer: Tokenizer, side_by_side: int = 1):
        self.name = name
        self.fingerprint = fingerprint
        self._engine = engine
        self._tokenizer = tokenizer
        self._steps: Alone = self._alone
        if side_by_side > 1:
            self._steps = Batcher(engine, tokenizer.stop_ids, self._alone, side_by_side).steps

    @classmethod
    def load(
        cls, folder: Path, fingerprint: str, device: str, threads: int = 0, side_by_side: int = 1
    ) -> LocalGenerator:
        """The model in ``folder`` on ``device`` ("cpu" or "cuda"), with ``threads`` CPU threads (0: all).

        ``side_by_side``: answers that are written in one batch when several threads ask at once; on the CPU at most
        CPU_ROWS. Raises ModelBroken when it cannot be loaded.
        """
        try:
            engine = load_engine(folder, device, threads)
            rows = min(side_by_side, CPU_ROWS) if device == "cpu" else side_by_side
            return cls(folder.name, fingerprint, engine, Tokenizer.load(folder), rows)
        except LmError as error:
            raise ModelBroken(f"{error}; remove the folder and run: answerable models pull") from error

    def stream(self, prompt: Prompt, max_new_tokens: int, refuse_at: float) -> Iterator[Piece]:
        """The answer, one piece a token; a character whose bytes span tokens comes whole, with its last token.

        The probability of refusing is that of NO_ANSWER's first token as the first of the answer. Raises InvalidInput
        for a prompt that, with the answer, does not fit the model's window.
        """
        gate = Gate(self._tokenizer.encode(NO_ANSWER)[0], refuse_at)
        text = TextStream(self._tokenizer)
        ids = self.prompt_ids(prompt)
        if len(ids) + max_new_tokens > self._engine.window:
            raise InvalidInput(
                f"question, conversation and passages are {len(ids)} tokens, and {self.name} reads at most "
                f"{self._engine.window - max_new_tokens}: shorten the question, or lower ANSWERABLE_PASSAGE_TOKENS"
            )
        for step in self._steps(ids, max_new_tokens, gate):
            if step.token == gate.token and step.gated is not None:
                yield Piece(NO_ANSWER, step.probability, step.gated)
                return  # nothing else follows it, and each token takes its time
            yield Piece(text.push(step.token), step.probability, step.gated)
        rest = text.finish()
        if rest:
            yield Piece(rest, 1.0)

    def _alone(self, prompt: Sequence[int], max_new_tokens: int, gate: Gate) -> Iterator[Step]:
        return greedy_lookup(self._engine, prompt, max_new_tokens, self._tokenizer.stop_ids, gate)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text."""
        return [self._tokenizer.count(text) for text in texts]

    def prompt_tokens(self, prompt: Prompt) -> int:
        """Tokens of the whole prompt, control tokens included."""
        return len(self.prompt_ids(prompt))

    def prompt_ids(self, prompt: Prompt) -> list[int]:
        """The token ids that the model reads."""
        return self._tokenizer.chat(prompt.messages)
