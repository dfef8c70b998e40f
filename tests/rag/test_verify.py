from __future__ import annotations

import json
from pathlib import Path

import pytest

from rag.evidence import ANSWER_FEATURES, SENTENCE_FEATURES
from rag.sentences import sentences
from rag.types import ModelBroken, ModelMissing, Passage, Verdict
from rag.verify import WEIGHTS_FILE, BaselineVerifier, LinearCheck
from rag.weights_trained import models_in_repository
from tests.fakes import HashEncoder

TEXTS = [
    "Employees get 25 days of paid leave a year. Unused days expire in March. Leave is not paid out.",
    "The first Nobel Prize in Physics was awarded in 1901 to Wilhelm Röntgen of Germany. He declined to patent it.",
    "The Skua 200 pump weighs 12 kg. It runs on mains power.",
]


def _passages(*texts: str) -> list[Passage]:
    return [Passage(number, f"doc{number}", "T", "t.md", 0, len(text), text) for number, text in enumerate(texts)]


@pytest.fixture(scope="module")
def shipped() -> BaselineVerifier:
    """The weights that ship, over a bag of words in place of the embedding: its cosines are near to word overlap."""
    return BaselineVerifier.load(models_in_repository() / "baseline-check", HashEncoder(dimension=384))


def test_a_sentence_that_stands_in_a_passage_is_supported_by_it(shipped: BaselineVerifier) -> None:
    (judged,) = shipped.verify(["Employees get 25 days of paid leave a year."], _passages(*TEXTS[1:], TEXTS[0]), "")
    assert judged.verdict is Verdict.SUPPORTED
    assert judged.support > 0.8
    best = judged.evidence[0]
    assert best.passage == 2
    assert TEXTS[0][best.start : best.end] == "Employees get 25 days of paid leave a year."
    assert best.score == judged.support


@pytest.mark.parametrize(
    "claim",
    ["Employees get 35 days of paid leave a year.", "Employees do not get 25 days of paid leave a year."],
)
def test_another_number_or_a_negation_at_full_overlap_contradicts(shipped: BaselineVerifier, claim: str) -> None:
    (judged,) = shipped.verify([claim], _passages(*TEXTS), "")
    assert judged.verdict is Verdict.CONTRADICTED


def test_a_claim_about_something_else_is_unsupported(shipped: BaselineVerifier) -> None:
    (judged,) = shipped.verify(["Zebras graze on the open savannah at dawn."], _passages(*TEXTS), "")
    assert judged.verdict is Verdict.UNSUPPORTED
    assert judged.support < 0.2


def test_a_short_answer_is_judged_with_its_question(shipped: BaselineVerifier) -> None:
    question = "Who was awarded the first Nobel Prize in Physics?"
    right, elsewhere, absent = shipped.verify(["Wilhelm Röntgen", "Skua", "Marie Curie"], _passages(*TEXTS), question)
    assert right.verdict is Verdict.SUPPORTED
    assert right.evidence[0].passage == 1
    assert elsewhere.verdict is Verdict.UNSUPPORTED
    assert absent.verdict is Verdict.UNSUPPORTED
    assert right.support > max(elsewhere.support, absent.support)


def test_support_is_a_probability_and_evidence_is_whole_sentences(shipped: BaselineVerifier) -> None:
    claims = ["25 days", "Leave is paid out.", "It runs on mains power and weighs 12 kg.", "x", "In 1901 Leave"]
    for judged in shipped.verify(claims, _passages(*TEXTS), "How many days?"):
        assert 0.0 <= judged.support <= 1.0
        assert judged.support == max(piece.score for piece in judged.evidence)
        for piece in judged.evidence:
            spans = sentences(TEXTS[piece.passage])
            assert piece.start in {start for start, _ in spans}
            assert piece.end in {end for _, end in spans}


def test_judgements_do_not_depend_on_the_other_claims_or_the_order_of_passages(shipped: BaselineVerifier) -> None:
    claims = ["Unused days expire in March.", "The Skua 200 weighs 15 kg."]
    together = shipped.verify(claims, _passages(*TEXTS), "")
    assert together == [shipped.verify([claim], _passages(*TEXTS), "")[0] for claim in claims]
    turned = shipped.verify(claims, _passages(*TEXTS[::-1]), "")
    assert [judged.support for judged in turned] == pytest.approx([judged.support for judged in together])


@pytest.mark.parametrize("claim", ["", "   ", "?!"])
def test_a_claim_without_words_is_unsupported(shipped: BaselineVerifier, claim: str) -> None:
    (judged,) = shipped.verify([claim], _passages(*TEXTS), "Why?")
    assert (judged.support, judged.verdict, judged.evidence) == (0.0, Verdict.UNSUPPORTED, ())


def test_no_passages_or_empty_ones_support_nothing(shipped: BaselineVerifier) -> None:
    for passages in ([], _passages("", " \n")):
        (judged,) = shipped.verify(["Employees get leave."], passages, "")
        assert (judged.support, judged.verdict, judged.evidence) == (0.0, Verdict.UNSUPPORTED, ())
    assert shipped.verify([], _passages(*TEXTS), "") == []


def test_probability_is_the_logistic_of_the_weighted_sum_and_never_overflows() -> None:
    check = LinearCheck({"a": 2.0, "b": -1.0}, 0.5, 0.5)
    assert check.probability({"a": 1.0, "b": 0.5, "unused": 9.0}) == pytest.approx(0.8807970779778823)
    assert 0.0 < check.probability({"a": -1e6, "b": 0.0}) < check.probability({"a": 1e6, "b": 0.0}) < 1.0


def _weights(**changes: object) -> dict[str, object]:
    part = {"bias": 0.0, "threshold": 0.5}
    return {
        "sentence": {**part, "weights": dict.fromkeys(SENTENCE_FEATURES, 1.0)},
        "answer": {**part, "weights": dict.fromkeys(ANSWER_FEATURES, 1.0)},
        **changes,
    }


def test_the_fingerprint_changes_with_the_weights_and_with_the_encoder(tmp_path: Path) -> None:
    path = tmp_path / WEIGHTS_FILE
    path.write_text(json.dumps(_weights()), encoding="utf-8")
    first = BaselineVerifier.load(tmp_path, HashEncoder()).fingerprint
    assert len(first) == 12
    assert BaselineVerifier.load(tmp_path, HashEncoder(fingerprint="0" * 12)).fingerprint != first
    path.write_text(json.dumps(_weights(note="changed")), encoding="utf-8")
    assert BaselineVerifier.load(tmp_path, HashEncoder()).fingerprint != first


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        json.dumps(_weights(sentence=3)),
        json.dumps(_weights(answer={"weights": {"overlap": 1.0}, "bias": 0, "threshold": 0.5})),
        json.dumps(_weights(sentence={"weights": dict.fromkeys(SENTENCE_FEATURES, "1"), "bias": 0, "threshold": 0.5})),
        json.dumps(_weights(sentence={"weights": dict.fromkeys(SENTENCE_FEATURES, 1), "bias": 1e999, "threshold": 0})),
    ],
)
def test_broken_weights_are_a_clear_error(tmp_path: Path, content: str) -> None:
    (tmp_path / WEIGHTS_FILE).write_text(content, encoding="utf-8")
    with pytest.raises(ModelBroken, match=r"weights\.json.*fit"):
        BaselineVerifier.load(tmp_path, HashEncoder())


def test_missing_weights_name_the_script_that_makes_them(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"train/baseline_check\.py"):
        BaselineVerifier.load(tmp_path, HashEncoder())
