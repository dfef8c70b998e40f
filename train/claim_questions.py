"""Claims with labels -> yes/no questions for the generator: there are far more of the former than of the latter.

    python -m train.claim_questions claims/train --out qa/train/claims.jsonl

A supported claim becomes a question whose answer is yes, a refuted one no; one that the passage says nothing of
("nei") becomes an unanswerable question, of which half are kept. Claims that start with a short subject and a plain
verb are turned round, in lower case as people type ("Paris is in France." -> "is Paris in France"); others are asked
about as they stand. Files whose labels do not tell "refuted" from "nei" are not used.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from dataclasses import asdict
from pathlib import Path

from rag.datafiles import ClaimRow, Label, QaRow, SourceText, read_claims
from rag.types import InvalidInput
from train.pairs import tidy

# Most rows of each file: sets with edited twins and Wikipedia facts teach more than logic puzzles.
FILES = {
    "mnli": 3500,
    "cad_nli": 3000,
    "foolmetwice": 1200,
    "fever_symmetric": 800,
    "feverous_dev": 2500,
    "infotabs": 600,
    "checkcovid": 250,
}
_NEI_KEPT = 0.5
_LONGEST_PASSAGE = 900  # characters
_ANSWERS = {Label.SUPPORTED: ("yes",), Label.REFUTED: ("no",), Label.NEI: ()}
_PLAIN = re.compile(r"((?:[\w'’.-]+ ){1,5}?)(is|are|was|were|can|could|will|would) (.+)")
_NO_SUBJECT = re.compile(r"\b(?:that|who|which|what|there|if|when|and|or|to|because|than)\b", re.IGNORECASE)
_ASKED = ("Is it true that {}?", "{} Is that right?", "Is this true? {}")


def claim_questions(rows: list[ClaimRow], seed: int) -> list[QaRow]:
    """A question for each usable row, in order; the seed decides which form it has and which "nei" rows stay."""
    draw = random.Random(seed)
    questions = []
    for row in rows:
        kept = row.label is not Label.NEI or draw.random() < _NEI_KEPT
        text = question_of(tidy(row.claim), draw)
        if kept and row.label in _ANSWERS and len(row.passage) <= _LONGEST_PASSAGE:
            passages = (SourceText("", tidy(row.passage)),)
            answers = _ANSWERS[row.label]
            questions.append(QaRow(row.id, row.dataset, text, passages, answers, bool(answers)))
    return questions


def question_of(claim: str, draw: random.Random) -> str:
    """The yes/no question that ``claim`` answers with yes."""
    body = claim.rstrip(" .")
    found = _PLAIN.fullmatch(body)
    if found and not _NO_SUBJECT.search(found[1]) and draw.random() < 0.8:
        subject = found[1].strip()
        if not re.match(r"[A-Z][\w'’-]* [A-Z]|[A-Z]{2}", subject):  # not the beginning of a name
            subject = subject[0].lower() + subject[1:]
        turned = f"{found[2]} {subject} {found[3]}"
        return turned.lower() if draw.random() < 0.5 else f"{turned[0].upper()}{turned[1:]}?"
    form = draw.choice(_ASKED)
    inside = form.startswith("Is it") and not re.match(r"[A-Z][\w'’-]* [A-Z]|[A-Z]{2}|I\b", body)
    return form.format(body[0].lower() + body[1:] if inside else body if form.startswith("Is it") else f"{body}.")


def main() -> None:
    """Writes the questions of a folder of claim files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("claims", type=Path, help="folder of claim files, JSON lines, plain or gzip")
    parser.add_argument("--out", type=Path, required=True, help="question file to write, JSON lines")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    questions = []
    for name, most in FILES.items():
        path = next((path for path in sorted(options.claims.glob(f"{name}.jsonl*"))), None)
        if path is None:
            raise InvalidInput(f"{options.claims}: no {name}.jsonl or {name}.jsonl.gz; give the folder that has it")
        rows = read_claims(path)
        random.Random(f"{options.seed} {name}").shuffle(rows)
        questions += claim_questions(rows, options.seed)[:most]
    lines = [json.dumps(asdict(question), ensure_ascii=False) for question in questions]
    options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
