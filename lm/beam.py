"""Beam search: the answers that are most probable as a whole, not token by token.

Candidates, scores and the end of the search are those of transformers' generate(num_beams=...).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lm.decode import Limits, check_prompt
from lm.engine import Engine
from lm.errors import DecodingInvalid


@dataclass(frozen=True, slots=True)
class Beams:
    """What to search for.

    count: answers followed at a time, 2 or more. length_penalty: scores are divided by tokens ** length_penalty, so
    above 0 favours long answers. early_stopping: end as soon as ``count`` answers are finished; False goes on while the
    best running one, ended now, would beat the worst of them. Raises DecodingInvalid for fewer than 2 beams.
    """

    count: int = 4
    length_penalty: float = 1.0
    early_stopping: bool = False

    def __post_init__(self) -> None:
        if self.count < 2:
            raise DecodingInvalid(f"a search of {self.count} beams is none: use 2 or more, or greedy decoding")


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """An answer, without its stop token, and its score: log probability, stop token included, over the penalty."""

    tokens: tuple[int, ...]
    score: float


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A running answer and one more token; ``row`` is the running answer's row in the session."""

    log_probability: float
    row: int
    tokens: tuple[int, ...]


def beam_search(
    engine: Engine, prompt: Sequence[int], max_new_tokens: int, stop_ids: frozenset[int], beams: Beams
) -> list[Hypothesis]:
    """Up to ``beams.count`` answers to ``prompt``, best first. Raises as `lm.decode.decode` does."""
    check_prompt(engine, prompt, max_new_tokens)
    return _search(engine, prompt, Limits(max_new_tokens, stop_ids), beams)


def _search(engine: Engine, prompt: Sequence[int], limits: Limits, beams: Beams) -> list[Hypothesis]:
    running = [_Candidate(0.0, 0, ())]
    finished: list[Hypothesis] = []
    # So many that ``count`` go on even if all the best end.
    kept = beams.count * max(2, 1 + len(limits.stop_ids))
    with engine.session(len(prompt) + limits.max_new_tokens) as session:
        logits = session.feed(prompt)[None]  # (1, V)
        for length in range(1, limits.max_new_tokens + 1):
            candidates = _best(logits, running, kept)
            last = length == limits.max_new_tokens
            finished += [
                Hypothesis(_without_stop(each.tokens, limits), each.log_probability / length**beams.length_penalty)
                for each in candidates[: beams.count]
                if last or each.tokens[-1] in limits.stop_ids
            ]
            finished = sorted(finished, key=lambda each: -each.score)[: beams.count]
            running = [each for each in candidates if each.tokens[-1] not in limits.stop_ids][: beams.count]
            if last or not running or _over(finished, running[0].log_probability / length**beams.length_penalty, beams):
                break
            new = np.array([each.tokens[-1:] for each in running], dtype=np.int64)  # (B, 1)
            logits = session.feed_rows(new, rows=[each.row for each in running])  # (B, V)
    return finished


def _best(logits: NDArray[np.float32], running: Sequence[_Candidate], count: int) -> list[_Candidate]:
    """The ``count`` most probable continuations of all the running answers, best first."""
    wide = logits.astype(np.float64)
    wide -= wide.max(-1, keepdims=True)
    wide -= np.log(np.exp(wide).sum(-1, keepdims=True))  # log probabilities (B, V)
    wide += np.array([[each.log_probability] for each in running])
    flat = wide.reshape(-1)
    best = np.argpartition(flat, -count)[-count:] if count < len(flat) else np.arange(len(flat))
    best = best[np.lexsort((best, -flat[best]))]
    rows, tokens = np.divmod(best, wide.shape[1])
    return [
        _Candidate(float(flat[place]), int(row), (*running[row].tokens, int(token)))
        for place, row, token in zip(best, rows, tokens, strict=True)
    ]


def _over(finished: Sequence[Hypothesis], best: float, beams: Beams) -> bool:
    """Whether the search ends, ``best`` being the score of the best running answer if it ended now."""
    return len(finished) == beams.count and (beams.early_stopping or best <= finished[-1].score)


def _without_stop(tokens: tuple[int, ...], limits: Limits) -> tuple[int, ...]:
    return tokens[:-1] if tokens[-1] in limits.stop_ids else tokens
