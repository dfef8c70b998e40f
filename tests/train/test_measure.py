"""Dev figures by hand, and batched answers against decoding one by one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lm.checkpoint import load
from lm.decode import greedy
from lm.tokenizer import Tokenizer
from lm.torch_engine import TorchEngine
from rag.datafiles import QaRow, SourceText
from train.measure import NEW_TOKENS, DevRow, answer_all, dev_sample, score


def row(id: str, dataset: str, *answers: str) -> DevRow:
    return DevRow(QaRow(id, dataset, "?", (SourceText("", "text"),), answers, bool(answers)), (1,))


def test_scores_by_hand() -> None:
    sample = [
        row("1", "a", "The red house"),
        row("2", "a", "five", "5"),
        row("3", "b", "x"),
        row("4", "b"),
        row("5", "b"),
    ]
    answers = ["red house! [1]", "5 old apples [1]", "Not in the documents.", "Not in the documents.", "made up [1]"]
    scores = score(sample, answers)
    assert scores.em == pytest.approx(1 / 3, abs=1e-4)
    assert scores.f1 == pytest.approx((1 + 0.5 + 0) / 3, abs=1e-4)
    assert scores.by_dataset == {"a": 0.75, "b": 0.0}
    assert (scores.refusal_precision, scores.refusal_recall, scores.refusal_f1) == (0.5, 0.5, 0.5)


def test_batched_answers_are_those_of_one_by_one(base: Path, tokenizer: Tokenizer) -> None:
    prompts = [tokenizer.encode("word " * count + "?") for count in (3, 17, 1, 40, 8, 8, 2, 5, 11)]
    answers = answer_all(load(base), prompts, tokenizer)
    engine = TorchEngine(base)
    for prompt, answer in zip(prompts, answers, strict=True):
        steps = greedy(engine, prompt, NEW_TOKENS, tokenizer.stop_ids)
        assert answer == tokenizer.decode([step.token for step in steps])
    assert len(set(answers)) > 1


def test_the_sample_is_fixed_and_half_unanswerable(dev_folder: Path, tokenizer: Tokenizer) -> None:
    sample = dev_sample(dev_folder, tokenizer, {"squad2": 2}, seed=0, longest=2000)
    assert sorted(one.row.id for one in sample) == ["sq-1", "sq-2"]
    assert [one.row.id for one in sample] == [
        one.row.id for one in dev_sample(dev_folder, tokenizer, {"squad2": 2}, longest=2000)
    ]
    assert dev_sample(dev_folder, tokenizer, {"squad2": 2}, longest=50) == []


def test_no_answer_begins_with_a_token_that_is_never_first(base: Path, tokenizer: Tokenizer) -> None:
    prompts = [tokenizer.encode(text) for text in ("one two", "three four five")]
    free = answer_all(load(base), prompts, tokenizer)
    model = load(base)
    logits = model(torch.tensor([prompts[0]]))[0, -1]
    barred = answer_all(model, prompts[:1], tokenizer, int(logits.argmax()))
    assert barred[0] != free[0]
