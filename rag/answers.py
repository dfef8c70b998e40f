"""How well an answer's text matches the gold answers: exact match, token F1, ROUGE-L.

Here rather than in eval/, because train/ watches its runs with the same figures and may not import eval.

EM and F1 follow the official SQuAD script, evaluate-v2.0.py (Rajpurkar et al., "Know What You Don't Know:
Unanswerable Questions for SQuAD", ACL 2018): lower case, without ASCII punctuation, without the articles a/an/the,
tokens split at white space, best over the gold answers.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_NO_ROUGE_TOKEN = re.compile(r"[^a-z0-9]+")


def normalise(text: str) -> str:
    """SQuAD's normal form: lower case, no ASCII punctuation, no articles, single spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, golds: Sequence[str]) -> float:
    """1.0 where the normal form equals that of any gold answer, else 0.0; 0.0 without gold answers."""
    return _best(_exact, answer, golds)


def token_f1(answer: str, golds: Sequence[str]) -> float:
    """Best F1 in [0, 1] over the gold answers of the tokens of the normal forms, counted with repeats.

    Where either side has no tokens, 1.0 if both have none, else 0.0. 0.0 without gold answers.
    """
    return _best(_f1, answer, golds)


def rouge_l(answer: str, golds: Sequence[str]) -> float:
    """Best ROUGE-L F1 in [0, 1] over the gold answers; 0.0 where either side has no tokens.

    Longest common subsequence of tokens (Lin, "ROUGE: A Package for Automatic Evaluation of Summaries", 2004), with
    the tokens of the rouge-score package without its stemmer: lower case, runs of a-z and 0-9. Text in other scripts
    has no such tokens and scores 0.0, there as here.
    """
    return _best(_rouge, answer, golds)


def lcs_length(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence, by bit-parallel rows (Hyyro, "Bit-Parallel LCS-length", 2004).

    One big-integer addition for each token of ``second``, so that answers of thousands of tokens stay cheap.
    """
    positions: dict[str, int] = {}
    for place, token in enumerate(first):
        positions[token] = positions.get(token, 0) | (1 << place)
    full = (1 << len(first)) - 1
    row = full
    for token in second:
        matches = row & positions.get(token, 0)
        row = ((row + matches) | (row - matches)) & full
    return len(first) - row.bit_count()


def _best(score: Callable[[str, str], float], answer: str, golds: Sequence[str]) -> float:
    return max((score(answer, gold) for gold in golds), default=0.0)


def _exact(answer: str, gold: str) -> float:
    return float(normalise(answer) == normalise(gold))


def _f1(answer: str, gold: str) -> float:
    ours, theirs = normalise(answer).split(), normalise(gold).split()
    if not ours or not theirs:
        return float(ours == theirs)
    return _harmonic((Counter(ours) & Counter(theirs)).total(), len(ours), len(theirs))


def _rouge(answer: str, gold: str) -> float:
    ours, theirs = _NO_ROUGE_TOKEN.sub(" ", answer.lower()).split(), _NO_ROUGE_TOKEN.sub(" ", gold.lower()).split()
    return _harmonic(lcs_length(ours, theirs), len(ours), len(theirs))


def _harmonic(common: int, ours: int, theirs: int) -> float:
    if common == 0:
        return 0.0
    precision, recall = common / ours, common / theirs
    return 2 * precision * recall / (precision + recall)
