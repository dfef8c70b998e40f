"""Sessions of both engines: rows that are padded, picked, repeated and dropped, against a model without a cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lm.checkpoint import load
from lm.engine import Engine
from lm.model import Decoder


@pytest.fixture(scope="module")
def model(wide_folder: Path) -> Decoder:
    return load(wide_folder, "float32").eval()


def expected(model: Decoder, ids: list[int]) -> NDArray[np.float32]:
    """Logits (T, V)."""
    import torch

    with torch.no_grad():
        logits: NDArray[np.float32] = model(torch.tensor([ids]))[0].numpy()
    return logits


def some(count: int, seed: int = 0) -> list[int]:
    ids: list[int] = np.random.default_rng(seed).integers(3, 400, size=count).tolist()
    return ids


def test_logits_after_each_of_several_tokens(either_engine: Engine, model: Decoder) -> None:
    prompt, run = some(20), some(5, 1)
    with either_engine.session(25) as session:
        assert np.abs(session.feed(prompt) - expected(model, prompt)[-1]).max() < 1e-3
        assert np.abs(session.feed_each(run) - expected(model, prompt + run)[-5:]).max() < 1e-3


def test_dropped_tokens_were_never_there(either_engine: Engine, model: Decoder) -> None:
    prompt = some(20)
    with either_engine.session(60) as session:
        session.feed(prompt)
        text = list(prompt)
        for turn, wrong in enumerate((1, 4, 3, 0, 2)):
            good, bad = some(3, 10 + turn), some(wrong, 20 + turn)
            session.feed_each([*good, *bad])
            session.drop(wrong)
            text += good
            text += (last := some(2, 30 + turn))
            assert np.abs(session.feed_each(last) - expected(model, text)[-2:]).max() < 1e-3


def test_rows_of_different_lengths(either_engine: Engine, model: Decoder) -> None:
    short, long = some(7), some(19, 1)
    ids = np.array([[0] * 12 + short, long], dtype=np.int64)
    mask = np.array([[0] * 12 + [1] * 7, [1] * 19], dtype=np.int64)
    with either_engine.session(40) as session:
        logits = session.feed_rows(ids, mask)
        assert np.abs(logits - [expected(model, short)[-1], expected(model, long)[-1]]).max() < 1e-3
        logits = session.feed_rows(np.array([[5, 6], [8, 9]]))
        both = [expected(model, [*short, 5, 6])[-1], expected(model, [*long, 8, 9])[-1]]
        assert np.abs(logits - both).max() < 1e-3


@pytest.mark.parametrize("rows", [[1, 0, 2], [2, 2, 0], [1], [2, 0], [0, 1, 2, 1, 0, 2]])
def test_rows_go_on_from_any_row(either_engine: Engine, model: Decoder, rows: list[int]) -> None:
    prompts = [some(9, seed) for seed in range(3)]
    with either_engine.session(40) as session:
        session.feed_rows(np.array(prompts))
        session.feed_rows(np.array([[30], [31], [32]]))
        new = some(len(rows), 5)
        logits = session.feed_rows(np.array(new)[:, None], rows=rows)
        texts = [[*prompts[row], 30 + row, id] for row, id in zip(rows, new, strict=True)]
        assert np.abs(logits - [expected(model, text)[-1] for text in texts]).max() < 1e-3
        back = list(range(len(rows)))[::-1]
        logits = session.feed_rows(np.array([[7]] * len(rows)), rows=back)
        assert np.abs(logits - [expected(model, [*texts[row], 7])[-1] for row in back]).max() < 1e-3


def test_padding_keeps_its_row_when_rows_are_picked(either_engine: Engine, model: Decoder) -> None:
    short, long = some(4), some(15, 1)
    ids = np.array([[0] * 11 + short, long], dtype=np.int64)
    with either_engine.session(40) as session:
        session.feed_rows(ids, (ids > 0).astype(np.int64))
        logits = session.feed_rows(np.array([[5], [6], [7]]), rows=[1, 0, 0])
        texts = [[*long, 5], [*short, 6], [*short, 7]]
        assert np.abs(logits - [expected(model, text)[-1] for text in texts]).max() < 1e-3
