"""The models that we trained: adapters in models/, each added to its base weights once and kept in HOME/models.

    models/answerable-135m/adapter_model.safetensors + models/smollm2-135m's weights -> HOME/models/answerable-135m
    models/answerable-rerank/adapter_model.safetensors + models/minilm-l6's weights -> HOME/models/answerable-rerank
    models/answerable-embed/adapter_model.safetensors, likewise, where the trained encoder was worth keeping

The repository ships only what training learned; the sum of both is made on the operator's machine, at `models pull`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rag.encode import sha256_of
from rag.types import ModelBroken, ModelMissing

ADAPTER_FILE = "adapter_model.safetensors"
RERANKER, RETRIEVER = "answerable-rerank", "answerable-embed"


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
    """The models that this repository ships; those on MiniLM where their weights are there."""
    folder = models_in_repository()
    generator = TrainedModel("answerable-135m", "generator", "0.2", "smollm2-135m", folder / "answerable-135m")
    on_minilm = (
        TrainedModel(name, role, "0.1", "minilm-l6", folder / name, room=200_000_000)
        for name, role in ((RERANKER, "reranker"), (RETRIEVER, "retriever"))
        if (folder / name / ADAPTER_FILE).is_file()
    )
    return (generator, *on_minilm)


def make_trained(model: TrainedModel, parent: Path, out: Path) -> None:
    """Write the sum of base and adapter to ``out``, with its int8 graph. Raises ModelBroken when they do not fit."""
    if model.role == "generator":
        _make_generator(model, parent, out)
        return
    from rag.rerank_export import export_reranker, export_retriever

    export = export_reranker if model.role == "reranker" else export_retriever
    export(parent, model.weights, out, model.name)


def _make_generator(model: TrainedModel, parent: Path, out: Path) -> None:
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
