"""The first token's state after a last layer that is computed for it alone is the one that BertModel gives it."""

from __future__ import annotations

import pytest
import torch

from lm.cross_encoder import CrossEncoder, first_of_last, head_inputs, states_before_last
from tests.tiny_bert import make_tiny_bert
from train.bert import load_bert, padded

ROWS = ([2, 7, 9, 3, 11, 12, 13, 3], [2, 7, 3, 9, 3], [2, 5, 3, 8, 6, 10, 14, 15, 16, 17, 3])
SECOND = (4, 3, 3)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> CrossEncoder:
    return CrossEncoder(load_bert(make_tiny_bert(tmp_path_factory.mktemp("base"))), seed=3).eval()


@torch.inference_mode()
def test_it_is_transformers_own_state(model: CrossEncoder) -> None:
    inputs = padded(ROWS, SECOND)
    whole = model.bert(**inputs, output_hidden_states=True)
    states = states_before_last(model.bert, **inputs)
    first = first_of_last(model.bert, states, inputs["attention_mask"])
    kept = inputs["attention_mask"].bool()
    torch.testing.assert_close(states[kept], whole.hidden_states[-2][kept])
    torch.testing.assert_close(first, whole.last_hidden_state[:, 0])
    for row, ids in enumerate(ROWS):  # the mean is over a row's own tokens
        mean = head_inputs(first, states, inputs["attention_mask"])[row, first.shape[1] :]
        torch.testing.assert_close(mean, whole.hidden_states[-2][row, : len(ids)].mean(0))


@torch.inference_mode()
def test_a_pair_does_not_see_its_neighbours_or_padding(model: CrossEncoder) -> None:
    together = model(**padded(ROWS, SECOND))
    for row, (ids, second) in enumerate(zip(ROWS, SECOND, strict=True)):
        torch.testing.assert_close(model(**padded([ids], [second]))[0], together[row])
    changed = padded([[*ROWS[0][:-2], 19, 3], *ROWS[1:]], SECOND)
    assert not torch.allclose(model(**changed)[0], together[0])
