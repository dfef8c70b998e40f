"""The reranker's network (lm/cross_encoder.py) as an OpenVINO graph, with int8 weights as in lm/export_pair.py.

inputs    input_ids, attention_mask, token_type_ids (N, T) i64
output    (N, 2) f32 logits: relevant, answers
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lm.cross_encoder import CrossEncoder
from lm.errors import CheckpointBroken
from lm.export_pair import trace
from lm.ov import ov


def export_cross(folder: Path, head: Mapping[str, NDArray[Any]], path: Path) -> None:
    """Write ``path`` (.xml) and its .bin, of the BERT in ``folder`` and the head's "weight" (2, 2C) and "bias" (2,).

    Raises CheckpointBroken where ``folder`` holds no BERT, or one that the head does not fit.
    """
    import nncf
    from transformers import BertModel

    try:
        bert = BertModel.from_pretrained(folder, add_pooling_layer=False, local_files_only=True)
        model = CrossEncoder(bert)
        model.head.load_state_dict({name: torch.from_numpy(value.astype(np.float32)) for name, value in head.items()})
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointBroken(f"{folder} holds no model of the BERT family, or another head: {error}") from error
    kept = nncf.IgnoredScope(patterns=["__module.head.*"])  # two rows: no work to speak of, and every digit counts
    graph = nncf.compress_weights(trace(model), mode=nncf.CompressWeightsMode.INT8_ASYM, ignored_scope=kept)
    ov.save_model(graph, path, compress_to_fp16=False)
