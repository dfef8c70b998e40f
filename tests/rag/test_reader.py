"""The reader: exact characters, windows of long passages, and what it says where there is nothing to read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lm.pair_encoder import load_compact
from rag.pair_model import CARD_FILE, PAIR_WEIGHTS, PairModel
from rag.pair_tokens import Pair, PairTokenizer, token_windows
from rag.reader import (
    MAX_TOKENS,
    MAX_WINDOWS,
    Calibration,
    Reader,
    best_spans,
    make_windows,
    no_answer,
)
from rag.types import InvalidInput, ModelBroken, ModelMissing, Passage
from tests.pairs import ready, write_base

TEXTS = (
    "The heater switches on below three degrees. It draws nine watts in the field.",
    "The battery of the Skua lasts a year, and it weighs 310 g.",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ready("span", tmp_path_factory.mktemp("reader"), TEXTS, {"temperature": 2.0, "bias": 0.5})


@pytest.fixture(scope="module")
def reader(made: Path) -> Reader:
    return Reader.load(made, threads=1)


def passages(*texts: str) -> list[Passage]:
    return [Passage(0, "d", "", "d", 0, len(text), text) for text in texts]


class Points:
    """Stands for a model: high logits at the tokens of given ids, first and last; everything else is low."""

    def __init__(self, first: int, last: int, none: float = 0.0):
        self._first, self._last, self._none = first, last, none
        self.rows = 0

    def run(self, pairs: Sequence[Pair]) -> list[tuple[Any, ...]]:
        self.rows += len(pairs)
        found = []
        for pair in pairs:
            logits = np.full((len(pair), 2), -9.0, dtype=np.float32)
            logits[0] = self._none
            logits[pair.ids == self._first, 0] = 8.0
            logits[pair.ids == self._last, 1] = 8.0
            found.append((logits,))
        return found


def pointing(made: Path, first: str, last: str, none: float = 0.0) -> Reader:
    tokenizer = PairTokenizer(made / "tokenizer.json")
    ids = [int(pieces.ids[0]) for pieces in tokenizer.read([first, last])]
    return Reader(Points(ids[0], ids[1], none), tokenizer, Calibration(), "points", "0")


def test_the_span_is_the_characters_between_the_best_tokens(made: Path) -> None:
    reading = pointing(made, "nine", "watts").read("What does it draw?", passages(*TEXTS))
    best = reading.spans[0]
    assert (best.passage, best.text) == (0, "nine watts")
    assert TEXTS[0][best.start : best.end] == best.text
    assert best.margin == 16.0 and reading.no_answer < 1e-6 and best.probability > 0.99


def test_a_likelier_none_is_no_answer(made: Path) -> None:
    reading = pointing(made, "nine", "watts", none=12.0).read("What?", passages(*TEXTS))
    assert reading.spans[0].text == "nine watts" and reading.no_answer > 0.99


def test_an_answer_far_into_a_long_passage_is_found_with_its_offsets(made: Path) -> None:
    text = f"{TEXTS[0][:43]} " * 400 + TEXTS[1]
    reader = pointing(made, "310", "g")
    reading = reader.read("What does it weigh?", passages(text))
    best = reading.spans[0]
    assert text[best.start : best.end] == best.text == "310 g"
    assert isinstance(reader.model, Points) and reader.model.rows > 10


def test_accents_capitals_and_other_scripts_keep_their_offsets(made: Path) -> None:
    text = "ÀÉÎ naïve — Ωμέγα 東京 \ud800 NINE\u00a0Watts!"
    reading = pointing(made, "nine", "watts").read("What?", passages(text))
    assert reading.spans[0].text == "NINE\u00a0Watts"


def test_the_graph_answers_with_exact_characters_and_probabilities(reader: Reader) -> None:
    for question in ("What does the heater draw?", "<b>東京?</b>", "x" * 50_000):
        reading = reader.read(question, passages(*TEXTS), n_best=4)
        assert 1 <= len(reading.spans) <= 4
        assert 0 <= reading.no_answer <= 1 and math.isfinite(reading.no_answer)
        for span in reading.spans:
            assert TEXTS[span.passage][span.start : span.end] == span.text != ""
            assert 0 <= span.probability <= 1
        assert sum(span.probability for span in reading.spans) <= 1 + 1e-6


@pytest.mark.parametrize(("question", "texts"), [("", TEXTS), (" \n", TEXTS), ("What?", ()), ("What?", ("", " \n"))])
def test_nothing_to_ask_or_to_read_is_no_answer(reader: Reader, question: str, texts: tuple[str, ...]) -> None:
    reading = reader.read(question, passages(*texts))
    assert reading.no_answer == 1.0 and reading.spans == ()


def test_what_comes_out_does_not_depend_on_the_other_passages(reader: Reader) -> None:
    """Rows are padded by their own length alone; a batch-mate once changed the last digits of the encoder's vectors."""
    alone = reader.read("What does the heater draw?", passages(TEXTS[0]), n_best=1)
    margins = {s.margin for s in reader.read("What does the heater draw?", passages(*TEXTS, *TEXTS), n_best=9).spans}
    assert alone.spans[0].margin in margins


@pytest.mark.parametrize("threads", [1, 2])
def test_the_graph_agrees_with_torch(made: Path, threads: int) -> None:
    """With two streams a head of one output once gave garbage."""
    model = PairModel(made, "span", threads)
    torch_model = load_compact(made.parent / "shipped" / PAIR_WEIGHTS)
    window = make_windows(model.tokenizer, "What does it draw?", TEXTS)[0]
    ids = torch.from_numpy(window.pair.ids)[None]
    types = (torch.arange(ids.shape[1]) >= window.pair.second_at).long()[None]
    with torch.inference_mode():
        wanted = torch_model(ids, torch.ones_like(ids), types)[0][0].numpy()
    found = model.run([window.pair])[0][0]
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < 0.1 * np.abs(wanted).max()


def test_windows_cover_every_token_and_share_some() -> None:
    for count in (0, 1, 99, 100, 101, 180, 181, 1000):
        windows = token_windows(count, 100, 20)
        covered = {place for first, last in windows for place in range(first, last)}
        assert covered == set(range(count))
        assert all(last - first <= 100 for first, last in windows)
        assert all(after[0] <= before[1] - 20 for before, after in pairwise(windows))


def test_megabytes_are_read_up_to_a_bound(made: Path) -> None:
    tokenizer = PairTokenizer(made / "tokenizer.json")
    windows = make_windows(tokenizer, "What?", ["nine watts " * 200_000, TEXTS[1]])
    assert len(windows) == MAX_WINDOWS and {0, 1} == {window.passage for window in windows}
    assert max(len(window.pair) for window in windows) <= MAX_TOKENS


def test_spans_are_no_longer_than_the_bound_and_in_order(made: Path) -> None:
    tokenizer = PairTokenizer(made / "tokenizer.json")
    window = make_windows(tokenizer, "What?", [TEXTS[0]])[0]
    logits = np.zeros((len(window.pair), 2), dtype=np.float32)
    for _, _, start, end in best_spans(window, logits):
        assert 0 <= start < end <= len(TEXTS[0])


def test_calibration_turns_margins_into_chances() -> None:
    assert no_answer(0.5, Calibration(2.0, 0.5)) == 0.5
    assert no_answer(1e9, Calibration()) < 1e-20 and no_answer(-1e9, Calibration()) > 1 - 1e-9


def test_a_folder_that_is_missing_altered_or_of_another_kind(made: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"pair\.json is missing"):
        Reader.load(tmp_path)
    with pytest.raises(ModelBroken, match="is of a 'span' model"):
        PairModel(made, "check")
    for file in made.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelBroken, match="was altered"):
        Reader.load(tmp_path)
    (tmp_path / CARD_FILE).write_text('{"name": "x", "head": "span", "max_tokens": 9, "calibration": {"bias": NaN}}')
    with pytest.raises(ModelBroken, match="finite"):
        Reader.load(tmp_path)


def test_what_is_no_text_is_refused(made: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is int, not text"):
        PairTokenizer(write_base(tmp_path, ["x"]) / "tokenizer.json").read([3])  # type: ignore[list-item]
