"""The trained check: evidence that round-trips, marked words, bad input, and numbers that stay numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lm.pair_encoder import load_compact
from rag.check import MAX_CLAIM, TrainedVerifier
from rag.check_windows import MAX_CLAIM_CHARS, Ranking, claim_parts, text_windows
from rag.combine import FEATURES, Combiner, View, features, kind_of, log_odds
from rag.pair_model import PAIR_WEIGHTS, PairModel
from rag.pair_tokens import Pair, PairTokenizer
from rag.reader import Reader, Reading, Span
from rag.types import ModelBroken, ModelMissing, Passage, Verdict
from tests.pairs import ready

TEXTS = (
    "The heater switches on below three degrees. It draws nine watts in the field.",
    "The battery of the Skua lasts a year, and it weighs 310 g.",
)


def write_combiner(path: Path) -> Path:
    """The model's own chance, nothing else."""
    fields = {
        name: {"weights": {one: float(one == "support") for one in names}, "bias": 0.0, "threshold": 0.5}
        for name, names in FEATURES.items()
    }
    path.write_text(json.dumps(fields))
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ready("check", tmp_path_factory.mktemp("check"), TEXTS)


@pytest.fixture(scope="module")
def combiner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_combiner(tmp_path_factory.mktemp("combiner") / "combiner.json")


@pytest.fixture(scope="module")
def verifier(made: Path, combiner: Path) -> TrainedVerifier:
    return TrainedVerifier.load(made, combiner, None, threads=1)


def passages(*texts: str) -> list[Passage]:
    return [Passage(0, "d", "", "d", 0, len(text), text) for text in texts]


class Knows:
    """Stands for a model: supported where all claim tokens stand in the passage, contradicted where most do."""

    def __init__(self) -> None:
        self.rows = 0

    def run(self, pairs: Sequence[Pair]) -> list[tuple[Any, ...]]:
        self.rows += len(pairs)
        found = []
        for pair in pairs:
            shown = set(pair.ids[pair.second_at : -1].tolist())
            claim = pair.ids[pair.claim_at : pair.second_at - 1].tolist()
            absent = [token not in shown for token in claim]
            words = np.full(len(pair), -5.0, dtype=np.float32)
            words[pair.claim_at : pair.second_at - 1] = np.where(absent, 5.0, -5.0)
            share = sum(absent) / max(1, len(absent))
            labels = (4.0, 0.0, 0.0) if not share else (0.0, 4.0, 0.0) if share < 0.4 else (0.0, 0.0, 4.0)
            found.append((np.array(labels, dtype=np.float32), words))
        return found


@pytest.fixture
def knowing(made: Path, combiner: Path) -> TrainedVerifier:
    return TrainedVerifier(
        Knows(), PairTokenizer(made / "tokenizer.json"), Combiner.load(combiner), None, "knows", "0" * 12
    )


def test_verdicts_evidence_and_wrong_words(knowing: TrainedVerifier) -> None:
    claims = ["It draws nine watts.", "It draws 310 watts in the field.", "Zebras dream of purple oceans."]
    right, wrong, absent = knowing.verify(claims, passages(*TEXTS), "")
    assert right.verdict is Verdict.SUPPORTED and right.support > 0.9 and right.unsupported == ()
    spot = right.evidence[0]
    assert TEXTS[spot.passage][spot.start : spot.end] == "It draws nine watts in the field."
    assert wrong.verdict is Verdict.CONTRADICTED and wrong.support < 0.5
    assert [claims[1][start:end] for start, end in wrong.unsupported] == ["310"]
    assert absent.verdict is Verdict.UNSUPPORTED


def test_the_graph_gives_probabilities_and_spans_that_round_trip(verifier: TrainedVerifier) -> None:
    claims = ["The heater draws 9 watts.", "<b>No</b> — 東京 is ÀÉÎ.", "1901", "half \ud83c of a pair"]
    for question in ("", "What does the heater draw?"):
        for claim, judged in zip(claims, verifier.verify(claims, passages(*TEXTS), question), strict=True):
            assert 0 <= judged.support <= 1 and math.isfinite(judged.support)
            for spot in judged.evidence:
                assert TEXTS[spot.passage][spot.start : spot.end].strip() and 0 <= spot.score <= 1
            assert all(0 <= start < end <= len(claim) for start, end in judged.unsupported)


@pytest.mark.parametrize("claim", ["", " \n\t", "...", "—", "\u200b"])
def test_claims_without_words_are_not_supported(verifier: TrainedVerifier, claim: str) -> None:
    (judged,) = verifier.verify([claim], passages(*TEXTS), "")
    assert (judged.support, judged.verdict, judged.evidence) == (0.0, Verdict.UNSUPPORTED, ())


@pytest.mark.parametrize("texts", [(), ("",), (" \n ", "")])
def test_nothing_to_judge_by_is_no_support(verifier: TrainedVerifier, texts: tuple[str, ...]) -> None:
    (judged,) = verifier.verify(["The heater draws nine watts."], passages(*texts), "")
    assert (judged.support, judged.verdict, judged.evidence) == (0.0, Verdict.UNSUPPORTED, ())
    assert verifier.verify([], passages(*texts), "") == []
    assert verifier.signals(["The heater."], passages(*texts), "") == [[]]


def test_greetings_and_questions_are_judged_like_any_sentence(verifier: TrainedVerifier) -> None:
    for judged in verifier.verify(["Hello there!", "What does it draw?"], passages(*TEXTS), ""):
        assert 0 <= judged.support <= 1


def test_ten_thousand_sentences_cost_what_the_different_ones_cost(knowing: TrainedVerifier) -> None:
    claims = ["It draws nine watts.", "It weighs 310 g."] * 5000
    judged = knowing.verify(claims, passages(*TEXTS), "")
    assert len(judged) == 10_000 and set(judged[::2]) == {judged[0]}
    assert isinstance(knowing.model, Knows) and knowing.model.rows < 20


def test_megabytes_are_searched_and_only_a_few_windows_judged(knowing: TrainedVerifier) -> None:
    text = f"{TEXTS[1]} " * 20_000 + "It draws nine watts in the field."
    (judged,) = knowing.verify(["It draws nine watts."], passages(text), "")
    assert judged.verdict is Verdict.SUPPORTED
    spot = judged.evidence[0]
    assert "nine watts" in text[spot.start : spot.end]
    assert isinstance(knowing.model, Knows) and knowing.model.rows < 60


def test_a_claim_longer_than_a_row_is_as_good_as_its_weakest_clause(knowing: TrainedVerifier) -> None:
    right = "it draws nine watts in the field, " * 30
    shown = passages(f"{TEXTS[0]} And so on, and on.")
    good, bad = knowing.verify([right, right + "and zebras dream of purple oceans"], shown, "")
    assert good.support > 0.9 > 0.5 > bad.support
    assert bad.unsupported and len(right) > MAX_CLAIM_CHARS


def test_claims_are_cut_at_clauses_without_losing_a_word() -> None:
    claim = "one two three, " * 60 + "x" * 1000 + " and the end"
    parts = claim_parts(claim)
    assert all(end - start <= MAX_CLAIM_CHARS for start, end in parts)
    kept = "".join(claim[start:end] for start, end in parts)
    assert "".join(kept.split()) == "".join(claim.split())
    assert claim_parts("Short. Two sentences.") == [(0, 21)] and claim_parts("  ") == []


def test_windows_hold_every_sentence_and_overlap() -> None:
    text = " ".join(f"Sentence number {number} of a long text speaks of item{number}." for number in range(120))
    windows = text_windows([text, "", TEXTS[0]])
    held = {span for window in windows if window.passage == 0 for span in window.sentences}
    assert len(held) == 120 and {window.passage for window in windows} == {0, 2}
    assert all(after.start < before.end for before, after in pairwise(windows[:-1]))
    best = windows[Ranking.of(windows).best(frozenset({"77"}), 1)[0]]
    assert "item77" in text[best.start : best.end]


@pytest.mark.parametrize("threads", [1, 2])
def test_the_graph_agrees_with_torch(made: Path, threads: int) -> None:
    """With two streams a head of one output once gave garbage."""
    model = PairModel(made, "check", threads)
    torch_model = load_compact(made.parent / "shipped" / PAIR_WEIGHTS)
    asked, claim, text = model.tokenizer.read(["What does it draw?", "nine watts", TEXTS[0]])
    pair = model.tokenizer.pair(asked.ids, claim.ids, text.ids)
    ids = torch.from_numpy(pair.ids)[None]
    types = (torch.arange(ids.shape[1]) >= pair.second_at).long()[None]
    with torch.inference_mode():
        wanted = torch_model(ids, torch.ones_like(ids), types)
    for found, torch_out in zip(model.run([pair])[0], wanted, strict=True):
        reference = torch_out[0].numpy()
        assert found.shape == reference.shape
        assert np.abs(found - reference).max() < 0.1 * max(1.0, np.abs(reference).max())
    assert model.tokenizer.read(["nine watts"])[0].ids.tolist() == pair.ids[pair.claim_at : pair.second_at - 1].tolist()
    assert len(claim) <= MAX_CLAIM


def test_features_say_what_is_absent() -> None:
    view = View([TEXTS[0]], [(0.9, 0.05, 0.05), (0.2, 0.7, 0.1)], [0.8])
    told = features('The "purple heater" in Paris draws 12 watts, never more.', "", view, None)
    assert set(told) >= set(FEATURES["free"]) and "reader_told" not in told
    assert told["numbers_absent"] == told["quotes_absent"] == told["negation_differs"] == 1.0
    assert told["against"] == pytest.approx(log_odds(0.7)) and 0 < told["overlap"] < 1
    reading = Reading(0.1, (Span(0, 0, 10, "Nine watts", 3.0, 0.8),))
    asked = features("nine watts", "What does it draw?", view, reading)
    assert set(asked) >= set(FEATURES["asked"]) and asked["reader_agrees"] == 1.0 and asked["reader_told"] > 2
    assert "reader_told" not in features("nine watts", " ", view, reading)


def test_each_kind_of_claim_has_its_own_regression() -> None:
    view, reading = View([TEXTS[0]], [(0.9, 0.05, 0.05)], []), Reading(0.1, ())
    question = "At how many degrees does the heater switch on?"
    assert kind_of(features("The heater switches on below three degrees.", "", view, None)) == "free"
    assert kind_of(features("three", question, view, reading)) == "asked"
    assert kind_of(features("The heater switches on below three degrees.", question, view, reading)) == "stated"


def test_words_of_the_title_are_not_missed() -> None:
    # A chunk of the manual of the Skua 400 need not name it again.
    told = [features("The Skua 400 draws nine watts.", "", View([TEXTS[0]], [(0.9, 0.05, 0.05)], [], titles), None)
            for titles in ([], ["Skua 400 user manual"])]  # fmt: skip
    assert [one["names_absent"] for one in told] == [1.0, 0.0]
    assert [one["numbers_absent"] for one in told] == [0.5, 0.0]


def test_the_reader_is_heard_where_there_is_a_question(made: Path, combiner: Path, tmp_path: Path) -> None:
    reader = Reader.load(ready("span", tmp_path, TEXTS), threads=1)
    verifier = TrainedVerifier.load(made, combiner, reader, threads=1)
    (parts,) = verifier.signals(["nine watts"], passages(*TEXTS), "What does it draw?")
    assert set(parts[0]) >= set(FEATURES["asked"])
    assert verifier.fingerprint != TrainedVerifier.load(made, combiner, None, threads=1).fingerprint
    assert 0 <= verifier.verify(["nine watts"], passages(*TEXTS), "What does it draw?")[0].support <= 1


def test_chances_at_the_edges_stay_numbers() -> None:
    assert log_odds(0.0) == -6.0 and log_odds(1.0) == 6.0 and log_odds(0.5) == 0.0


def test_a_combiner_that_is_missing_or_broken(tmp_path: Path, combiner: Path) -> None:
    with pytest.raises(ModelMissing, match=r"fit_check\.py"):
        Combiner.load(tmp_path / "none.json")
    for text in ("", "[]", '{"free": {}}', combiner.read_text().replace("0.5", "NaN")):
        (tmp_path / "broken.json").write_text(text)
        with pytest.raises(ModelBroken, match="no combiner"):
            Combiner.load(tmp_path / "broken.json")


def test_equal_input_gives_equal_output(verifier: TrainedVerifier) -> None:
    claims = ["The heater draws 9 watts.", "It weighs 310 g."]
    together = verifier.verify(claims, passages(*TEXTS), "")
    assert together == verifier.verify(claims, passages(*TEXTS), "")
    assert together[1] == verifier.verify(claims[1:], passages(*TEXTS), "")[0]
    assert replace(together[0], support=0.0) != together[0]
