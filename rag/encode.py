"""Text to unit vectors: the Encoder protocol and its two implementations.

OpenVinoEncoder is for CPUs: int8 weights, activations quantised token by token while running, no torch in the process.
TorchEncoder is sentence-transformers in fp32, for GPUs and as the reference. Both read a folder made by
rag/encode_export.py. Letters in shape comments: N texts, B texts of one batch, T tokens, D vector dimension.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from rag.types import InvalidInput, ModelBroken, ModelMissing

CARD_FILE = "encoder.json"
IR_FILE = "openvino_model.xml"
WEIGHTS_FILE = "model.safetensors"
TOKENIZER_FILE = "tokenizer.json"

# Each text is padded to the next multiple of its own length, never to that of its neighbours. With AMX a row of 224
# tokens takes less time than one of 216.
_LENGTH_STEP = 16
BATCH_TOKENS = 1024  # measured: larger batches leave the cache and are no faster; a waiting query waits less
_TOKENIZE_AT_ONCE = 2048  # texts; bounds the memory that the tokenizer's own records take
_CHARS_PER_TOKEN = 64  # what encode reads of a text is max_tokens times this; prose has 4 to 6 characters a token
_QUANTISATION_GROUP = 64  # channels that share one scale; 128 is 4% faster, and below .995 for some one-word texts


class Encoder(Protocol):
    """Maps texts to unit vectors whose inner product is their cosine similarity."""

    name: str
    fingerprint: str  # first 12 hex digits over weights and settings that change the vectors
    dimension: int
    max_tokens: int  # longer texts are cut

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of ``texts``, shape (N, dimension), float32, unit rows; (0, dimension) for no texts."""
        ...

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, uncut, without the two special ones that encode adds."""
        ...


@dataclass(frozen=True, slots=True)
class EncoderCard:
    """What a model folder says of itself (encoder.json): how to pool, how long, and the hashes of its weights.

    ``hashes`` holds the SHA-256 of every file that the vectors depend on.
    """

    name: str
    dimension: int
    max_tokens: int
    pooling: str
    hashes: dict[str, str]

    @classmethod
    def read(cls, folder: Path) -> EncoderCard:
        """Raises ModelMissing without the file, ModelBroken when it cannot be understood."""
        path = folder / CARD_FILE
        try:
            card = cls(**json.loads(path.read_text("utf-8")))
        except FileNotFoundError:
            raise ModelMissing(
                f"{folder} holds no encoder ({CARD_FILE} is missing); run: answerable models pull"
            ) from None
        except (OSError, ValueError, TypeError) as error:
            raise ModelBroken(f"{path} cannot be read ({error}); run: answerable models pull") from error
        if card.pooling != "mean":
            raise ModelBroken(f"{path} asks for pooling {card.pooling!r}; this version knows only 'mean'")
        return card

    def check(self, folder: Path, names: Sequence[str]) -> None:
        """Raises ModelBroken when one of the files ``names`` is absent or is not the one that was exported."""
        for name in names:
            try:
                found = sha256_of(folder / name)
            except OSError as error:
                raise ModelBroken(f"{folder / name} cannot be read ({error}); run: answerable models pull") from error
            expected = self.hashes.get(name, "none")
            if found != expected:
                raise ModelBroken(
                    f"{folder / name} was altered: sha256 {found[:12]}, expected {expected[:12]};"
                    " remove the folder and run: answerable models pull"
                )

    def fingerprint(self, precision: str) -> str:
        """12 hex digits over all that changes the vectors; the same wherever the same weights run at ``precision``."""
        parts = (self.hashes[WEIGHTS_FILE], self.hashes[TOKENIZER_FILE], self.pooling, self.max_tokens, precision)
        return hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()[:12]


class TextTokenizer:
    """WordPiece ids of texts, without padding; safe to share between threads, since it is never reconfigured."""

    def __init__(self, path: Path, max_tokens: int) -> None:
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises no narrower one, whatever is wrong with the file
            raise ModelBroken(f"{path} cannot be read ({error}); run: answerable models pull") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._first, self._last = self._tokenizer.encode("", add_special_tokens=True).ids
        self._max_tokens = max_tokens

    def ids(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """Ids of each text between the two special ones, at most max_tokens in all; at least those two."""
        limit = self._max_tokens * _CHARS_PER_TOKEN
        return [
            np.array([self._first, *tokens.ids[: self._max_tokens - 2], self._last], dtype=np.int64)
            for tokens in self._encode([text[:limit] for text in _valid(texts)])
        ]

    def counts(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, uncut, without special ones."""
        return [len(tokens.ids) for tokens in self._encode(_valid(texts))]

    def _encode(self, texts: list[str]) -> Iterator[Any]:
        for start in range(0, len(texts), _TOKENIZE_AT_ONCE):
            part = texts[start : start + _TOKENIZE_AT_ONCE]
            yield from self._tokenizer.encode_batch_fast(part, add_special_tokens=False)


class OpenVinoEncoder:
    """An `Encoder` on the CPU. A text's vector depends on that text alone, to the last digit, whatever its batch is.

    One thread works on a batch and the batches run side by side, so the number of cores does not change a vector
    either; another CPU family may (bf16 where the CPU has it). Safe to call from several threads.
    """

    def __init__(self, folder: Path, threads: int = 0) -> None:
        card = EncoderCard.read(folder)
        card.check(folder, (IR_FILE, str(Path(IR_FILE).with_suffix(".bin")), TOKENIZER_FILE))
        self.name, self.dimension, self.max_tokens = card.name, card.dimension, card.max_tokens
        self.fingerprint = card.fingerprint(f"int8/{_QUANTISATION_GROUP}")
        self._tokenizer = TextTokenizer(folder / TOKENIZER_FILE, card.max_tokens)
        self._streams = threads or len(os.sched_getaffinity(0))
        self._compiled = compile_int8(folder / IR_FILE, self._streams)
        # Without AVX-512 the order in which kernels sum hangs on the size of the batch; single texts are as fast there.
        self._batch_tokens = BATCH_TOKENS if _processor_has("avx512f") else 1

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See Encoder. Raises InvalidInput for what is no text."""
        ids = self._tokenizer.ids(texts)
        out = np.empty((len(ids), self.dimension), dtype=np.float32)  # (N, D)
        # No AsyncInferQueue: its callback thread wants the GIL once more after the last result, and a process that
        # ends just then is aborted ("terminate called without an active exception"; 9 of 18 runs).
        running: deque[tuple[Any, list[int]]] = deque()
        for rows in length_batches([len(row) for row in ids], self._batch_tokens):
            free = len(running) < self._streams
            request = self._compiled.create_infer_request() if free else _collect(running, out)
            request.start_async(_tensors([ids[row] for row in rows]))
            running.append((request, rows))
        while running:
            _collect(running, out)
        return out

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """See Encoder."""
        return self._tokenizer.counts(texts)


class TorchEncoder:
    """An `Encoder` through sentence-transformers, fp32, on ``device`` ("cuda", "cuda:1", "cpu")."""

    def __init__(self, folder: Path, device: str) -> None:
        import torch
        from sentence_transformers import SentenceTransformer

        card = EncoderCard.read(folder)
        card.check(folder, (WEIGHTS_FILE, TOKENIZER_FILE))
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise InvalidInput(f"device {device!r}: torch sees no usable GPU; use cpu")
        self.name, self.dimension, self.max_tokens = card.name, card.dimension, card.max_tokens
        self.fingerprint = card.fingerprint("fp32")
        self._tokenizer = TextTokenizer(folder / TOKENIZER_FILE, card.max_tokens)
        self._model = SentenceTransformer(str(folder), device=device, local_files_only=True)
        self._model.max_seq_length = card.max_tokens
        self._lock = threading.Lock()  # Hugging Face's tokenizers are reconfigured at each call

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See Encoder. Raises InvalidInput for what is no text."""
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        cut = [text[: self.max_tokens * _CHARS_PER_TOKEN] for text in _valid(texts)]
        with self._lock:
            vectors = self._model.encode(cut, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, dtype=np.float32)  # (N, D)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """See Encoder."""
        return self._tokenizer.counts(texts)


def load_encoder(folder: Path, device: str, threads: int = 0) -> Encoder:
    """The encoder of ``folder`` for ``device``: "cpu" through OpenVINO, "cuda" through torch.

    threads: CPU threads, 0 for all that this process may use. Raises ModelMissing, ModelBroken, and InvalidInput for
    another device or one that is not there.
    """
    if device == "cpu":
        return OpenVinoEncoder(folder, threads)
    if device.split(":")[0] == "cuda":
        return TorchEncoder(folder, device)
    raise InvalidInput(f"device {device!r} is not one of cpu, cuda")


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _collect(running: deque[tuple[Any, list[int]]], out: NDArray[np.float32]) -> Any:
    """Wait for the request that was started first, put its vectors into their rows, and return it, free again."""
    request, rows = running.popleft()
    request.wait()
    out[rows] = request.get_output_tensor(0).data  # (B, D)
    return request


def compile_int8(path: Path, streams: int, unpacked: bool = False) -> Any:
    """The graph in ``path``, ready to run ``streams`` batches side by side. Raises ModelBroken.

    ``unpacked``: where the processor has AMX, weights take twice the memory and longer to load, and a batch takes less
    time; elsewhere it changes nothing.
    """
    from lm.ov import ov  # not at the top: a process that only needs the protocol does not pay for it

    core = ov.Core()
    has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    settings = {
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": streams,
        # The kernel may move our threads: another process of ours would be pinned to the same cores.
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": "bf16" if has_bf16 else "f32",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": _QUANTISATION_GROUP,
    }
    try:
        graph = core.read_model(path)
        if unpacked and has_bf16 and _processor_has("amx_bf16"):
            _unpack(graph)
        return core.compile_model(graph, "CPU", settings)
    except RuntimeError as error:
        raise ModelBroken(f"{path} cannot be loaded ({error}); run: answerable models pull") from error


def _unpack(graph: Any) -> None:
    """Turn int8 weights into plain ones, once: with AMX the plugin would do so again with every batch."""
    from openvino.passes import ConstantFolding, Manager

    passes = Manager()
    passes.register_pass(ConstantFolding())
    passes.run_passes(graph)


def _processor_has(feature: str) -> bool:
    """What Linux says of the processor; elsewhere it is not known, and not assumed."""
    try:
        return feature in Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return False


def length_batches(lengths: list[int], budget: int = BATCH_TOKENS) -> Iterator[list[int]]:
    """Row numbers batch by batch: longest first, equal padded length within a batch, then in the order given.

    A batch has at most ``budget`` tokens, or one row.

    Padding to a length that the text alone decides is what makes its vector independent of its neighbours: attention
    over more padding sums in another order, and quantisation makes a last digit a third one.
    """
    order = sorted(range(len(lengths)), key=lambda row: (-padded_length(lengths[row]), row))
    batch: list[int] = []
    for row in order:
        width = padded_length(lengths[row])
        if batch and (width != padded_length(lengths[batch[0]]) or width * (len(batch) + 1) > budget):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def padded_length(length: int) -> int:
    """The length that a row of ``length`` tokens is padded to."""
    return -(-length // _LENGTH_STEP) * _LENGTH_STEP


def _tensors(rows: list[NDArray[np.int64]]) -> dict[str, NDArray[np.int64]]:
    width = padded_length(max(map(len, rows)))
    ids = np.zeros((len(rows), width), dtype=np.int64)  # (B, T)
    mask = np.zeros_like(ids)  # (B, T)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = row
        mask[place, : len(row)] = 1
    return {"input_ids": ids, "attention_mask": mask}


def _valid(texts: Sequence[str]) -> list[str]:
    """The texts, lone surrogates (which no encoding can carry) replaced. Raises InvalidInput for what is no text."""
    for text in texts:
        if not isinstance(text, str):
            raise InvalidInput(f"cannot encode {text!r}: it is {type(text).__name__}, not text")
    return [text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8") for text in texts]
