"""The file of a pair encoder: close to what was trained, small, readable again; and an encoder made deeper."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lm.errors import CheckpointBroken
from lm.pair_encoder import PairEncoder, deepened, from_base, load_compact, save_compact

CONFIG = {
    "vocab_size": 2000,
    "hidden_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 1200,
    "max_position_embeddings": 64,
}
IDS = torch.arange(5, 29)[None]
INPUTS = (IDS, torch.ones_like(IDS), torch.zeros_like(IDS))


def made(head: str) -> PairEncoder:
    torch.manual_seed(0)
    return PairEncoder(head, CONFIG).eval()


@pytest.mark.parametrize("head", ["span", "check"])
def test_what_is_written_in_eight_bits_comes_back_close(tmp_path: Path, head: str) -> None:
    model = made(head)
    save_compact(model, tmp_path / "weights.safetensors")
    again = load_compact(tmp_path / "weights.safetensors")
    with torch.inference_mode():
        for ours, theirs in zip(model(*INPUTS), again(*INPUTS), strict=True):
            assert torch.allclose(ours, theirs, atol=0.02)
    plain = sum(value.numel() * 4 for value in model.state_dict().values())
    assert (tmp_path / "weights.safetensors").stat().st_size < 0.4 * plain


def test_a_deeper_encoder_starts_close_to_the_one_it_was_made_of() -> None:
    model = made("check")
    deep = deepened(model, 6).eval()
    assert deep.bert.config.num_hidden_layers == 6
    with torch.inference_mode():
        ours, theirs = model.bert(IDS).last_hidden_state, deep.bert(IDS).last_hidden_state
    # A silent layer adds nothing but its two norms, and states are normed already.
    assert torch.allclose(ours, theirs, atol=1e-4)
    name = "bert.encoder.layer.{}.attention.self.query.weight"
    assert torch.equal(deep.state_dict()[name.format(3)], model.state_dict()[name.format(1)])


@pytest.mark.parametrize("layers", [1, 3])
def test_layers_that_do_not_divide_are_refused(layers: int) -> None:
    with pytest.raises(CheckpointBroken, match=f"{layers} layers cannot be made of 2"):
        deepened(made("span"), layers)


def test_a_deeper_encoder_from_a_folder(tmp_path: Path) -> None:
    from tests.tiny_bert import make_tiny_bert

    model = from_base(make_tiny_bert(tmp_path / "base"), "span", layers=4)
    assert model.config["num_hidden_layers"] == 4
