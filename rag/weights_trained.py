"""The models that we trained: adapters in models/, each added to its base weights once and kept in HOME/models.

    models/answerable-135m/adapter_model.safetensors + models/smollm2-135m's weights -> HOME/models/answerable-135m

The repository ships only what training learned; the sum of both is made on the operator's machine, at `models pull`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rag.encode import sha256_of
from rag.types import ModelBroken, ModelMissing

ADAPTER_FILE = "adapter_model.safetensors"


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """An adapter, and the base model (a name in HOME/models) that it was trained on.

    ``conversion`` is raised whenever what `make_trained` makes changes; ``room`` is the disk space in bytes it takes.
    """

    name: str
    role: str
    version: str
    parent: str
    adapter: Path
    conversion: int = 2
    room: int = 800_000_000

    @property
    def sha256(self) -> str:
        """SHA-256 of the adapter's weights. Raises ModelMissing when they are not there."""
        return sha256_of(self.weights)

    @property
    def weights(self) -> Path:
        """The adapter's weights. Raises ModelMissing when they are not there."""
        path = self.adapter / ADAPTER_FILE
        if not path.is_file():
            raise ModelMissing(f"{path}: no such file; the checkout is not whole, check it out again")
        return path


def trained_models() -> tuple[TrainedModel, ...]:
    """The adapters that this repository ships."""
    folder = models_in_repository()
    return (TrainedModel("answerable-135m", "generator", "0.2", "smollm2-135m", folder / "answerable-135m"),)


def make_trained(model: TrainedModel, parent: Path, out: Path) -> None:
    """Write the sum of base and adapter to ``out``, with its int8 graph. Raises ModelBroken when they do not fit."""
    from lm.errors import LmError
    from lm.export import export_openvino
    from lm.lora import merge

    try:
        merge(parent, model.weights.parent, out)
        export_openvino(out, out / "int8")
    except LmError as error:
        raise ModelBroken(str(error)) from error


def models_in_repository() -> Path:
    """The folder models/ beside the packages: what in-house training produced."""
    return Path(__file__).resolve().parent.parent / "models"
