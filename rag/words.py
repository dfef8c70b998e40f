"""What a plain reading of a sentence yields: content-word stems, numbers with units, names, negation.

English, by rules and short lists; other languages keep their words and numbers, unstemmed. Used by the baseline check
(rag/evidence.py), so that each of its signals can be read and explained.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

_TOKEN = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)*")
_REFERENCE = re.compile(r"\[\d{1,3}\]")
_THOUSANDS = re.compile(r",(?=\d{3}(?!\d))")
_STOPWORDS = frozenset(
    """a about above after again all also am an and any are as at be because been before being below between both but
    by can could did do does doing down during each every for from further had has have having he her here hers
    him his how i if in into is it its itself just many me more most much my of off on once only or other our
    out over own s same she should so some such than that the their them then there these they this those
    through to too under until up very was we were what when where which while who whom why will with would you
    your""".split()
)
_NEGATIONS = frozenset(
    "no not never none nobody nothing neither nor cannot without nowhere unable fails failed".split()
)
_NUMBER_WORDS = {
    word: str(value)
    for value, word in enumerate(
        """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
        seventeen eighteen nineteen twenty""".split()
    )
} | {"thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "seventy": "70", "eighty": "80", "ninety": "90"}
_TENS = "|".join(word for word, value in _NUMBER_WORDS.items() if value in {str(ten) for ten in range(20, 100, 10)})
_ONES = "|".join(word for word, value in _NUMBER_WORDS.items() if value in set("123456789"))
_COMPOUND = re.compile(rf"\b({_TENS})[- ]({_ONES})\b", re.IGNORECASE)
_UNIT_WORDS = """percent mm cm m km metre meter kilometre kilometer mile inch foot feet g mg kg gram kilogram ton tonne
    pound ounce l ml litre liter ms second minute hour day week month year decade century hz khz mhz ghz w kw mw watt v
    volt kwh degree celsius fahrenheit dollar euro usd eur thousand million billion trillion kb mb gb tb byte""".split()
_SUFFIXES = ("ations", "ation", "ingly", "ments", "ment", "edly", "ings", "ing", "ies", "ied", "ers", "ed", "es", "er")
_SHORTEST_STEM = 3


@dataclass(frozen=True, slots=True)
class Words:
    """A text as the baseline sees it. ``stems`` holds the stems of content words and the numbers.

    ``quantities`` are (number, unit) where a known unit follows the number; ``names`` are stems of capitalised words
    that do not merely begin the sentence; ``line`` is every token, lower case, with a space before, between and after,
    to look token sequences up in.
    """

    stems: frozenset[str]
    numbers: frozenset[str]
    quantities: frozenset[tuple[str, str]]
    names: frozenset[str]
    negated: bool
    line: str


def read_words(text: str) -> Words:
    """Reads one sentence or a fragment of one. A reference such as "[3]" is no number of the text."""
    text = _COMPOUND.sub(_joined_number, _REFERENCE.sub(" ", text))
    raw = _TOKEN.findall(text.replace("%", " percent "))
    tokens = [_normal(token) for token in raw]
    stems = [stem(token) for token in tokens if token not in _STOPWORDS and not _is_negation(token)]
    follows = list(pairwise(tokens))
    return Words(
        stems=frozenset(stems),
        numbers=frozenset(token for token in tokens if token[0].isdigit()),
        quantities=frozenset((one, stem(two)) for one, two in follows if one[0].isdigit() and stem(two) in UNITS),
        names=frozenset(_names(raw)),
        negated=any(_is_negation(token) for token in tokens),
        line=f" {' '.join(tokens)} ",
    )


def content_stems(text: str) -> list[str]:
    """The stems of the content words and numbers of a text, in order, repeats included; letters alone are left out."""
    tokens = [_normal(token) for token in _TOKEN.findall(text)]
    return [stem(token) for token in tokens if token not in _STOPWORDS and len(token) > 1]


def join_words(parts: list[Words]) -> Words:
    """The words of neighbouring sentences taken together."""
    return Words(
        stems=frozenset().union(*(part.stems for part in parts)),
        numbers=frozenset().union(*(part.numbers for part in parts)),
        quantities=frozenset().union(*(part.quantities for part in parts)),
        names=frozenset().union(*(part.names for part in parts)),
        negated=any(part.negated for part in parts),
        line="".join(part.line for part in parts),
    )


def stem(word: str) -> str:
    """Cuts an English ending: "awarded" and "awards" become "award", "running" becomes "run"; digits are kept."""
    if word[0].isdigit():
        return word
    word = word.removesuffix("'s").removesuffix("’s")
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= _SHORTEST_STEM:
            word = word.removesuffix(suffix) + ("y" if suffix in ("ies", "ied") else "")
            break
    else:
        if word.endswith("s") and not word.endswith("ss") and len(word) > _SHORTEST_STEM:
            word = word[:-1]
    if len(word) > _SHORTEST_STEM and word[-1] == word[-2] and word[-1] not in "aeiouls":
        word = word[:-1]
    return word[:-1] if len(word) > _SHORTEST_STEM and word[-1] == "e" else word


def _joined_number(found: re.Match[str]) -> str:
    return str(int(_NUMBER_WORDS[found[1].lower()]) + int(_NUMBER_WORDS[found[2].lower()]))


def _normal(token: str) -> str:
    """Lower case; number words and "1,000.0" as the digits they stand for."""
    if not token[0].isdigit():
        return _NUMBER_WORDS.get(token.lower(), token.lower())
    number = _THOUSANDS.sub("", token)
    if number.count(".") == 1 and "," not in number:
        number = number.rstrip("0").rstrip(".")
    return number.lstrip("0") or "0"


def _is_negation(token: str) -> bool:
    return token in _NEGATIONS or token.endswith(("n't", "n’t"))


def _names(raw: list[str]) -> list[str]:
    """A first word counts as a name only where the next is capitalised too: every sentence begins with a capital."""
    capital = [token[0].isupper() and token.lower() not in _STOPWORDS and token != "I" for token in raw]
    if len(capital) > 1 and not capital[1]:
        capital[0] = False
    return [stem(token.lower()) for token, is_name in zip(raw, capital, strict=True) if is_name]


UNITS = frozenset(stem(word) for word in _UNIT_WORDS)
