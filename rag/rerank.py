"""Question and passages, read together by our reranker: an order of the passages, and whether they answer at all.

A cross-encoder made by train/reranker.py from MiniLM, int8 through OpenVINO (rag/rows.py). Of a long passage it reads
the sentences nearest to the question (rag/key_sentences.py): half the tokens in half the time, for as good an order.
It gives two logits for a pair: "relevant", by which passages are ordered, and "answers". From the latter of the best
passages a small logistic model (calibration.json, fitted by benchmarks/fit_answerable.py) makes the probability that
they answer the question.

Letters in shape comments: N passages, T tokens.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from rag.encode import IR_FILE, TOKENIZER_FILE, compile_int8, sha256_of
from rag.key_sentences import Asked, key_tokens
from rag.pair_tokens import Pair
from rag.rows import RowRunner
from rag.types import ModelBroken, ModelMissing

CARD_FILE = "reranker.json"
CALIBRATION_FILE = "calibration.json"
MAX_TOKENS = 256  # of question and passage together
READ_TOKENS = 96  # of a passage, at most (benchmarks/fit_read.py)
FEATURES = ("answers_best", "answers_mean3", "relevant_best", "relevant_lead")
_QUESTION_TOKENS = 96  # a longer question keeps its start: the passage needs the room
_CHARS_PER_TOKEN = 64


@dataclass(frozen=True, slots=True)
class Calibration:
    """Weights of FEATURES, and a bias: the logit of "the passages answer the question"."""

    weights: Mapping[str, float]
    bias: float

    def probability(self, logits: NDArray[np.float32]) -> float:
        """In [0, 1], from the logits (N, 2) of all candidates; 0 without any."""
        if not len(logits):
            return 0.0
        values = features(logits)
        total = self.bias + sum(self.weights[name] * values[name] for name in FEATURES)
        return 1 / (1 + math.exp(-max(-50.0, min(50.0, total))))

    @classmethod
    def read(cls, path: Path) -> Calibration:
        """Raises ModelMissing without the file, ModelBroken for one that cannot be understood."""
        try:
            fields = json.loads(path.read_text("utf-8"))
            weights = {name: float(fields["weights"][name]) for name in FEATURES}
            return cls(weights, float(fields["bias"]))
        except FileNotFoundError:
            raise ModelMissing(f"{path}: no such file; run: answerable models pull") from None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ModelBroken(f"{path} cannot be read ({error!r}); run: answerable models pull") from error


class Reranker(Protocol):
    """Scores passages for a question by reading both together."""

    name: str
    fingerprint: str
    calibration: Calibration | None  # None: not fitted yet, nothing is refused for it

    def logits(self, question: str, passages: Sequence[str]) -> NDArray[np.float32]:
        """Logits (N, 2) of "relevant" and "answers"; passages are "heading\\ntext"."""
        ...


def features(logits: NDArray[np.float32]) -> dict[str, float]:
    """FEATURES of the logits (N, 2) of a question's candidates, N at least 1."""
    relevant, answers = np.sort(logits[:, 0])[::-1], np.sort(logits[:, 1])[::-1]
    lead = relevant[0] - relevant[1] if len(relevant) > 1 else 0.0
    values = (answers[0], answers[:3].mean(), relevant[0], lead)
    return dict(zip(FEATURES, map(float, values), strict=True))


def pair_ids(tokenizer: Tokenizer, question: str, passage: str, longest: int) -> tuple[tuple[int, ...], int]:
    """Ids of [CLS] question [SEP] passage [SEP], at most ``longest``, and where the passage begins.

    Training and serving both make their pairs here.
    """
    first, last = tokenizer.encode("", add_special_tokens=True).ids
    asked, read = _plain_ids(tokenizer, [question, passage], longest)
    return _joined(asked, read, longest, (first, last))


class OpenVinoReranker:
    """A `Reranker` on the CPU. Safe to call from several threads. A pair's logits depend on that pair alone."""

    def __init__(self, folder: Path, threads: int = 0, read_tokens: int = READ_TOKENS):
        self._read_tokens = read_tokens
        card = _read_card(folder)
        self.name, self.fingerprint = card["name"], card["fingerprint"]
        calibration = folder / CALIBRATION_FILE
        self.calibration = Calibration.read(calibration) if calibration.is_file() else None
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        first, last = self._tokenizer.encode("", add_special_tokens=True).ids
        self._special = (first, last)
        streams = threads or len(os.sched_getaffinity(0))
        self._rows = RowRunner(compile_int8(folder / IR_FILE, streams, unpacked=True), streams)

    def logits(self, question: str, passages: Sequence[str]) -> NDArray[np.float32]:
        """See Reranker."""
        if not passages:
            return np.zeros((0, 2), dtype=np.float32)
        (asked,) = _plain_ids(self._tokenizer, [question], MAX_TOKENS)
        pairs = [_joined(asked, ids, MAX_TOKENS, self._special) for ids in self._key_ids(question, passages)]
        rows = [Pair(np.array(ids, dtype=np.int64), start, start) for ids, start in pairs]
        return np.stack([logits for (logits,) in self._rows.run(rows)])  # (N, 2)

    def _key_ids(self, question: str, passages: Sequence[str]) -> Iterator[list[int]]:
        """The tokens that are read of each passage."""
        texts = [_valid(passage, MAX_TOKENS) for passage in passages]
        asked = Asked(question)
        for text, encoding in zip(texts, self._tokenizer.encode_batch(texts, add_special_tokens=False), strict=True):
            offsets = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)  # (T, 2)
            ids = np.array(encoding.ids, dtype=np.int64)  # (T,)
            yield ids[key_tokens(asked, text, offsets, self._read_tokens)].tolist()


def _valid(text: str, longest: int) -> str:
    """As much of a text as ``longest`` tokens can hold, without half characters."""
    return text[: longest * _CHARS_PER_TOKEN].encode("utf-8", "replace").decode("utf-8")


def _plain_ids(tokenizer: Tokenizer, texts: Sequence[str], longest: int) -> list[list[int]]:
    cut = [_valid(text, longest) for text in texts]
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(cut, add_special_tokens=False)]


def _joined(
    asked: Sequence[int], read: Sequence[int], longest: int, special: tuple[int, int]
) -> tuple[tuple[int, ...], int]:
    first, last = special
    start = (first, *asked[:_QUESTION_TOKENS], last)
    return (*start, *read[: longest - len(start) - 1], last), len(start)


def _read_card(folder: Path) -> dict[str, str]:
    path = folder / CARD_FILE
    try:
        card = json.loads(path.read_text("utf-8"))
        for name, sha256 in card["hashes"].items():
            if sha256_of(folder / name) != sha256:
                raise ModelBroken(f"{folder / name} was altered; remove the folder and run: answerable models pull")
        return {"name": card["name"], "fingerprint": card["fingerprint"]}
    except FileNotFoundError as error:
        raise ModelMissing(f"{error.filename}: no such file; run: answerable models pull") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelBroken(f"{path} cannot be read ({error!r}); run: answerable models pull") from error
