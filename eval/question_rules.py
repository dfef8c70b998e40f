"""Plain sentences -> questions with their answers, by rules: what `eval generate` starts from, beside table rows.

    Door logs are kept for 90 days.                 -> For how many days are door logs kept?        90 days
    The flash point of OptiClean 70 is 18 °C.       -> What is the flash point of OptiClean 70?     18 °C
    A new key costs 45 EUR.                         -> How much does a new key cost?                45 EUR
    The offer is valid until 30 September.          -> Until when is the offer valid?               30 September
    The VPN protects every connection.              -> What does the VPN protect?                   every connection
    Sign-in is required for every account.          -> What is required for every account?          sign-in
    Gifts are not allowed at any value.             -> Are gifts allowed at any value?              No

Our generator was trained to answer, not to ask (docs/decisions.md), so the words of a question are
those of the sentence, turned round. The rules know no grammar beyond short lists, and rather make nothing than guess:
a sentence counts only if it starts with a subject that names something, and ends where the answer's clause does.
Method: Heilman & Smith, "Good Question! Statistical Ranking for Question Generation", NAACL 2010 (rules that
overgenerate, then a filter; ours is the round trip of eval/round_trip.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from eval.question_words import (
    ACTS,
    ALLOWS,
    AUXILIARY,
    CLAUSE,
    COUNTED,
    COUNTS,
    DATE,
    DEFAULT,
    ENDS_BADLY,
    FINITE,
    FOLLOWS,
    HEDGES,
    JOINS,
    LEADS,
    LEANS,
    LEANS_ON_ONE,
    MEASURES,
    NAMED,
    NO_THING,
    NUMBER,
    ONE_OF_MANY,
    PEOPLE,
    QUANTITY,
    SETTING,
    STARTS_NO_REST,
    VAGUE,
    WHEN,
)
from rag.words import read_words


@dataclass(frozen=True, slots=True)
class Draft:
    """A question, its answer, and the name of the rule that made them."""

    question: str
    answer: str
    rule: str


@dataclass(frozen=True, slots=True)
class _Clause:
    """ "<subject> <aux> <rest>." """

    subject: str
    aux: str
    rest: str


def drafts_of_sentence(sentence: str, heading: str, names: frozenset[str]) -> Iterator[Draft]:
    """The questions that the rules make of a sentence, none or several.

    ``heading``: the path that the sentence stands under. ``names``: words that the collection writes with a capital
    within sentences too; any other subject loses the capital of a sentence's start.
    """
    yield from (draft for draft in _drafts(sentence, heading, names) if says_enough(draft))


def _drafts(sentence: str, heading: str, names: frozenset[str]) -> Iterator[Draft]:
    line = re.sub(r"^(?:\d{1,3}[.)]|[-*•]) |\*{1,2}|`", "", " ".join(sentence.split()))
    if not 4 <= len(line.split()) <= 34 or not line.endswith(".") or "|" in line:
        return
    yield from _of_default(line, heading)
    if VAGUE.match(line) or line.endswith(("etc.", "e.g.", "i.e.")):
        return
    yield from _of_verbs(line, names)
    found = AUXILIARY.fullmatch(line)
    if found and _names(found["subject"]):
        clause = _Clause(_inner(found["subject"], names), found["aux"], found["rest"])
        for rule in (_of_be, _of_numbers, _of_dates, _of_reasons, _of_subject, _of_negation):
            yield from rule(clause)


def _of_be(clause: _Clause) -> Iterator[Draft]:
    """ "The X of Y is Z." -> "What is the X of Y?", where Z is short and a thing or a quantity."""
    answer = re.sub(r"^(?:about|only|now) ", "", clause.rest)
    is_quantity = QUANTITY.fullmatch(answer) is not None
    is_thing = re.fullmatch(r"(?:the|an?) [\w'’ -]+|[A-Z][\w'’.-]*(?: [A-Z][\w'’.-]*)*", answer) is not None
    if clause.aux not in ("is", "was", "are", "were") or not (is_quantity or (is_thing and len(answer.split()) <= 9)):
        return
    if is_thing and (VAGUE.match(answer) or re.match(r"[a-z-]+ing ", clause.subject)):
        return
    if is_thing and re.match(r"the (?:same|most)\b|(?:the|an?) .* (?:of which|to|that|and|for)$", answer):
        return
    if re.match(r"(?:the|an?) \S+ ", clause.subject) or (is_quantity and clause.subject.startswith("the ")):
        yield Draft(f"What {clause.aux} {clause.subject}?", answer, "be")


def _of_numbers(clause: _Clause) -> Iterator[Draft]:
    """ "... reported within 90 minutes of arrival" -> "Within how many minutes of arrival are ... reported?" """
    rest = _first_part(clause.rest)
    found = COUNTED.search(rest)
    if not found or len(COUNTED.findall(rest)) > 1:
        return
    before, after = rest[: found.start()], rest[found.end() :]
    lead = re.search(r"(?:^|\s)(for|within|after) (?:(?:about|at least|at most|up to) )?$", before)
    if not lead or _joins(before) or _joins(after):
        return
    middle = before[: lead.start()].strip()
    if not middle or ENDS_BADLY.search(middle):
        return
    unit = found["unit"] if found["unit"].endswith(("s", "people")) else found["unit"] + "s"
    near, far = (after, "") if after.startswith(" of ") else ("", after)
    asked = f"{LEADS[lead[1]]} {unit}{near} {clause.aux} {clause.subject} {middle}{far}?"
    yield Draft(asked, found[0], "number")


def _of_dates(clause: _Clause) -> Iterator[Draft]:
    """ "... was founded on 12 June 2021" -> "When was ... founded?" """
    rest = _first_part(clause.rest)
    found = DATE.search(rest)
    if not found or len(DATE.findall(rest)) > 1:
        return
    before, after = rest[: found.start()].strip(), rest[found.end() :]
    if before and not after.strip() and not _joins(f" {before} ") and not ENDS_BADLY.search(before):
        lead = WHEN.get(found["how"], "When")
        yield Draft(f"{lead} {clause.aux} {clause.subject} {before}?", found["date"], "date")


def _of_reasons(clause: _Clause) -> Iterator[Draft]:
    """ "... because R." -> "Why ...?" """
    before, because, reason = clause.rest.partition(" because ")
    before = before.rstrip(",")
    if re.match(r"(?:not|never)\b", before):
        return  # "should not be used because it is fast": two readings
    if because and 3 <= len(reason.split()) <= 16 and not _joins(f" {before} ") and not re.search(r"[;:]", reason):
        yield Draft(f"Why {clause.aux} {clause.subject} {before}?", reason, "reason")


def _of_subject(clause: _Clause) -> Iterator[Draft]:
    """ "Two-factor sign-in is required for every account." -> "What is required for every account?" """
    rest, subject = clause.rest, clause.subject
    if not 4 <= len(rest.split()) <= 16 or clause.aux in ("are", "were") or _joins(rest) or LEANS.search(f" {rest} "):
        return
    if STARTS_NO_REST.match(rest) or (ALLOWS.fullmatch(clause.aux) and not NAMED.search(rest)):
        return
    if len(subject.split()) >= (3 if subject.startswith("the ") else 2):
        yield Draft(f"{_asking(subject)} {clause.aux} {rest}?", subject, "subject")


def _of_negation(clause: _Clause) -> Iterator[Draft]:
    """ "Gifts are not allowed at any value." -> "Are gifts allowed at any value?" No"""
    rest = clause.rest
    if not re.match(r"(?:not|never) \w+", rest) or _joins(f" {rest} ") or LEANS.search(f" {rest} "):
        return
    plain = rest.split(" ", 1)[1]
    if len(plain.split()) >= 3 and not re.search(r"\b(?:only|necessarily|yet|always|any longer|even|until)\b", plain):
        aux = "May" if clause.aux == "must" else clause.aux.capitalize()  # "must not" forbids: it denies a "may"
        yield Draft(f"{aux} {clause.subject} {plain}?", "No", "negation")


def _of_default(line: str, heading: str) -> Iterator[Draft]:
    """ "The default is 10." under "Writing > name (integer)" -> "What is the default of name according to Writing?" """
    found, name = DEFAULT.fullmatch(line), SETTING.search(heading)
    if found and name:
        title, _, rest = heading.partition(" > ")
        of = f" according to {unnumbered(title)}" if rest else ""
        yield Draft(f"What is the default of {name['name']}{of}?", found["answer"].strip(), "default")


def _of_verbs(line: str, names: frozenset[str]) -> Iterator[Draft]:
    """ "A key costs 45 EUR.", "The Marten carries 240 passengers ...", "The function returns ..." """
    found = FINITE.search(line)
    subject = line[: found.start()].strip() if found else ""
    if not found or not _names(subject):
        return
    verb, rest, inner = found["verb"], line[found.end() : -1].strip(), _inner(subject, names)
    if verb in MEASURES:
        yield from _of_measure(inner, verb, rest)
    if verb in COUNTS:
        yield from _of_count(inner, verb, rest)
    if verb in ACTS:
        yield from _of_object(inner, verb, rest)


def _of_object(subject: str, verb: str, rest: str) -> Iterator[Draft]:
    """ "The VPN protects every connection." -> "What does the VPN protect?" """
    answer = _first_part(rest)
    if rest[len(answer) :].startswith((" and ", ", ", " (", " which ", " if ", " when ", " unless ")):
        return  # the rest of a list, or a condition, without which the answer is half of it
    if (
        re.fullmatch(r"the [a-z-]+|[a-z-]+ing .+", subject)
        or re.fullmatch(r"the [a-z-]+", answer)
        or NO_THING.match(answer)
    ):
        return  # "the precision": which? "creating a rule": where?
    thing = re.match(r"(?:the|an?|each|every|all|information|data|[A-Z][\w-]+) ", answer)
    if not thing or not 2 <= len(answer.split()) <= 14 or ENDS_BADLY.search(answer) or LEANS.search(f" {answer} "):
        return
    if re.match(r"(?:that|to|whether|how|when|on|in|from|the same|the following|a different|as) ?", answer):
        return
    yield Draft(f"What does {subject} {ACTS[verb]}?", answer, "object")


def _of_measure(subject: str, verb: str, rest: str) -> Iterator[Draft]:
    found = QUANTITY.match(rest)
    after = rest[found.end() :] if found else ""
    if found and not re.search(r"[,;:()]", after) and not _joins(after):
        ask = "How long" if verb in ("lasts", "takes") else "How much"
        if verb in ("lasts", "takes") and not re.search(r"second|minute|hour|day|week|month|year", found[0]):
            return
        yield Draft(f"{ask} does {subject} {MEASURES[verb]}{after}?", found[0], "measure")


def _of_count(subject: str, verb: str, rest: str) -> Iterator[Draft]:
    found = re.match(rf"((?:(?:about|at least|at most|up to) )?(?:{NUMBER})) ((?:[a-z]+ )?[a-z]+s)\b", rest)
    after = rest[found.end() :] if found else ""
    if found and re.fullmatch(r"(?: (?:in|on|at|of|for|from) [\w ]+)?", after) and not _joins(after):
        yield Draft(f"How many {found[2]} does {subject} {COUNTS[verb]}{after}?", f"{found[1]} {found[2]}", "count")


def _asking(subject: str) -> str:
    """ "Who" for people, else "What"; "the password for each user" is no person."""
    head = re.split(r" (?:of|for|in|on|at|by|from|to|with) ", subject)[0]
    return "Who" if PEOPLE.match(head) else "What"


def says_enough(draft: Draft) -> bool:
    """Whether a draft points to nothing outside itself, and its answer tells more than its question."""
    if LEANS_ON_ONE.search(f"{draft.question} {draft.answer}") or HEDGES.search(draft.question):
        return False
    asked, told = read_words(draft.question), read_words(draft.answer)
    fresh = told.stems - asked.stems
    return bool(told.numbers - asked.numbers) or not told.stems or 2 * len(fresh) > len(told.stems)


def unnumbered(title: str) -> str:
    """A title without the number of its chapter: "20.3. Connections"."""
    return re.sub(r"^(?:[A-Z]|\d+)(?:\.\d+)*\. ", "", title)


def _first_part(text: str) -> str:
    """Up to the first comma, bracket or clause that merely follows."""
    return FOLLOWS.split(text)[0].strip()


def _names(subject: str) -> bool:
    """Whether a subject names something by itself and hides no clause."""
    words = subject.split()
    return (
        1 <= len(words) <= 10
        and not re.search(r"\b([\w-]{4,})\b.* \1\b", subject)  # cells read as one: "typnotnull bool typnotnull"
        and not VAGUE.match(subject)
        and not CLAUSE.search(f" {subject} ")
        and not ENDS_BADLY.search(subject)
        and not ONE_OF_MANY.search(subject)
        and not LEANS.search(f" {subject} ")
        and not re.match(r"[A-Z][a-z]+s (?:the|an?) ", subject)  # a verb without a subject: "Sets the time"
        and not (words[0].endswith("ly") and words[0].istitle())  # an adverb: "Similarly we"
        and (len(words) > 1 or subject[0].isupper())
    )


def _joins(text: str) -> bool:
    """Whether a part of a sentence holds another clause."""
    return JOINS.search(text) is not None


def _inner(subject: str, names: frozenset[str]) -> str:
    """The subject as it stands within a sentence."""
    first, _, rest = subject.partition(" ")
    keeps = first in names or not first[1:].islower() or rest[:1].isupper()
    return subject if keeps and first not in ("A", "An", "The") else f"{first.lower()} {rest}".strip()


def names_in(texts: Iterable[str]) -> frozenset[str]:
    """Words with a capital that follow a small word or number, and are not written small as well."""
    capital: set[str] = set()
    small: set[str] = set()
    for text in texts:
        capital.update(re.findall(r"(?<=[a-z0-9,] )[A-Z][\w'’-]+", text))
        small.update(re.findall(r"\b[a-z][\w'’-]+", text))
    return frozenset(word for word in capital if word.lower() not in small)
