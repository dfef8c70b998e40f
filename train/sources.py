"""What the training questions are made of: rows of data files as passages (`Unit`) with the questions they answer.

A long paragraph is cut into windows of whole sentences; a question goes with the window that holds its answer, and is
left out where no window does. Rows whose question or paragraph stands in a dev file are left out too.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from rag.datafiles import QaRow, SourceText, read_qa
from rag.sentences import sentences
from rag.types import InvalidInput, Turn
from rag.words import read_words
from train.pairs import tidy

_WINDOW_CHARS = 750
_WHOLE_CHARS = 1300  # yes/no answers have no place in the text, so their paragraphs stay whole up to here
_LONGEST_ANSWER = 320  # characters
_SHINGLE = 8  # words
_SEEN_SHARE = 0.5
_SHORT_ANSWER_WORDS = 8
_APOSTROPHE = re.compile(r" ('(?:s|re|ve|ll|d|m)|n't)\b")
_HYPHEN = re.compile(r"(?<=\w) - (?=\w)")


@dataclass(frozen=True, slots=True)
class Source:
    """How one data file is used.

    ``questions``: most questions to take (0: all). ``tokenised``: punctuation stands apart and must be joined.
    ``alike``: another passage of the file may well answer its questions, so distractors are drawn at random and no
    question is called unanswerable for want of its passage. ``free``: answers need not be in the text. ``optional``:
    made by a command of ours, and left out where it was not run. ``window``: most characters of a passage.
    """

    name: str
    questions: int = 0
    tokenised: bool = False
    alike: bool = False
    free: bool = False
    optional: bool = False
    window: int = _WINDOW_CHARS


SOURCES = (
    Source("qed", tokenised=True),
    Source("squad"),
    Source("squad_dev_a"),
    Source("squadshifts_newwiki"),
    Source("squadshifts_amazon", 2500, alike=True),
    Source("qamr", 3000, tokenised=True),
    Source("policyqa", 700, alike=True),
    Source("boolq"),
    Source("condaqa", 3500, alike=True),
    Source("strategyqa", 600),
    Source("claims", 8000, alike=True, optional=True),  # python -m train.claim_questions
    Source("fairytaleqa", 2500, alike=True, free=True),
    Source("doc2dial", 2000, alike=True),
    Source("wikitablequestions", 800, alike=True, window=1300),
    Source("fetaqa", 1500, alike=True, free=True, window=1300),
)


@dataclass(frozen=True, slots=True)
class Ask:
    """A question about a unit. ``answer`` is what to say, empty where the unit does not tell; ``golds`` all answers.

    ``missing`` says why there is no answer: "untold" in the data, or "cut" out of the passage (train/twists.py), when
    ``golds`` are still what it was.
    """

    id: str
    text: str
    answer: str
    golds: tuple[str, ...]
    history: tuple[Turn, ...] = ()
    missing: str = "untold"


@dataclass(frozen=True, slots=True)
class Unit:
    """A passage and its questions; ``paragraph`` is the key of the paragraph it was cut from."""

    source: str
    paragraph: str
    title: str
    text: str
    asks: tuple[Ask, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """Questions, and runs of words of paragraphs, of the dev files."""

    questions: frozenset[str]
    shingles: frozenset[str]

    def holds(self, row: QaRow) -> bool:
        """Whether the row's question, or most of one of its paragraphs, is among them."""
        return plain(row.question) in self.questions or any(self.knows(source.text) for source in row.passages)

    def joined(self, other: Seen) -> Seen:
        """What either holds."""
        return Seen(self.questions | other.questions, self.shingles | other.shingles)

    def knows(self, text: str) -> bool:
        """Whether most of ``text`` is among the paragraphs."""
        own = _shingles(text)
        return len(own & self.shingles) > _SEEN_SHARE * len(own)


def read_dev(folder: Path) -> Seen:
    """What the question files in ``folder`` hold. Raises InvalidInput where there is none."""
    rows = [row for path in _files(folder) for row in read_qa(path)]
    return seen_texts([row.question for row in rows], [source.text for row in rows for source in row.passages])


def seen_texts(questions: Iterable[str], paragraphs: Iterable[str]) -> Seen:
    """What these questions (or claims) and paragraphs hold."""
    return Seen(frozenset(map(plain, questions)), frozenset().union(*map(_shingles, paragraphs)))


def read_source(folder: Path, source: Source, seen: Seen, counts: Counter[str]) -> list[Unit]:
    """The units of one data file, without what ``seen`` holds; ``counts`` gets rows read, repeated and unusable.

    Raises InvalidInput when the file is not in ``folder``, unless it is optional, or cannot be read.
    """
    if source.optional and not any(path.name.split(".")[0] == source.name for path in _files(folder)):
        return []
    path = question_file(folder, source.name)
    paragraphs: dict[SourceText, list[QaRow]] = {}
    for row in read_qa(path):
        counts["read"] += 1
        if seen.holds(row):
            counts["in dev"] += 1
        elif len(row.passages) != 1:
            counts["unusable"] += 1
        else:
            paragraphs.setdefault(row.passages[0], []).append(row)
    units = [unit for paragraph, rows in paragraphs.items() for unit in _units(source, paragraph, rows)]
    used = sum(len(unit.asks) for unit in units)
    counts["unusable"] += sum(len(rows) for rows in paragraphs.values()) - used
    counts["usable"] += used
    return units


def question_file(folder: Path, name: str) -> Path:
    """The file of that name in ``folder``, plain or compressed. Raises InvalidInput when it is not there."""
    path = next((path for path in _files(folder) if path.name.split(".")[0] == name), None)
    if path is None:
        raise InvalidInput(f"{folder}: no {name}.jsonl or {name}.jsonl.gz; give the folder that has it")
    return path


@lru_cache(maxsize=50_000)
def plain(text: str) -> str:
    """Lower-case words with single spaces: what two texts are compared by."""
    return " ".join("".join(c if c.isalnum() else " " for c in text.lower()).split())


def holds(text: str, answer: str) -> bool:
    """Whether ``answer`` stands in ``text`` as whole words, whatever the case and punctuation."""
    return bool(words := plain(answer)) and f" {words} " in f" {plain(text)} "


def _files(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.glob("*.jsonl*") if path.is_file())
    if not found:
        raise InvalidInput(f"{folder}: no question files (*.jsonl, *.jsonl.gz) in it; give the folder that has them")
    return found


def _shingles(text: str) -> frozenset[str]:
    words = plain(text).split()
    return frozenset(" ".join(words[i : i + _SHINGLE]) for i in range(max(1, len(words) - _SHINGLE + 1)))


def _units(source: Source, paragraph: SourceText, rows: Sequence[QaRow]) -> list[Unit]:
    key = hashlib.sha256(f"{paragraph.title}\0{paragraph.text}".encode()).hexdigest()[:16]
    text = _clean(paragraph.text, source)
    windows = [text] if len(text) <= source.window else _windows(text, source.window)
    found: dict[str, list[Ask]] = {window: [] for window in windows}
    for row in rows:
        ask = _ask(row, source)
        if ask.answer or not row.answerable:
            window, ask = _place(ask, row, windows, text, source)
            found.setdefault(window, []).append(ask)
    title = paragraph.title.replace("_", " ").strip()
    return [Unit(source.name, key, title, window, tuple(asks)) for window, asks in found.items() if window]


def _clean(text: str, source: Source) -> str:
    if source.tokenised:
        text = _HYPHEN.sub("-", _APOSTROPHE.sub(r"\1", tidy(text)))
    return "\n".join(line for line in (" ".join(line.split()) for line in text.splitlines()) if line)


def _windows(text: str, longest: int) -> list[str]:
    spans: list[tuple[int, int]] = []
    for start, end in sentences(text):
        if spans and end - spans[-1][0] <= longest:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return [text[start:end] for start, end in spans]


def _ask(row: QaRow, source: Source) -> Ask:
    turns = _turns(row.question)
    golds = tuple(_clean(answer, source).replace("\n", " ") for answer in row.answers) if row.answerable else ()
    return Ask(row.id, turns[-1].text, _usual(golds), golds, turns[:-1])


def _turns(question: str) -> tuple[Turn, ...]:
    """Turns of "user:..." and "agent:..." lines, the question last; other text is one turn."""
    turns: list[Turn] = []
    for line in question.splitlines():
        role, colon, text = line.partition(":")
        if colon and role.strip() in ("user", "agent"):
            turns.append(Turn("user" if role.strip() == "user" else "assistant", text.strip()))
        elif turns and line.strip():
            turns[-1] = replace(turns[-1], text=f"{turns[-1].text} {line.strip()}")
    if turns and turns[-1].role == "user" and turns[-1].text:
        return tuple(turns)
    return (Turn("user", " ".join(question.split())),)


def _usual(golds: Sequence[str]) -> str:
    """The answer most annotators gave, the shorter one where they disagree."""
    votes = Counter(plain(gold) for gold in golds)
    best = min(golds, key=lambda gold: (-votes[plain(gold)], len(gold)), default="")
    if plain(best) in ("yes", "no"):
        return plain(best).capitalize()
    short = len(best.split()) <= _SHORT_ANSWER_WORDS
    return best.strip(" .,;:") if short else best.strip()


def _place(ask: Ask, row: QaRow, windows: Sequence[str], text: str, source: Source) -> tuple[str, Ask]:
    """The window that answers the question, "" where none can be told."""
    whole = text if len(text) <= _WHOLE_CHARS else ""
    if len(ask.answer) > _LONGEST_ANSWER:
        return "", ask
    if not row.answerable or ask.answer in ("Yes", "No"):
        return whole, ask
    holding = [window for window in windows if ask.answer in window]
    if holding:
        wanted = read_words(ask.text).stems
        return max(holding, key=lambda window: len(read_words(window).stems & wanted)), ask
    return (whole if source.free and len(windows) == 1 else ""), ask


def count_asks(units: Iterable[Unit]) -> int:
    """Questions of all units."""
    return sum(len(unit.asks) for unit in units)
