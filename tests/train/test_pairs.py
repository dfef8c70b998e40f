from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from rag.datafiles import Label, QaRow, SourceText, read_claims
from rag.words import read_words
from train.claims_file import write_claims
from train.pairs import answer_kind, make_pairs, tidy

TEXTS = {
    "Röntgen": "The first Nobel Prize was awarded to Wilhelm Röntgen in 1901. He was born in Lennep, 1845.",
    "Curie": "Marie Curie won the prize in 1903. She was born in Warsaw in 1867 and married Pierre Curie.",
    "Bohr": "Niels Bohr received it in 1922. He worked in Copenhagen with Max Planck until 1943.",
}


def _row(number: int, title: str, question: str, *answers: str, answerable: bool = True) -> QaRow:
    passages = (SourceText(title, TEXTS[title]),)
    return QaRow(f"q{number}", "toy", question, passages, answers, answerable)


ROWS = [
    _row(0, "Röntgen", "who won the first prize", "Wilhelm Röntgen"),
    _row(1, "Röntgen", "when was it first awarded", "1901", "in 1901"),
    _row(2, "Curie", "when was Curie born", "1867"),
    _row(3, "Curie", "whom did Curie marry", "Pierre Curie"),
    _row(4, "Bohr", "where did Bohr work", "Copenhagen"),
    _row(5, "Bohr", "when did Bohr receive it", "1922"),
    _row(6, "Bohr", "did Bohr receive it", "yes"),
    _row(7, "Bohr", "who knows", "Nobody", answerable=False),
    _row(8, "Bohr", "what is not there", "a gold medal"),
]


def test_each_usable_question_gives_one_right_and_one_wrong_claim() -> None:
    pairs = make_pairs(ROWS, seed=0)
    assert {pair.id.rsplit("-")[0] for pair in pairs} == {f"q{number}" for number in range(7)}
    assert [pair.label for pair in pairs] == [Label.SUPPORTED, Label.NOT_SUPPORTED] * 7


@pytest.mark.parametrize("seed", range(6))
def test_labels_are_true(seed: int) -> None:
    golds = {row.id: row.answers for row in ROWS}
    for pair in make_pairs(ROWS, seed):
        stems = [read_words(gold).stems for gold in golds[pair.id.split("-")[0]]]
        if pair.label is Label.SUPPORTED:
            assert pair.claim in pair.passage or pair.claim == "yes"
        elif pair.id.endswith("other-passage"):
            assert pair.claim not in pair.passage
        elif pair.id.endswith("swapped"):
            assert pair.claim == "no"
        else:
            assert not any(read_words(pair.claim).stems & gold for gold in stems)
            assert (pair.claim in pair.passage) == pair.id.endswith("same-passage")


def test_the_same_seed_gives_the_same_pairs_and_wrong_answers_are_of_the_same_kind() -> None:
    pairs = make_pairs(ROWS, seed=3)
    assert pairs == make_pairs(ROWS, seed=3)
    for right, wrong in zip(pairs[::2], pairs[1::2], strict=True):
        assert answer_kind(right.claim) == answer_kind(wrong.claim)


def test_punctuation_that_a_tokeniser_split_off_is_joined() -> None:
    assert tidy("He ( born 1901 ) said , -LRB- so -RRB- ; yes .") == "He (born 1901) said, (so); yes."


def test_the_command_writes_a_claims_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = [
        {
            "id": row.id,
            "dataset": row.dataset,
            "question": row.question,
            "passages": [{"title": row.passages[0].title, "text": row.passages[0].text}],
            "answers": list(row.answers),
            "answerable": row.answerable,
        }
        for row in ROWS
    ]
    source, target = tmp_path / "qa.jsonl", tmp_path / "pairs.jsonl"
    source.write_text("\n".join(json.dumps(row) for row in fields), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["pairs", str(source), "--out", str(target)])
    write_claims("pairs", make_pairs)
    assert read_claims(target) == make_pairs(ROWS, seed=0)
