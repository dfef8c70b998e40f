"""Labels of the examples are true, dev rows stay out, and the seed decides everything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rag.datafiles import QaRow, read_qa
from rag.prompt import NO_ANSWER, parse_answer
from rag.types import InvalidInput, Turn
from train.recipes import Example, make_groups
from train.sources import Seen, Source, holds, read_dev, read_source
from train.twists import as_searched

SOURCES = (Source("squad"), Source("boolq"), Source("doc2dial", alike=True))
NOTHING = Seen(frozenset(), frozenset())


def examples_of(train: Path, dev: Path, seeds: range = range(8)) -> list[Example]:
    groups = [group for seed in seeds for group in make_groups(train, dev, seed, SOURCES)[0]]
    return [example for group in groups for example in group]


def rows_by_question(train: Path) -> dict[str, QaRow]:
    return {as_searched(row.question): row for path in train.iterdir() for row in read_qa(path)}


def test_the_passage_cited_holds_the_answer_and_no_other_does(train_folder: Path, dev_folder: Path) -> None:
    answered = [example for example in examples_of(train_folder, dev_folder) if example.kind == "span"]
    assert len(answered) > 50
    for example in answered:
        parsed = parse_answer(example.answer, len(example.passages))
        assert parsed.cited == (example.gold + 1,)
        holding = [i for i, passage in enumerate(example.passages) if holds(passage.text, parsed.text)]
        assert holding == [example.gold], example
        assert example.answer.endswith(f" [{example.gold + 1}]")


def test_a_refusal_is_never_shown_a_passage_with_an_answer(train_folder: Path, dev_folder: Path) -> None:
    rows = rows_by_question(train_folder)
    refusals = [example for example in examples_of(train_folder, dev_folder) if example.gold < 0]
    assert {"absent", "swapped"} <= {example.kind for example in refusals}
    for example in refusals:
        assert example.answer == NO_ANSWER
        if example.kind == "absent" and rows[as_searched(example.question.text)].answers != ("yes",):
            golds = rows[as_searched(example.question.text)].answers
            assert not any(holds(passage.text, gold) for passage in example.passages for gold in golds)
        question = as_searched(example.question.text)
        if example.kind == "swapped" and question in rows:  # a question of another town, not shown
            golds = rows[question].answers
            assert not any(holds(passage.text, gold) for passage in example.passages for gold in golds)


def test_passages_come_in_every_number_and_place(train_folder: Path, dev_folder: Path) -> None:
    examples = examples_of(train_folder, dev_folder)
    assert {len(example.passages) for example in examples} == {1, 2, 3, 4, 5}
    places = Counter(example.gold for example in examples if len(example.passages) == 3)
    assert {0, 1, 2} <= set(places)
    for example in examples:
        assert len({passage.text for passage in example.passages}) == len(example.passages)


def test_rows_of_the_dev_files_are_left_out(train_folder: Path, dev_folder: Path) -> None:
    seen = read_dev(dev_folder)
    counts: Counter[str] = Counter()
    units = read_source(train_folder, Source("squad"), seen, counts)
    asked = {ask.id for unit in units for ask in unit.asks}
    # Aldon's paragraph stands in squad2, the question for Farholt's mayor, in other letters, in nq_oracle.
    assert counts["in dev"] == 4
    assert not {"Aldon-1", "Aldon-2", "Aldon-3", "Farholt-2"} & asked
    assert {"Farholt-1", "Farholt-3"} <= asked
    assert counts["read"] == 24 == counts["in dev"] + counts["usable"] + counts["unusable"]


def test_the_seed_decides_everything(train_folder: Path, dev_folder: Path) -> None:
    first, report = make_groups(train_folder, dev_folder, 5, SOURCES)
    again, _ = make_groups(train_folder, dev_folder, 5, SOURCES)
    other, _ = make_groups(train_folder, dev_folder, 6, SOURCES)
    assert first == again
    assert first != other
    assert report["examples"] == sum(map(len, first)) == sum(report["sources"][s.name]["examples"] for s in SOURCES)
    assert abs(sum(report["kinds"].values()) - 1) < 0.001


def test_a_dialogue_becomes_question_and_history(train_folder: Path) -> None:
    (unit,) = read_source(train_folder, Source("doc2dial"), NOTHING, Counter())
    (ask,) = unit.asks
    assert ask.text == "Yesterday. What now?"
    assert ask.history == (Turn("user", "I lost my card."), Turn("assistant", "When was that?"))


def test_a_long_paragraph_is_cut_around_the_answer(tmp_path: Path, write_rows: Callable[..., None]) -> None:

    filler = " ".join(f"Sentence number {n} tells of nothing that anybody asked for." for n in range(40))
    text = f"{filler} The vault opens at noon. {filler}"
    row: dict[str, Any] = {"id": "v", "dataset": "t", "question": "When does the vault open?", "answers": ["at noon"]}
    write_rows(tmp_path / "t" / "squad.jsonl", [row | {"passages": [{"title": "", "text": text}], "answerable": True}])
    (unit,) = [u for u in read_source(tmp_path / "t", Source("squad"), NOTHING, Counter()) if u.asks]
    assert "at noon" in unit.text
    assert 300 < len(unit.text) <= 750
    assert unit.text in text


def test_the_answer_most_annotators_gave_is_taken(tmp_path: Path, write_rows: Callable[..., None]) -> None:
    text = "It was built on 4 May 1901 in Rome."
    golds = ["on 4 May 1901", "4 May 1901", "4 May 1901."]
    fields = {"id": "a", "dataset": "t", "question": "When?", "answers": golds, "answerable": True}
    write_rows(tmp_path / "t" / "squad.jsonl", [fields | {"passages": [{"title": "", "text": text}]}])
    (unit,) = read_source(tmp_path / "t", Source("squad"), NOTHING, Counter())
    assert unit.asks[0].answer == "4 May 1901"
    assert unit.asks[0].golds == tuple(golds)


def test_a_tokenised_file_is_joined_in_text_and_answer_alike(tmp_path: Path, write_rows: Callable[..., None]) -> None:
    passage = {"title": "", "text": "The queen 's well - known palace ( built 1901 ) , they say , is old ."}
    fields = {"id": "a", "dataset": "t", "question": "whose palace", "answers": ["The queen 's well - known palace"]}
    write_rows(tmp_path / "t" / "qed.jsonl", [fields | {"passages": [passage], "answerable": True}])
    (unit,) = read_source(tmp_path / "t", Source("qed", tokenised=True), NOTHING, Counter())
    assert unit.text == "The queen's well-known palace (built 1901), they say, is old."
    assert unit.asks[0].answer == "The queen's well-known palace"


def test_a_folder_without_the_file_is_refused_by_name(tmp_path: Path, train_folder: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no qed\.jsonl"):
        read_source(train_folder, Source("qed"), NOTHING, Counter())
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match="no question files"):
        read_dev(tmp_path / "empty")


def test_some_questions_are_as_typed_into_a_search_box(train_folder: Path, dev_folder: Path) -> None:
    asked = [example.question.text for example in examples_of(train_folder, dev_folder)]
    typed = [text for text in asked if text == as_searched(text)]
    assert 0.1 < len(typed) / len(asked) < 0.4
