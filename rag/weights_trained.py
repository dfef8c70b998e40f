"""The models that we trained, in models/, made ready to run once and kept in HOME/models.

    models/answerable-135m/adapter_model.safetensors + models/smollm2-135m's weights -> HOME/models/answerable-135m
    models/answerable-rerank/adapter_model.safetensors + models/minilm-l6's weights -> HOME/models/answerable-rerank
    models/answerable-embed/adapter_model.safetensors, likewise, where the trained encoder was worth keeping
    models/answerable-reader/weights.safetensors + minilm-l6's tokenizer -> HOME/models/answerable-reader
    models/answerable-check/ the same -> HOME/models/answerable-check

The repository ships only what training learned; the rest is made on the operator's machine, at `models pull`. A pair
encoder (reader, check) is one of ours as soon as its files are in models/.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rag.encode import IR_FILE, TOKENIZER_FILE, sha256_of
from rag.pair_model import CARD_FILE, GRAPH_FILES, PAIR_WEIGHTS, PairCard
from rag.types import ModelBroken, ModelMissing

ADAPTER_FILE = "adapter_model.safetensors"
RERANKER, RETRIEVER = "answerable-rerank", "answerable-embed"
READER, CHECK = "answerable-reader", "answerable-check"


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """What training made (the folder ``adapter``), and the base model (a name in HOME/models) that it was trained on.

    ``file`` says which kind it is: an adapter's, or a pair encoder's weights. ``conversion`` is raised whenever what
    `make_trained` makes changes; ``room`` is the disk space in bytes it takes.
    """

    name: str
    role: str
    version: str
    parent: str
    adapter: Path
    conversion: int = 2
    room: int = 800_000_000
    file: str = ADAPTER_FILE

    @property
    def sha256(self) -> str:
        """SHA-256 of the weights, for a pair encoder with its card. Raises ModelMissing when they are not there."""
        weights = sha256_of(self.weights)
        if self.file == ADAPTER_FILE:
            return weights
        card = json.dumps(asdict(PairCard.read(self.adapter)), sort_keys=True)
        return hashlib.sha256(f"{weights}|{card}".encode()).hexdigest()

    @property
    def weights(self) -> Path:
        """The weights that training made. Raises ModelMissing when they are not there."""
        path = self.adapter / self.file
        if not path.is_file():
            raise ModelMissing(f"{path}: no such file; the checkout is not whole, check it out again")
        return path


def trained_models() -> tuple[TrainedModel, ...]:
    """The models that this repository ships; those on MiniLM where their weights are there."""
    folder = models_in_repository()
    adapter = folder / "answerable-135m"
    generator = TrainedModel("answerable-135m", "generator", "0.4", "smollm2-135m", adapter, conversion=3)
    pairs = (pair_encoder(READER, "reader", folder), pair_encoder(CHECK, "verifier", folder))
    rankers = (ranker(RERANKER, "reranker", "0.2", folder, 3), ranker(RETRIEVER, "retriever", "0.1", folder))
    return (generator, *(model for model in (*pairs, *rankers) if (model.adapter / model.file).is_file()))


def pair_encoder(name: str, role: str, folder: Path) -> TrainedModel:
    """A pair encoder in ``folder``/``name``, trained from minilm-l6."""
    return TrainedModel(name, role, "0.2", "minilm-l6", folder / name, room=150_000_000, file=PAIR_WEIGHTS)


def ranker(name: str, role: str, version: str, folder: Path, conversion: int = 2) -> TrainedModel:
    """An encoder in ``folder``/``name`` that ranks passages, trained from minilm-l6."""
    return TrainedModel(name, role, version, "minilm-l6", folder / name, conversion, 200_000_000)


def make_trained(model: TrainedModel, parent: Path, out: Path) -> None:
    """Write to ``out`` what runs, of the model and its base in ``parent``. Raises ModelBroken when they do not fit."""
    from lm.errors import LmError

    try:
        if model.file == PAIR_WEIGHTS:
            _make_pair(model, parent, out)
        elif model.role in ("reranker", "retriever"):
            _make_ranker(model, parent, out)
        else:
            _make_generator(model, parent, out)
    except LmError as error:
        raise ModelBroken(str(error)) from error


def _make_generator(model: TrainedModel, parent: Path, out: Path) -> None:
    """The sum of base and adapter, with its int8 graph."""
    from lm.export import export_openvino
    from lm.lora import merge

    merge(parent, model.weights.parent, out)
    export_openvino(out, out / "int8")


def _make_ranker(model: TrainedModel, parent: Path, out: Path) -> None:
    from rag.rerank_export import export_reranker, export_retriever

    export = export_reranker if model.role == "reranker" else export_retriever
    export(parent, model.weights, out, model.name)


def _make_pair(model: TrainedModel, parent: Path, out: Path) -> None:
    """The int8 graph of a pair encoder, its base's tokenizer, and its card with the hashes of both."""
    from lm.export_pair import export_pair
    from lm.pair_encoder import load_compact

    card = PairCard.read(model.adapter)
    export_pair(load_compact(model.weights), out / IR_FILE)
    try:
        shutil.copyfile(parent / TOKENIZER_FILE, out / TOKENIZER_FILE)
    except FileNotFoundError as error:
        raise ModelBroken(f"{parent / TOKENIZER_FILE} is missing; run: answerable models pull") from error
    card = replace(card, hashes={name: sha256_of(out / name) for name in GRAPH_FILES})
    (out / CARD_FILE).write_text(json.dumps(asdict(card), indent=1, sort_keys=True) + "\n", "utf-8")


def models_in_repository() -> Path:
    """The folder models/ beside the packages: what in-house training produced."""
    return Path(__file__).resolve().parent.parent / "models"
