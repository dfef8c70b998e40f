"""A question and its answer as one plain statement, by rules: what a claim looks like that carries no question.

    Who wrote Hamlet? + Shakespeare                     -> Shakespeare wrote Hamlet.
    What is the capital of Peru? + Lima                 -> The capital of Peru is Lima.
    In what year was the mill built? + 1901             -> The mill was built in 1901.
    How many people live in Oban? + 8,000               -> 8,000 people live in Oban.
    When did the mill burn? + in 1903                   -> The mill did burn in 1903.

"did" stays: "did burn" is right English, and inflecting verbs by rule is not always. A question that fits no rule, or
whose subject cannot be told from what follows, gives "". docs/training-log.md has the share of wrong statements.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

_BE = "is|are|was|were"
_MODAL = "can|could|will|would|must|should|may|might|has|have|had"
_ARTICLE = r"(?:the|a|an|his|her|its|their|this|that|these|those)"
_NOUNS = r"(?:[A-Z][\w'’.-]*|of|the|and|de|in|for|[a-z0-9][\w'’-]*)"
_PREPOSITION = re.compile(r"(in|on|at|by|during|since|from|until|before|after|around|about|to|for|with|of)\b", re.I)
# Words that may follow a subject: a past participle or adjective after "was", a plain verb after "did".
_PARTICIPLE = re.compile(
    r"\b(\w+ed|born|built|made|held|known|found|founded|won|lost|sold|sent|set|written|shown|given|taken|seen|"
    r"begun|drawn|fought|paid|laid|led|put|cut|kept|left|sung|spent|spoken|told|worn|caught|grown|brought|bought)\b"
)
_VERB = re.compile(
    r"\b(become|begin|belong|build|burn|buy|call|carry|cause|come|contain|cost|cover|create|cut|decide|die|do|end|enter|"
    r"fall|fight|find|found|get|give|go|happen|have|help|hold|include|join|keep|kill|know|lead|leave|like|live|lose|make|"
    r"marry|mean|meet|move|need|occur|offer|open|own|pass|pay|play|produce|publish|put|reach|receive|refer|release|"
    r"replace|represent|return|run|say|see|sell|send|serve|show|sign|sing|sit|speak|stand|start|stay|stop|study|take|"
    r"teach|tell|think|travel|try|turn|use|visit|want|win|work|write)\b"
)
_PAST = r"(?:\w+ed|won|wrote|led|held|sang|gave|took|made|became|began|built|fought|found|lost|sent|said|went|came|ran)"
_ASKS = (
    (re.compile(rf"who (?P<rest>(?!(?:{_BE}|did|do|does|{_MODAL})\b)[a-z]+ .+)"), "subject"),
    (
        re.compile(
            rf"(?:what|which)(?: (?!{_BE}|did|does|do|{_MODAL})[a-z-]+)? "
            rf"(?P<rest>(?!used\b){_PAST} (?!(?:is|was|did|does|do|of|to)\b).+)"
        ),
        "subject",
    ),
    (re.compile(rf"(?:who|what) (?P<verb>{_BE}) (?P<rest>.+)"), "be"),
    (re.compile(rf"how many (?P<noun>\w+(?: \w+)?) (?P<verb>{_BE}|live|work|{_MODAL}) (?P<rest>.+)"), "many"),
    (re.compile(rf"(?P<when>when|where|in what year|in which year|what year) (?P<verb>{_BE}) (?P<rest>.+)"), "place"),
    (re.compile(r"(?P<when>when|where|in what year|in which year|what year) (?P<verb>did) (?P<rest>.+)"), "did"),
)  # fmt: skip


def statement(question: str, answer: str) -> str:
    """The statement, with a full stop; "" where no rule is sure."""
    asked = " ".join(question.split()).rstrip(" ?.")
    said = answer.strip().rstrip(".")
    if not asked or not said or len(said.split()) > 12 or said.lower() in ("yes", "no"):
        return ""
    lowered = asked[:1].lower() + asked[1:]
    for pattern, rule in _ASKS:
        found = pattern.fullmatch(lowered)
        if found:
            made = _RULES[rule](found, said)
            return f"{made[0].upper()}{made[1:]}." if made else ""
    return ""


def _subject(found: re.Match[str], said: str) -> str:
    rest = found["rest"]
    if re.search(r" (?:in|on|to|of|for|with|by|at|from)$", rest) or re.search(r"\b(?:did|does|do)\b", rest):
        return ""
    return f"{said} {rest}"


def _be(found: re.Match[str], said: str) -> str:
    rest = found["rest"]
    plain = re.split(r" (?:who|that|which|when|where) ", rest)[0]
    if _PARTICIPLE.search(plain) or re.search(r" (?:in|on|to|of|for|with|by|at|from|as|like)$", rest):
        return f"{said} {found['verb']} {rest}" if _starts_late(rest) else ""
    return f"{rest} {found['verb']} {said}" if re.match(rf"{_ARTICLE} |[A-Z]", rest) else ""


def _starts_late(rest: str) -> bool:
    """Whether what follows "was" is no subject, but already its complement: "born in 1901"."""
    return bool(re.match(r"(?:the (?:first|last|only)\b|\w+ed\b|born\b|known\b)", rest)) and not rest.endswith(" as")


def _many(found: re.Match[str], said: str) -> str:
    if (
        re.search(r"\b(?:there|did|do|does|the|a|an)\b|^[A-Z]", " ".join(found["rest"].split()[:2]))
        or not said[0].isdigit()
    ):
        return ""
    count = said if said.lower().endswith(found["noun"].lower()) else f"{said} {found['noun']}"
    return f"{count} {found['verb']} {found['rest']}"


def _place(found: re.Match[str], said: str) -> str:
    parts = _split(found["rest"], _PARTICIPLE)
    if parts is None:
        return ""
    return f"{parts[0]} {found['verb']} {parts[1]} {_with_preposition(said, found['when'])}"


def _did(found: re.Match[str], said: str) -> str:
    parts = _split(found["rest"], _VERB)
    if parts is None:
        return ""
    return f"{parts[0]} did {parts[1]} {_with_preposition(said, found['when'])}"


def _split(rest: str, word: re.Pattern[str]) -> tuple[str, str] | None:
    """Subject, and what it was or did; None unless exactly one word can begin the latter and a noun stands before."""
    found = list(word.finditer(rest))
    if len(found) != 1 or found[0].start() == 0 or " to " in rest[: found[0].start()]:
        return None
    subject, verb = rest[: found[0].start()].strip(), rest[found[0].start() :]
    if not re.fullmatch(rf"(?:{_ARTICLE} )?{_NOUNS}(?: {_NOUNS}){{0,6}}", subject) or _PREPOSITION.search(verb + " ."):
        return None if not re.search(r"\w+ (?:in|on|at|to|for|from|with|by) \w+", verb) else (subject, verb)
    return subject, verb


def _with_preposition(said: str, asked: str) -> str:
    if _PREPOSITION.match(said):
        return said
    if asked == "where" and re.search(r"\b(?:in|outside|inside|near|at)\b", said[:12]):
        return said
    if asked == "where" or re.search(r"\d{4}$", said) or not re.search(r"\d", said):
        return f"in {said}" if not re.search(r"\w+ \d{1,2} ?,? \d{4}$|^\d{1,2} \w+", said) else f"on {said}"
    return f"at {said}" if re.search(r"[ap]\.?m|:\d\d", said) else f"on {said}"


_RULES = {"subject": _subject, "be": _be, "many": _many, "place": _place, "did": _did}


def main() -> None:
    """Prints 100 statements of a question file, drawn with seed 0, to be judged by hand."""
    import random

    from rag.datafiles import read_qa

    rows = [row for row in read_qa(Path(sys.argv[1])) if row.answerable]
    random.Random(0).shuffle(rows)
    made = [(row, text) for row in rows if (text := statement(row.question, row.answers[0]))]
    sys.stdout.write(f"{len(made)} of {len(rows)} questions make a statement\n")
    for row, text in made[:100]:
        sys.stdout.write(f"{row.question} + {row.answers[0]}\t{text}\n")


if __name__ == "__main__":
    main()
