"""When to refuse: from how near the passages are, from what the generator said, and from what the verifier found.

The thresholds were chosen on dev files with benchmarks/fit_policy.py; docs/benchmarks.md has the figures. Answers are
weighed by their rating (``min_right``, the setting MIN_SUPPORT); ``min_support`` of a claim alone is low.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rag.prompt import ParsedAnswer
from rag.types import Claim, Hit

_SHORT = 12  # words of an answer that a span may replace
REFUSAL = "The documents do not hold the answer to this question."


@dataclass(frozen=True, slots=True)
class Policy:
    """What the nearest passage's cosine, and the support of the best claim, must reach.

    ``min_answerable``: least probability, by the reranker, that the passages hold the answer; not asked without one.
    ``refuse_at``: the generator's own probability that the passages lack the answer, from which on it refuses; above 1
    it never does. ``min_right``: least probability that a short answer is right, by its rating. ``read_below``: an
    answer that would be withdrawn, or a refusal of the generator, is tried once more with the reader's span where the
    reader's probability of "no answer" is below this; 0 is never. ``read_over``: a short answer that stands gives way
    to the reader's span where that is rated higher by so much; 1 is never.
    """

    min_similarity: float = 0.35
    min_answerable: float = 0.1
    refuse_at: float = 0.9
    min_support: float = 0.05
    min_right: float = 0.2
    read_below: float = 0.2
    read_over: float = 0.0


def refuse_before(hits: Sequence[Hit], policy: Policy, answerable: float | None = None) -> str:
    """Why not even to try, from the passages alone; empty to go on."""
    if not hits:
        return "no document of the collection was found for this question"
    cosines = [hit.dense for hit in hits if hit.dense is not None]
    if cosines and max(cosines) < policy.min_similarity:
        return f"no passage is near the question (best similarity {max(cosines):.2f}, needed {policy.min_similarity})"
    if answerable is not None and answerable < policy.min_answerable:
        needed = policy.min_answerable
        return f"the passages found do not seem to answer it (probability {answerable:.2f}, needed {needed})"
    return ""


def replaceable(parsed: ParsedAnswer) -> bool:
    """Whether a span of the passages could be the better answer: to what is short, and neither yes nor no."""
    words = parsed.text.lower().split()
    return 0 < len(words) <= _SHORT and words[0].strip(".,") not in ("yes", "no")


def refuse_after(parsed: ParsedAnswer, claims: Sequence[Claim], rated: float | None, policy: Policy) -> str:
    """Why to withdraw what was written, "" to stand by it. ``rated``: how probable it is right, if that is known."""
    if parsed.refused:
        return "the generator found no answer in the passages"
    best = max((claim.support for claim in claims), default=0.0)
    if best < policy.min_support:
        return f"no sentence of the answer is supported by the passages (best {best:.2f}, needed {policy.min_support})"
    if rated is not None and replaceable(parsed) and rated < policy.min_right:
        return f"the answer found is too uncertain (probability {rated:.2f}, needed {policy.min_right})"
    return ""
