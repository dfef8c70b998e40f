"""The graph of a pair encoder against torch, in every width: a narrow layer in int8 once gave garbage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lm.export_pair import INPUTS, export_pair
from lm.ov import ov
from lm.pair_encoder import from_base
from rag.encode import compile_int8
from tests.pairs import write_base


@pytest.mark.parametrize(("streams", "unpacked"), [(1, False), (2, False), (2, True)])
@pytest.mark.parametrize(("width", "weights"), [(48, "float32"), (48, "int8"), (64, "int8"), (80, "int8")])
def test_it_computes_what_torch_computes(
    tmp_path: Path, width: int, weights: str, streams: int, unpacked: bool
) -> None:
    torch.manual_seed(3)
    model = from_base(write_base(tmp_path / "base", ["nine watts"], width), "check").eval()
    export_pair(model, tmp_path / "model.xml", weights)
    random = np.random.default_rng(4)
    ids, types = random.integers(5, 70, (3, 24)), random.integers(0, 2, (3, 24))
    tensors = dict(zip(INPUTS, (ids, np.ones_like(ids), types), strict=True))
    found = compile_int8(tmp_path / "model.xml", streams, unpacked)(tensors)
    with torch.inference_mode():
        wanted = model(*(torch.from_numpy(tensor) for tensor in tensors.values()))
    for place, expected in enumerate(wanted):
        assert found[place] == pytest.approx(expected.numpy(), abs=0.05)


def test_wide_layers_are_int8_and_the_heads_are_not(tmp_path: Path) -> None:
    export_pair(from_base(write_base(tmp_path / "base", ["nine watts"]), "check"), tmp_path / "model.xml")
    stored = [
        node for node in ov.Core().read_model(tmp_path / "model.xml").get_ops() if node.get_type_name() == "Constant"
    ]
    eighths = sorted(tuple(node.get_output_shape(0)) for node in stored if node.get_element_type() == ov.Type.u8)
    layer = [(64, 64)] * 4 + [(64, 128), (128, 64)]
    assert [shape for shape in eighths if shape[1] > 1 and shape[0] in (64, 128)] == sorted(2 * layer)
    assert not any(shape[0] in (1, 3) for shape in eighths)


def test_other_weights_are_refused(tmp_path: Path) -> None:
    model = from_base(write_base(tmp_path / "base", ["nine watts"]), "span")
    with pytest.raises(ValueError, match="'int4' is not one of"):
        export_pair(model, tmp_path / "model.xml", "int4")
