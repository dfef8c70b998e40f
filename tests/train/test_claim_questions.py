"""Questions made of claims ask what the claim says, and have its label as their answer."""

from __future__ import annotations

import json
import random
import re
import sys
from pathlib import Path

import pytest

from rag.datafiles import ClaimRow, Label, read_qa
from rag.types import InvalidInput
from train import claim_questions
from train.claim_questions import FILES, question_of


def claim(number: int, text: str, label: Label, passage: str = "Paris is the capital of France.") -> ClaimRow:
    return ClaimRow(f"c-{number}", "test", passage, text, label)


def test_the_label_is_the_answer() -> None:
    rows = [
        claim(1, "Paris is in France.", Label.SUPPORTED),
        claim(2, "Paris is in Peru.", Label.REFUTED),
        claim(3, "Paris is rich.", Label.NOT_SUPPORTED),  # may be refuted or not told of: no question
        claim(4, "Paris is in France.", Label.SUPPORTED, passage="Paris. " * 200),  # too long
        *(claim(number, "Paris is old.", Label.NEI) for number in range(5, 105)),
    ]
    questions = claim_questions.claim_questions(rows, seed=0)
    answers = {question.id: question.answers for question in questions}
    assert answers["c-1"] == ("yes",) and answers["c-2"] == ("no",)
    assert "c-3" not in answers and "c-4" not in answers
    untold = [question for question in questions if question.id not in ("c-1", "c-2")]
    assert 30 < len(untold) < 70 and not any(question.answerable for question in untold)


def test_questions_keep_every_word_of_the_claim() -> None:
    claims = ["Paris is in France.", "The tower that leans was built in 1173.", "New York can be loud.", "It rains."]
    for text in claims:
        asked = {question_of(text, random.Random(seed)) for seed in range(40)}
        assert len(asked) > 1
        words = set(re.findall(r"\w+", text.lower()))
        assert all(words <= set(re.findall(r"\w+", question.lower())) for question in asked)
    assert "is paris in france" in {question_of(claims[0], random.Random(seed)) for seed in range(40)}
    assert not any(question_of(claims[1], random.Random(seed)).startswith("Was the") for seed in range(40))


def test_the_command_writes_a_question_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FILES:
        row = {"id": name, "dataset": name, "passage": "It rains.", "claim": "The sky is wet.", "label": "supported"}
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    out = tmp_path / "claims.jsonl"
    monkeypatch.setattr(sys, "argv", ["claim_questions", str(tmp_path), "--out", str(out)])
    claim_questions.main()
    assert [row.id for row in read_qa(out)] == list(FILES)
    (tmp_path / "mnli.jsonl").unlink()
    with pytest.raises(InvalidInput, match=r"no mnli\.jsonl"):
        claim_questions.main()
