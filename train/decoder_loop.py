"""The training loop of the decoder: packed rows, and the loss of their answers (train/loop.py has the rest)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import nn

from lm.model import Decoder
from train.batches import Row, collate
from train.forward import compiled_block, packed_logits, plain_block, weighted_loss
from train.loop import BatchLoss, LoopOptions, RowLoop
from train.ranks import Ranks


class DecoderLoop(RowLoop):
    """A run of the decoder over packed rows."""

    def __init__(
        self,
        model: Decoder,
        weights: Mapping[str, nn.Parameter],
        rows: Sequence[Row],
        options: LoopOptions,
        out: Path,
        ranks: Ranks = Ranks(),  # noqa: B008 (frozen)
    ) -> None:
        super().__init__(model, weights, rows, options, out, ranks)
        self._decoder, self._rows = model, rows
        self._block = compiled_block() if options.compiled else plain_block

    def loss_of(self, numbers: list[int]) -> BatchLoss:
        """See BaseLoop."""
        batch = collate([self._rows[number] for number in numbers]).to(self.options.device)
        loss = weighted_loss(packed_logits(self._decoder, batch, self._block), batch)
        return BatchLoss(loss, batch.tokens, batch.examples)
