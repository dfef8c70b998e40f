"""Claims with the passages that bear them out -> groups for the reranker: scientific and encyclopaedic, no questions.

    python -m train.claim_groups --claims claims/train --dev qa/dev --dev-claims claims/dev --out mined

The wrong passages of a claim are those of other rows of its file that share most words with it; a passage that any row
calls support for the claim is none of them. Whether a passage "answers" a claim is not said (``told`` is False), so
that these groups teach ranking alone. Writes OUT/claims.jsonl, which train/reranker.py reads where it is there.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from rag.datafiles import ClaimRow, Label, read_claims
from rag.words import read_words
from train.encoder_run import write_text
from train.groups import CLAIMS_FILE, Group, passage_text
from train.pairs import tidy
from train.recipes import Neighbours
from train.sources import Ask, Seen, Unit, plain, question_file, read_dev, seen_texts

FILES = ("citint", "checkcovid", "factcheckgpt", "feverous_dev", "foolmetwice", "expertqa", "begin")
_PASSAGE_CHARS = 900
_CLAIM_WORDS = 5  # at least
_NEGATIVES = 8


def claim_groups(rows: Sequence[ClaimRow], seen: Seen) -> Iterator[Group]:
    """A group for each supported claim of one file that no dev file holds and that has wrong passages beside it."""
    units = [_unit(row) for row in rows if row.passage.strip() and not seen.knows(row.passage)]
    nearest = Neighbours(units)
    for number, unit in enumerate(units):
        claim = unit.asks[0]
        if claim.answer and len(claim.text.split()) >= _CLAIM_WORDS and plain(claim.text) not in seen.questions:
            others = [units[place] for place in nearest.of(number)]
            wrong = dict.fromkeys(other.text for other in others if other.text != unit.text)
            if wrong:
                texts = tuple(passage_text("", text) for text in list(wrong)[:_NEGATIVES])
                yield Group(claim.text, passage_text("", unit.text), texts, told=False, source=unit.source)


def _unit(row: ClaimRow) -> Unit:
    """The claim as what is asked of its passage, cut around the words they share; answered where it is supported."""
    text = tidy(row.passage)
    claim = tidy(row.claim)
    if len(text) > _PASSAGE_CHARS:
        wanted = read_words(claim).stems
        starts = range(0, len(text) - _PASSAGE_CHARS + 1, _PASSAGE_CHARS // 3)
        best = max(starts, key=lambda start: len(wanted & read_words(text[start : start + _PASSAGE_CHARS]).stems))
        text = text[best : best + _PASSAGE_CHARS].split(" ", 1)[-1].rsplit(" ", 1)[0]
    told = row.label is Label.SUPPORTED
    return Unit(row.dataset, text, "", text, (Ask(row.id, claim, "*" if told else "", ()),))


def main() -> None:
    """Writes the groups of all files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--claims", type=Path, required=True, help="folder of claim files to train on")
    parser.add_argument("--dev", type=Path, required=True, help="folder of question files that must not be trained on")
    parser.add_argument("--dev-claims", type=Path, required=True, help="folder of claim files likewise")
    parser.add_argument("--out", type=Path, required=True, help="folder that train.mining wrote to")
    given = parser.parse_args()
    held = [row for path in sorted(given.dev_claims.glob("*.jsonl*")) for row in read_claims(path)]
    seen = read_dev(given.dev).joined(seen_texts([row.claim for row in held], [row.passage for row in held]))
    groups: list[Group] = []
    for name in FILES:
        made = list(claim_groups(read_claims(question_file(given.claims, name)), seen))
        sys.stdout.write(f"{name}: {len(made)} groups\n")
        groups += made
    random.Random(0).shuffle(groups)
    write_text(given.out / CLAIMS_FILE, "".join(json.dumps(asdict(group)) + "\n" for group in groups))


if __name__ == "__main__":
    main()
