"""A follow-up question made to stand by itself, for searching: "And its power?" after a turn about the heater.

By rules, without a model: a question that leans on what was said before (a pronoun, "what about", hardly a word of its
own) is searched for together with what the conversation is about, the user's last question that stood by itself. One
that stands by itself is left alone: the words of another subject would draw its search away.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rag.types import Question, Turn
from rag.words import read_words

_LEANS = re.compile(
    r"\b(it|its|it's|they|them|their|theirs|he|him|his|she|her|hers|this|that|these|those|there|one|ones|such|former|"
    r"latter|same|another|others?|else|more|instead|then)\b",
    re.IGNORECASE,
)
_GOES_ON = re.compile(
    r"^\s*(and|but|or|so|also|then|what about|how about|why not|why\??$|how so|which one|any other|what else|"
    r"tell me more|ok|okay|yes|no|thanks)\b",
    re.IGNORECASE,
)
_OWN_WORDS = 3  # content words from which on a question without leaning words stands by itself


def standalone(question: Question) -> str:
    """What to search for: the question, with the subject of the conversation before it where it leans on that."""
    if not question.history or not leans(question.text):
        return question.text
    subject = _subject(question.history)
    return f"{subject} {question.text}" if subject else question.text


def leans(text: str) -> bool:
    """Whether the question cannot be understood without what was said before."""
    return bool(_GOES_ON.search(text) or _LEANS.search(text) or len(read_words(text).stems) < _OWN_WORDS)


def _subject(history: Sequence[Turn]) -> str:
    """The user's last turn that stands by itself, followed by what leaned on it since; at most two turns."""
    earlier = [turn.text for turn in history if turn.role == "user"]
    for place in range(len(earlier) - 1, -1, -1):
        if not leans(earlier[place]):
            return earlier[place] if place == len(earlier) - 1 else f"{earlier[place]} {earlier[-1]}"
    return earlier[-1] if earlier else ""
