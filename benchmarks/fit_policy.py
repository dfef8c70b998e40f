"""How the thresholds of rag/policy.py were chosen: what was asked once is decided again with each of them.

    python -m benchmarks.fit_policy QA_DEV_FOLDER --kept drafts.jsonl       kept by benchmarks/fit_answers.py

Each line is a choice of `refuse_at`, `read_over` and `min_right`, and for each suite F1 over answerable questions (a
refusal scores 0) and F1 of refusing. The ratings are the shipped ones, so run it after benchmarks/fit_answers.py. The
last lines tell, for each signal alone, the area under the ROC curve of telling squad2's unanswerable questions.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import cast

from benchmarks.fit_answers import SUITES, read_kept
from eval.calibration import auroc
from eval.measures import mean
from eval.metrics import refusal_scores
from rag.answer_support import AnswerRater, Draft
from rag.answers import token_f1
from rag.build import build_rater
from rag.choose import Chooser, Written
from rag.datafiles import QaRow, read_qa
from rag.generate import Piece
from rag.pipeline import NEVER
from rag.policy import Policy
from rag.prompt import ParsedAnswer
from rag.reader import Reader, Reading
from rag.types import Claim, Passage, Verdict
from train.sources import question_file

REFUSALS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, NEVER)
READS_OVER = (0.0, 0.05, 0.1, 1.0)
RIGHTS = (0.0, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of a suite with the generator's draft, None for a refusal, and the reader's, None without a span."""

    suite: str
    row: QaRow
    own: Draft | None
    span: Draft | None

    @property
    def any(self) -> Draft:
        """What both drafts know alike: the reading, and how the generator wrote."""
        found = self.own or self.span
        assert found is not None
        return found


@dataclass(frozen=True, slots=True)
class Kept:
    """Stands for the reader, with what it read then."""

    reading: Reading

    def read(self, _question: str, _passages: Sequence[Passage], n_best: int = 5) -> Reading:
        """That, whatever is asked."""
        return Reading(self.reading.no_answer, self.reading.spans[:n_best])


def main() -> None:
    """Print a line a choice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of the dev question files")
    parser.add_argument("--kept", type=Path, default=Path("drafts.jsonl"))
    given = parser.parse_args()
    asked = list(gather(given.folder, given.kept))
    rater = build_rater()
    for refuse_at, read_over, min_right in product(REFUSALS, READS_OVER, RIGHTS):
        policy = Policy(refuse_at=refuse_at, read_over=read_over, min_right=min_right)
        told = "  ".join(f"{suite} {f1:.4f} {_shown(refusal)}" for suite, (f1, refusal) in judge(asked, rater, policy))
        print(f"refuse_at {refuse_at:<4} read_over {read_over:<4} min_right {min_right:<4}  {told}", flush=True)
    some = [one for one in asked if one.suite.startswith("squad2")]
    absent = [not one.row.answerable for one in some]
    print(f"AUROC, squad2: unanswerable {auroc([one.any.unanswerable or 0.0 for one in some], absent)}")
    print(f"AUROC, squad2: reader's no_answer {auroc([one.any.reading.no_answer for one in some], absent)}")
    print(f"AUROC, squad2: rating {auroc([-_rating(one, rater) for one in some], absent)}")


def gather(folder: Path, kept: Path) -> Iterator[Asked]:
    """The questions of ``kept`` with their rows."""
    drafts: dict[tuple[str, str], list[Draft]] = defaultdict(list)
    for rated in read_kept(kept):
        drafts[rated.suite, rated.id].append(rated.draft)
    for suite, limit in SUITES.items():
        for row in read_qa(question_file(folder, suite.split("/")[0]), limit):
            some = drafts.get((suite, row.id))
            if some:
                own = next((draft for draft in some if draft.text == draft.written), None)
                yield Asked(suite, row, own, next((draft for draft in some if draft is not own), None))


def judge(
    asked: Sequence[Asked], rater: AnswerRater | None, policy: Policy
) -> list[tuple[str, tuple[float, float | None]]]:
    """F1 over answerable questions and F1 of refusing, by suite; None where nothing is unanswerable."""
    found: Mapping[str, list[tuple[Asked, str]]] = defaultdict(list)
    for one in asked:
        found[one.suite].append((one, answer(one, rater, policy)))
    figures = []
    for suite, answers in found.items():
        f1 = mean([token_f1(text, one.row.answers) for one, text in answers if one.row.answerable]) or 0.0
        refused, answerable = [not text for _, text in answers], [one.row.answerable for one, _ in answers]
        figures.append((suite, (f1, refusal_scores(refused, answerable)["refusal_f1"])))
    return figures


def answer(one: Asked, rater: AnswerRater | None, policy: Policy) -> str:
    """What the policy would have answered; "" for a refusal."""
    known = one.any
    supports = {draft.text: draft.support for draft in (one.own, one.span) if draft is not None}
    gated = (known.unanswerable or 0.0) >= policy.refuse_at
    refused = gated or one.own is None
    parsed = ParsedAnswer("" if refused else known.written, (), refused)
    first = Piece("", known.sure[0] if known.sure else 0.5, known.unanswerable)
    pieces = (first, *(Piece("", probability) for probability in known.sure[1:]))

    def check(text: ParsedAnswer) -> tuple[Claim, ...]:
        if text.text not in supports:  # nothing of it could be checked then
            return ()
        return (Claim(text.text, 0, len(text.text), supports[text.text], Verdict.SUPPORTED),)

    chooser = Chooser(policy, cast(Reader, Kept(known.reading)), rater)
    choice = chooser.choose("", (), Written(parsed, pieces, known.nearest), check)
    return "" if choice.reason else choice.parsed.text


def _rating(one: Asked, rater: AnswerRater | None) -> float:
    rated = [rater.rate(draft) for draft in (one.own, one.span) if draft and rater]
    return max((value for value in rated if value is not None), default=0.0)


def _shown(refusal: float | None) -> str:
    return "" if refusal is None else f"({refusal:.3f})"


if __name__ == "__main__":
    main()
