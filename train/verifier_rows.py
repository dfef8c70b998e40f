"""Examples for the verifier: a claim, with its question or without, a passage window, and what this says of that.

Claim files (claims/train) as they are, long passages cut to the window that shares most with the claim. From the
question files: right answers and wrong ones of the same kind, with the question or turned into a statement
(train/statements.py); right answers on the wrong window; sentences of the passage, and the same with one thing made
wrong (train/claim_edits.py); and what the generator itself answered (train/on_policy.py), where it was run. Windows
are of one to five sentences. Nothing of a dev file is used, neither questions and claims nor paragraphs.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

from rag.check import MAX_CLAIM, MAX_QUESTION, MAX_TOKENS
from rag.check_windows import Ranking, text_windows
from rag.datafiles import ClaimRow, Label, read_claims
from rag.pair_tokens import Pair, PairTokenizer
from rag.sentences import sentences
from rag.words import read_words
from train.claim_edits import edit, partly
from train.encoder_rows import EncoderRows
from train.made_documents import SOURCE, made_claims
from train.pairs import SPANS, answer_kind, tidy
from train.recipes import Neighbours, strangers, swapped_question
from train.sources import Ask, Seen, Source, Unit, holds, plain, question_file, read_dev, read_source, seen_texts
from train.statements import statement
from train.turned import turned

CLAIM_FILES = {  # most rows of each; 0: all
    **{"mnli": 0, "cad_nli": 6000, "infotabs": 4000, "help_and_or": 800, "breaking_nli": 700, "mnli_task199_nei": 900},
    **{"rte": 0, "folio": 600, "foolmetwice": 0, "fever_symmetric": 0, "factcheckgpt": 0, "expertqa": 0, "begin": 0},
    **{"checkcovid": 0, "multirc": 0, "summedits": 0, "feverous_dev": 0, "citint": 0, "q2_wow": 0},
}
SOURCES = (
    Source("squad", 5000, window=1300),
    Source("squad_dev_a", 3000, window=1300),
    Source("qed", 6000, tokenised=True, window=1300),
    Source("squadshifts_newwiki", 4500, window=1300),
    Source("squadshifts_amazon", 2500, alike=True),
    Source("qamr", 3000, tokenised=True),
    Source("policyqa", 500, alike=True),
    Source("boolq", window=1300),
    Source("condaqa", 4000, alike=True, window=1300),
    Source("strategyqa", 600),
    Source("fairytaleqa", 2500, alike=True, free=True),
    Source("doc2dial", 2000, alike=True),
)
ON_POLICY = "on_policy"  # claims/train/on_policy.jsonl, where train/on_policy.py was run
_ON_POLICY_SET = "on-policy"  # as train/on_policy.py names its rows
_ANSWERS = ("right", "other span", "edited", "absent", "cut", "swapped", "yes/no", "untold")
_TWICE = ("claims",)  # without people's claims the check is worst, docs/training-log.md has the ablation
PARTS = ("claims", "answers", "statements", "sentences", "documents", ON_POLICY)
DOCUMENTS = 8000  # made ones, of four claims each; of a try-out twenty times its --most
LABELS = {Label.SUPPORTED: 0, Label.REFUTED: 1, Label.NEI: 2, Label.NOT_SUPPORTED: 3}
UNKNOWN = (-1, -1)
_STATED, _BOTH = 0.35, 0.2  # of the answers: as a statement alone, as a statement with its question
_SENTENCES = 0.8  # of the units: a sentence, and the same with an error
_WEIGHTS = (0.4, 2.5)  # bounds of what balancing labels within a set may do to a row
_WORDS = (5, 45)


@dataclass(frozen=True, slots=True)
class CheckExample:
    """``wrong``: characters [start, end) of the claim that are wrong, (0, 0) for none, UNKNOWN where nobody knows."""

    source: str
    kind: str
    question: str
    claim: str
    passage: str
    label: Label
    wrong: tuple[int, int] = UNKNOWN


def make_rows(
    data: Path, tokenizer: PairTokenizer, seed: int, most: int, without: Sequence[str] = ()
) -> tuple[EncoderRows, dict[str, Any]]:
    """Rows of ``data``/claims/train and ``data``/qa/train without what both dev folders hold, and counts.

    ``most``: most rows of a file and questions of a source (0: the recipe's). ``without``: PARTS to leave out, to see
    what each is worth. Raises InvalidInput for missing data.
    """
    seen = read_dev(data / "qa" / "dev").joined(_seen_claims(data / "claims" / "dev"))
    examples: list[CheckExample] = []
    report: dict[str, Any] = {"seed": seed, "left out, in dev": {}}
    for name, limit in CLAIM_FILES.items():
        rows = read_claims(question_file(data / "claims" / "train", name))
        made = claim_examples(rows, seen, min(most or 10**9, limit or 10**9), seed)
        report["left out, in dev"][name] = len(rows) - sum(not _in_dev(row, seen) for row in rows)
        examples += made
    for source in SOURCES:
        limited = replace(source, questions=min(most or 10**9, source.questions or 10**9))
        examples += source_examples(data / "qa" / "train", limited, seen, seed)
    if any((data / "claims" / "train").glob(f"{ON_POLICY}.jsonl*")):
        rows = read_claims(question_file(data / "claims" / "train", ON_POLICY))
        examples += claim_examples(rows, seen, most or 10**9, seed)
    documents = min(20 * most or DOCUMENTS, DOCUMENTS)
    examples += [CheckExample(SOURCE, *astuple(made)) for made in made_claims(documents, seed)]
    examples = [example for example in examples if part_of(example) not in without]
    examples += [example for example in examples if part_of(example) in _TWICE]
    random.Random(f"{seed} order").shuffle(examples)
    report["kinds"] = Counter(f"{example.source} {example.kind} {example.label}" for example in examples)
    weights = balance(examples)
    packed = [
        (*row, weight)
        for example, weight in zip(examples, weights, strict=True)
        if (row := to_row(example, tokenizer)) is not None
    ]
    return EncoderRows.pack(packed), report


def part_of(example: CheckExample) -> str:
    """Which of PARTS an example belongs to."""
    if example.source == SOURCE:
        return "documents"
    if example.kind == "file":
        return ON_POLICY if example.source == _ON_POLICY_SET else "claims"
    if example.kind not in _ANSWERS:
        return "sentences"
    return "answers" if example.question else "statements"


def _seen_claims(folder: Path) -> Seen:
    rows = [row for path in sorted(folder.glob("*.jsonl*")) for row in read_claims(path)]
    return seen_texts([row.claim for row in rows], [row.passage for row in rows])


def _in_dev(row: ClaimRow, seen: Seen) -> bool:
    return plain(row.claim) in seen.questions or seen.knows(row.passage)


def claim_examples(rows: Sequence[ClaimRow], seen: Seen, most: int, seed: int) -> list[CheckExample]:
    """At most ``most`` of the rows that no dev file holds."""
    kept = [row for row in rows if not _in_dev(row, seen)]
    draw = random.Random(f"{seed} {kept[0].dataset}" if kept else "")
    examples = []
    for row in draw.sample(kept, min(most, len(kept))):
        question, claim = row.question, tidy(row.claim)
        if row.dataset.startswith("multirc") and "? " in claim:
            question, _, claim = claim.partition("? ")
            question += "?"
        passage = best_window(tidy(row.passage), f"{question} {claim}")
        if claim.strip() and passage:
            examples.append(CheckExample(row.dataset, "file", question, claim, passage, row.label))
    return examples


def best_window(text: str, wanted: str) -> str:
    """The window of ``text`` that shares most with ``wanted``, as when serving; "" without words."""
    windows = text_windows([text])
    if not windows:
        return ""
    window = windows[Ranking.of(windows).best(read_words(wanted).stems, 1)[0]]
    return text[window.start : window.end]


def source_examples(folder: Path, source: Source, seen: Seen, seed: int) -> list[CheckExample]:
    """The examples of one question file, from at most ``source.questions`` questions."""
    draw = random.Random(f"{seed} verifier {source.name}")
    units = read_source(folder, source, seen, Counter())
    draw.shuffle(units)
    nearest = strangers(units, draw) if source.alike else Neighbours(units).of
    examples: list[CheckExample] = []
    asked = 0
    for number, unit in enumerate(units):
        if asked >= source.questions:
            break
        near = [units[place] for place in nearest(number)]
        others = [one.text for one in near[:3]] or [unit.text]
        asked += len(unit.asks)
        for ask in unit.asks:
            examples += _of_ask(ask, unit, near, source, draw)
        if draw.random() < _SENTENCES:
            examples += _of_sentence(unit, others, draw)
    return examples


def _of_ask(ask: Ask, unit: Unit, near: Sequence[Unit], source: Source, draw: random.Random) -> Iterator[CheckExample]:
    question = ask.text
    if ask.answer in ("Yes", "No"):
        other = "No" if ask.answer == "Yes" else "Yes"
        yield CheckExample(unit.source, "yes/no", question, ask.answer, unit.text, Label.SUPPORTED, (0, 0))
        yield CheckExample(unit.source, "yes/no", question, other, unit.text, Label.REFUTED, (0, len(other)))
    elif not ask.answer:
        if span := _other_span(ask, unit, draw):
            yield CheckExample(unit.source, "untold", question, span, unit.text, Label.NEI)
    else:
        at = unit.text.find(ask.answer)
        window = evidence(unit.text, at, draw) if at >= 0 else unit.text
        yield _told(ask, ask.answer, window, unit, "right", Label.SUPPORTED, draw)
        yield from _wrong(ask, window, unit, near, source, draw)


def _told(ask: Ask, answer: str, window: str, unit: Unit, kind: str, label: Label, draw: random.Random) -> CheckExample:
    """An answer as a claim: with its question, as a statement, or as both."""
    chance = draw.random()
    said = statement(ask.text, answer) if chance < _STATED + _BOTH else ""
    claim, question = (said, "" if chance < _STATED else ask.text) if said else (answer, ask.text)
    wrong = UNKNOWN
    if label is Label.SUPPORTED:
        wrong = (0, 0)
    elif kind in ("other span", "other answer", "edited") and (at := claim.lower().find(answer.lower())) >= 0:
        wrong = (at, at + len(answer))
    return CheckExample(unit.source, kind, question, claim, window, label, wrong)


def _wrong(
    ask: Ask, window: str, unit: Unit, near: Sequence[Unit], source: Source, draw: random.Random
) -> Iterator[CheckExample]:
    """One that is not supported, of a kind drawn from those that the question allows."""
    golds = (ask.answer, *ask.golds)
    for kind in draw.sample(("other span", "edited", "absent", "cut", "swapped", "other span"), 6):
        if kind == "other span" and (span := _other_span(ask, unit, draw)):
            yield _told(ask, span, window, unit, kind, Label.NOT_SUPPORTED, draw)
            return
        if kind == "edited" and (made := edit(ask.answer, [unit.text], draw)) and not holds(window, made.text):
            told = _told(ask, made.text, window, unit, kind, made.label, draw)
            at = told.wrong[0]
            yield told if at < 0 else replace(told, wrong=(at + made.start, at + made.end))
            return
        if kind == "absent" and not source.alike:
            away = [one.text for one in near if not any(holds(f"{one.title}\n{one.text}", gold) for gold in golds)]
            if away:
                yield _told(ask, ask.answer, evidence(away[0], 0, draw), unit, kind, Label.NEI, draw)
                return
        if kind == "cut" and (rest := _without(unit.text, golds)):
            yield _told(ask, ask.answer, rest, unit, kind, Label.NEI, draw)
            return
        if kind == "swapped" and not source.alike:
            hidden = [one for one in near if one.paragraph != unit.paragraph]
            other = turned(ask.text, unit, draw) or swapped_question(
                ask.text, f"{unit.title}\n{unit.text}", hidden, draw
            )
            if other:
                asked = replace(ask, text=other)
                yield _told(asked, ask.answer, window, unit, kind, Label.NOT_SUPPORTED, draw)
                return


def _other_span(ask: Ask, unit: Unit, draw: random.Random) -> str:
    """A span of the passage of the same kind that is no answer: shares no word with one, nor repeats the question."""
    kind = answer_kind(ask.answer or "Name")
    golds = [read_words(gold).stems for gold in (ask.answer, *ask.golds) if gold]
    asked = read_words(ask.text).stems
    spans = [other.answer for other in unit.asks if other.answer and answer_kind(other.answer) == kind]
    spans += sorted(set(SPANS.get(kind, SPANS["name"]).findall(unit.text)))
    for span in draw.sample(spans, len(spans)):
        stems = read_words(span).stems
        if stems and not any(stems & gold for gold in golds) and not stems <= asked and span not in ("Yes", "No"):
            return span
    return ""


def evidence(text: str, at: int, draw: random.Random) -> str:
    """One to five neighbouring sentences, among them the one with character ``at``."""
    spans = sentences(text)
    if not spans:
        return text
    own = next((number for number, (_, end) in enumerate(spans) if at < end), len(spans) - 1)
    size = draw.randint(1, 5)
    first = max(0, own - draw.randint(0, size - 1))
    return text[spans[first][0] : spans[min(len(spans), max(first + size, own + 1)) - 1][1]]


def _without(text: str, golds: Sequence[str]) -> str:
    """The sentences before or after those that hold an answer; "" where too little is left."""
    kept = [text[start:end] for start, end in sentences(text)]
    rest = " ".join(sentence for sentence in kept if not any(holds(sentence, gold) for gold in golds))
    return rest if len(rest) > 80 and not any(holds(rest, gold) for gold in golds) else ""


def _of_sentence(unit: Unit, others: Sequence[str], draw: random.Random) -> Iterator[CheckExample]:
    """A sentence of the passage, whole or without its last clause, and one with an error; sometimes two sentences."""
    spans = [
        (start, end)
        for start, end in sentences(unit.text)
        if _WORDS[0] <= len(unit.text[start:end].split()) <= _WORDS[1] and unit.text[end - 1] != "?"
    ]
    if not spans:
        return
    start, end = draw.choice(spans)
    claim = unit.text[start:end]
    shorter = claim.rpartition(",")[0]
    if draw.random() < 0.5 and len(shorter.split()) >= _WORDS[0]:
        claim = f"{shorter}."
    window = evidence(unit.text, start, draw)
    yield CheckExample(unit.source, "sentence", "", claim, window, Label.SUPPORTED, (0, 0))
    if made := edit(claim, [unit.text, *others], draw):
        before = [unit.text[slice(*span)] for span in spans if span[1] <= start]
        if before and draw.random() < 0.25:
            made, window = partly(before[-1], made), unit.text
        wrong = (made.start, made.end)
        yield CheckExample(unit.source, made.kind, "", made.text, window, made.label, wrong)
    if (rest := _without(unit.text, [claim.rstrip(".")])) and draw.random() < 0.3:
        yield CheckExample(unit.source, "cut sentence", "", claim, rest, Label.NEI)


def balance(examples: Sequence[CheckExample]) -> list[float]:
    """A weight each: supported and the rest count alike within a source, as far as _WEIGHTS lets them."""
    counts = Counter((example.source, example.label is Label.SUPPORTED) for example in examples)
    weights = []
    for example in examples:
        own = counts[example.source, example.label is Label.SUPPORTED]
        other = counts[example.source, example.label is not Label.SUPPORTED]
        weights.append(min(_WEIGHTS[1], max(_WEIGHTS[0], (own + other) / (2 * own))) if other else _WEIGHTS[0])
    return weights


def to_row(example: CheckExample, tokenizer: PairTokenizer) -> tuple[Pair, tuple[int, int, int]] | None:
    """The row, and as targets the label and the wrong tokens [first, last) of the row; None where the claim is long."""
    asked, claim, passage = tokenizer.read([example.question, example.claim, example.passage])
    asked = asked.cut(max(0, len(asked) - MAX_QUESTION), len(asked))
    if not 0 < len(claim) <= MAX_CLAIM or not len(passage):
        return None
    pair = tokenizer.pair(asked.ids, claim.ids, passage.cut(0, MAX_TOKENS - len(asked) - len(claim) - 4).ids)
    wrong = example.wrong
    if wrong[1] > wrong[0] >= 0:
        inside = (claim.spans[:, 1] > wrong[0]) & (claim.spans[:, 0] < wrong[1])  # (T,)
        first = int(inside.argmax())
        wrong = (pair.claim_at + first, pair.claim_at + first + int(inside.sum())) if inside.any() else UNKNOWN
    return pair, (LABELS[example.label], *wrong)
