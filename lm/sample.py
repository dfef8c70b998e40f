"""Drawing tokens at random: temperature, top-k, top-p, and control of repetition.

Definitions and order are those of transformers' logits processors: repetition penalty (Keskar et al. 2019), banned
n-grams (Paulus et al. 2017), temperature, top-k (Fan et al. 2018), top-p (Holtzman et al. 2019).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lm.decode import Choose, Limits, Step, decode, softmax
from lm.engine import Engine
from lm.errors import DecodingInvalid

MOST_ALTERNATIVES = 20


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen. The defaults draw from the model's own distribution.

    temperature: above 0, below 1 sharpens and above 1 flattens; 0 takes the most probable token. top_k: only the k most
    probable tokens, 0 for all. top_p: only the fewest tokens that hold probability p together, in (0, 1]. seed: the
    same seed gives the same answer; None a new one each time. repetition_penalty: above 1 makes tokens that prompt or
    answer hold less probable, 1 does nothing. no_repeat_ngram: no run of so many tokens stands twice in prompt and
    answer together, so none is copied from the prompt; 0 allows all. alternatives: how many of the most probable
    tokens each step lists, 0 to 20. Raises DecodingInvalid for values outside these.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int | None = None
    repetition_penalty: float = 1.0
    no_repeat_ngram: int = 0
    alternatives: int = 0

    def __post_init__(self) -> None:
        for name, right, cure in (
            ("temperature", 0 <= self.temperature < math.inf, "use 0 for greedy decoding, up to about 2 to draw"),
            ("top_k", self.top_k >= 0, "use 0 for all tokens, or how many to keep"),
            ("top_p", 0 < self.top_p <= 1, "use a probability above 0, 1 for all tokens"),
            ("seed", self.seed is None or self.seed >= 0, "use a whole number from 0 on, or none"),
            ("repetition_penalty", 0 < self.repetition_penalty < math.inf, "use 1 for no penalty, 1.1 for a mild one"),
            ("no_repeat_ngram", self.no_repeat_ngram >= 0, "use 0 to allow all, or a length in tokens"),
            ("alternatives", 0 <= self.alternatives <= MOST_ALTERNATIVES, f"ask for 0 to {MOST_ALTERNATIVES}"),
        ):
            if not right:
                raise DecodingInvalid(f"{name} is {getattr(self, name)}: {cure}")


def sample(
    engine: Engine, prompt: Sequence[int], max_new_tokens: int, stop_ids: frozenset[int], sampling: Sampling
) -> Iterator[Step]:
    """Continue ``prompt`` by up to ``max_new_tokens`` tokens chosen as ``sampling`` says; else as `lm.decode.decode`.

    A step's probability and alternatives are the model's own, before temperature, penalties and cuts.
    """
    return decode(engine, prompt, Limits(max_new_tokens, stop_ids), choose_by(sampling))


def choose_by(sampling: Sampling) -> Choose:
    """The choice of one answer's tokens by ``sampling``."""
    random = np.random.default_rng(sampling.seed)

    def choose(logits: NDArray[np.float32], ids: Sequence[int]) -> Step:
        scores = filtered(logits, ids, sampling)
        token = int(scores.argmax()) if sampling.temperature == 0 else _draw(softmax(scores), random)
        probabilities = softmax(logits)
        best = _most_probable(probabilities, sampling.alternatives)
        return Step(token, float(probabilities[token]), None, tuple((id, float(probabilities[id])) for id in best))

    return choose


def filtered(logits: NDArray[np.float32], ids: Sequence[int], sampling: Sampling) -> NDArray[np.float64]:
    """Logits (V,) to draw from after the tokens ``ids``, -inf for those that must not be drawn."""
    scores = logits.astype(np.float64)
    if sampling.repetition_penalty != 1:
        scores = penalise_repeats(scores, ids, sampling.repetition_penalty)
    if sampling.no_repeat_ngram:
        scores[banned(ids, sampling.no_repeat_ngram)] = -np.inf
    if sampling.temperature == 0:
        return scores
    scores = (scores - scores.max()) / sampling.temperature  # the maximum at 0: nothing to overflow
    if sampling.top_k:
        scores = keep_top_k(scores, sampling.top_k)
    return keep_top_p(scores, sampling.top_p) if sampling.top_p < 1 else scores


def penalise_repeats(scores: NDArray[np.float64], ids: Sequence[int], penalty: float) -> NDArray[np.float64]:
    """Divide the scores of tokens in ``ids`` by ``penalty`` where they are positive, multiply where they are not."""
    seen = np.unique(np.array(ids))
    changed = scores.copy()
    changed[seen] = np.where(scores[seen] < 0, scores[seen] * penalty, scores[seen] / penalty)
    return changed


def banned(ids: Sequence[int], size: int) -> list[int]:
    """Tokens that would end a run of ``size`` tokens which ``ids`` already holds."""
    start = len(ids) - size + 1
    last = tuple(ids[start:]) if start >= 0 else None
    return sorted({ids[end] for end in range(size - 1, len(ids)) if tuple(ids[end - size + 1 : end]) == last})


def keep_top_k(scores: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """-inf for scores below the ``k``-th best; ties with it stay."""
    if k >= len(scores):
        return scores
    return np.where(scores < np.partition(scores, -k)[-k], -np.inf, scores)


def keep_top_p(scores: NDArray[np.float64], p: float) -> NDArray[np.float64]:
    """-inf for all but the fewest best tokens whose probabilities sum to ``p`` or more."""
    order = scores.argsort()
    below = softmax(scores[order]).cumsum() <= 1 - p
    below[-1] = False
    cut = scores.copy()
    cut[order[below]] = -np.inf
    return cut


def _draw(probabilities: NDArray[np.float64], random: np.random.Generator) -> int:
    possible = np.flatnonzero(probabilities)
    upto = probabilities[possible].cumsum()
    # By the inverse of the distribution function; rounding may put the draw at the very end.
    place = int(np.searchsorted(upto, random.random() * upto[-1], side="right"))
    return int(possible[min(place, len(possible) - 1)])


def _most_probable(probabilities: NDArray[np.float64], count: int) -> list[int]:
    if not count:
        return []
    best = np.argpartition(probabilities, -count)[-count:] if count < len(probabilities) else range(len(probabilities))
    return sorted(map(int, best), key=lambda id: (-probabilities[id], id))
