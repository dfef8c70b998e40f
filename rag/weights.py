"""Models in HOME/models: find them, list them, check them. rag/weights_pull.py brings them.

Each model is a folder with a manifest.json, written last and moved into place whole, so a folder that has one is
finished.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rag.encode import sha256_of
from rag.types import InvalidInput, ModelBroken, ModelMissing
from rag.weights_source import BASE_MODELS, BaseModel
from rag.weights_trained import TrainedModel

MANIFEST_FILE = "manifest.json"
CURE = "run: answerable models pull"


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One model on this machine. ``sha256`` is that of its source weights; ``parent`` is empty for base weights."""

    name: str
    role: str
    version: str
    sha256: str
    parent: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a model folder is made of. ``files`` and ``sizes`` (bytes) go by path below the folder.

    ``sha256`` is that of the weights it was converted from, by the ``conversion``-th version of the conversion.
    """

    name: str
    role: str
    version: str
    source: str
    parent: str
    sha256: str
    conversion: int
    files: dict[str, str]
    sizes: dict[str, int]

    @property
    def info(self) -> ModelInfo:
        """The manifest in short."""
        return ModelInfo(self.name, self.role, self.version, self.sha256, self.parent)


def verify(home: Path, models: Sequence[BaseModel] = BASE_MODELS) -> list[str]:
    """Hash every file of every model again; returns one line a problem, none when all is as it was made."""
    folder = home / "models"
    problems = [_missing(home, model.name) for model in models if not (folder / model.name).is_dir()]
    pinned = {model.name: model.sha256 for model in models}
    for path in _model_folders(folder):
        try:
            manifest = read_manifest(path)
        except (ModelMissing, ModelBroken) as error:
            problems.append(str(error))
            continue
        expected = pinned.get(manifest.name, manifest.sha256)
        if manifest.sha256 != expected:
            problems.append(f"{path} was made from weights {manifest.sha256}, expected {expected}")
        problems.extend(_altered(path, manifest))
    return problems


def list_models(home: Path) -> tuple[ModelInfo, ...]:
    """The finished models in HOME/models, by name."""
    found = []
    for path in _model_folders(home / "models"):
        with contextlib.suppress(ModelMissing, ModelBroken):
            found.append(read_manifest(path).info)
    return tuple(found)


def require(home: Path, name: str) -> Path:
    """The folder of model ``name``, after a check that costs no reading: manifest there, files of the right size.

    Raises ModelMissing when it is not there or was never finished, ModelBroken when a file is gone or cut short,
    InvalidInput when ``name`` is no folder name.
    """
    if name in ("", ".", "..") or Path(name).name != name:
        raise InvalidInput(f"model name {name!r} must be the name of a folder in {home / 'models'}")
    path = home / "models" / name
    if not path.is_dir():
        raise ModelMissing(_missing(home, name))
    manifest = read_manifest(path)
    wrong = wrong_sizes(path, manifest)
    if wrong:
        raise ModelBroken(f"{path / wrong[0]} is not the {manifest.sizes[wrong[0]]} bytes it was; {CURE}")
    return path


def fingerprint(folder: Path) -> str:
    """12 hex digits over what ``folder`` was made from, and how. Raises ModelMissing, ModelBroken."""
    manifest = read_manifest(folder)
    return hashlib.sha256(f"{manifest.sha256}|{manifest.conversion}".encode()).hexdigest()[:12]


def _missing(home: Path, name: str) -> str:
    if name in {model.name for model in BASE_MODELS}:
        return f"{name} is not in {home / 'models'}; {CURE} (offline: answerable models pull --from FOLDER)"
    known = ", ".join(model.name for model in list_models(home)) or "none"
    return f"{name} is not in {home / 'models'} (there: {known}); see: answerable models list"


def finished(folder: Path, model: BaseModel | TrainedModel) -> Manifest | None:
    """The manifest of ``model`` when this version's conversion of these very weights is there, whole."""
    try:
        manifest = read_manifest(folder / model.name)
    except (ModelMissing, ModelBroken):
        return None
    ours = manifest.sha256 == model.sha256 and manifest.conversion == model.conversion
    return manifest if ours and not wrong_sizes(folder / model.name, manifest) else None


def _model_folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def read_manifest(path: Path) -> Manifest:
    """The manifest of the model folder ``path``. Raises ModelMissing without one, ModelBroken for a damaged one."""
    try:
        manifest = Manifest(**json.loads((path / MANIFEST_FILE).read_text("utf-8")))
    except FileNotFoundError:
        raise ModelMissing(f"{path} is not there or not finished ({MANIFEST_FILE} is missing); {CURE}") from None
    except (OSError, ValueError, TypeError) as error:
        raise ModelBroken(f"{path / MANIFEST_FILE} cannot be read ({error}); {CURE}") from error
    if not isinstance(manifest.files, dict) or not isinstance(manifest.sizes, dict):
        raise ModelBroken(f"{path / MANIFEST_FILE} lists no files; {CURE}")
    return manifest


def wrong_sizes(path: Path, manifest: Manifest) -> list[str]:
    """The files below ``path`` that are gone or not of the size that the manifest says."""
    return [name for name, size in manifest.sizes.items() if _size(path / name) != size]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _altered(path: Path, manifest: Manifest) -> list[str]:
    problems = []
    for name, expected in manifest.files.items():
        try:
            found = sha256_of(path / name)
        except OSError as error:
            problems.append(f"{path / name} cannot be read: {error.strerror}")
            continue
        if found != expected:
            problems.append(f"{path / name} was altered: sha256 {found}, expected {expected}")
    return problems
