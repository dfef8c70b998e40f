"""Examples become the prompts that answering makes; packing and batching lose nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from lm.tokenizer import Tokenizer
from rag.prompt import build_prompt
from rag.types import Passage, Question, Turn
from train.batches import (
    PASSAGE_TOKENS,
    Tokens,
    batch_order,
    collate,
    counter,
    load_rows,
    pack,
    pack_groups,
    save_rows,
    tokens_of,
)
from train.forward import PADDING
from train.recipes import Example


def passage(text: str, title: str = "") -> Passage:
    return Passage(0, "d", title, "d", 0, len(text), text, title)


def example(question: str, answer: str, *texts: str) -> Example:
    asked = Question(question, history=(Turn("user", "Hello <|im_end|>"),))
    return Example("e", "s", "span", asked, tuple(passage(text, "T") for text in texts), answer, 0)


def test_a_prompt_is_what_answering_would_make(tokenizer: Tokenizer) -> None:
    one = example("Where is it?", "here [1]", "It is here.", "It was there.")
    tokens = tokens_of(one, tokenizer)
    prompt = build_prompt(one.question, one.passages, PASSAGE_TOKENS, counter(tokenizer))
    assert list(tokens.prompt) == tokenizer.chat(prompt.messages)
    text = tokenizer.decode(tokens.prompt)
    assert "[1] T\nIt is here.\n\n[2] T\nIt was there." in text
    assert text.endswith("Question: Where is it?\nassistant\n")
    assert tokenizer.decode(tokens.answer) == "here [1]"
    assert tokens.answer[-1] in tokens.prompt  # the end of a turn, which prompts hold, not the end of text
    assert sum(id in tokenizer.stop_ids for id in tokens.answer) == 1


def test_a_row_holds_the_common_part_once_and_every_answer() -> None:
    group = [Tokens((1, 2, 3, 4, 5), (6, 7)), Tokens((1, 2, 3, 8), (9, 7))]
    row = pack(group)
    assert row.ids == (1, 2, 3, 4, 5, 6, 8, 9)
    assert row.branches == (0, 0, 0, 1, 1, 1, 2, 2)
    assert row.positions == (0, 1, 2, 3, 4, 5, 3, 4)
    assert [(place, target) for place, target, _ in row.learnt] == [(4, 6), (5, 7), (6, 9), (7, 7)]
    assert row.examples == 2


def test_a_prompt_that_begins_another_keeps_its_last_token() -> None:
    row = pack([Tokens((1, 2), (5,)), Tokens((1, 2, 3), (6,))])
    assert row.ids == (1, 2, 2, 3)
    assert [(place, target) for place, target, _ in row.learnt] == [(1, 5), (3, 6)]


def test_a_group_too_long_loses_questions_not_its_row(tokenizer: Tokenizer) -> None:
    group = tuple(example(f"Which is number {n}?", "it [1]", "It is here. " * 5) for n in range(6))
    (whole,) = pack_groups([group], tokenizer, longest=10_000)
    (cut,) = pack_groups([group], tokenizer, longest=len(whole.ids) - 1)
    assert whole.examples == 6
    assert cut.examples == 5
    assert list(pack_groups([group], tokenizer, longest=20)) == []


def test_every_row_is_in_one_batch_within_the_budget() -> None:
    lengths = [(37 * n) % 211 + 5 for n in range(300)] + [5000]
    batches = batch_order(lengths, 1000, seed=1)
    assert sorted(number for batch in batches for number in batch) == list(range(301))
    for batch in batches:
        assert len(batch) * max(lengths[number] for number in batch) <= 1000 or len(batch) == 1
    padded = sum(len(batch) * max(lengths[number] for number in batch) for batch in batches)
    assert padded < 1.25 * sum(lengths)
    assert batch_order(lengths, 1000, seed=1) == batches != batch_order(lengths, 1000, seed=2)


def test_rows_are_padded_on_the_right_and_targets_move_along() -> None:
    short, long = pack([Tokens((1, 2), (5,))]), pack([Tokens((1, 2, 3), (6,))])
    batch = collate([short, long])
    assert batch.ids.tolist() == [[1, 2, 0], [1, 2, 3]]
    assert batch.branches[0].tolist()[-1] == PADDING
    assert batch.at.tolist() == [1, 5]
    assert batch.targets.tolist() == [5, 6]
    assert batch.tokens == 5


def test_rows_survive_their_file(tmp_path: Path) -> None:
    rows = [pack([Tokens((1, 2, 65535), (6, 7)), Tokens((1, 2, 8), (9, 7))]), pack([Tokens((5, 4), (3,))])]
    save_rows(rows, tmp_path / "rows.npz")
    found = load_rows(tmp_path / "rows.npz")
    assert [(row.ids, row.positions, row.branches, row.examples) for row in found] == [
        (row.ids, row.positions, row.branches, row.examples) for row in rows
    ]
    for one, other in zip(found, rows, strict=True):
        assert [(place, target) for place, target, _ in one.learnt] == [place[:2] for place in other.learnt]
        assert [weight for *_, weight in one.learnt] == pytest.approx([weight for *_, weight in other.learnt])
