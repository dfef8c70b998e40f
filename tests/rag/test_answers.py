from __future__ import annotations

import random

import pytest
from rouge_score.rouge_scorer import RougeScorer

from rag.answers import exact_match, lcs_length, normalise, rouge_l, token_f1


def test_normalise_drops_case_articles_punctuation_and_extra_space() -> None:
    assert normalise("  The Wilhelm-Röntgen,  an\tAnswer! ") == "wilhelmröntgen answer"


@pytest.mark.parametrize(
    ("answer", "golds", "em", "f1"),
    [
        ("The 1901", ["1901"], 1.0, 1.0),
        ("Wilhelm Röntgen", ["Wilhelm Conrad Röntgen, of Germany"], 0.0, 2 * 1.0 * 0.4 / 1.4),
        ("in 1901", ["in 1902", "1901"], 0.0, 2 * 0.5 * 1.0 / 1.5),
        ("b b c", ["b c c"], 0.0, 2 / 3),  # repeats count as often as both hold them
        ("red", ["blue"], 0.0, 0.0),
        ("", ["the"], 1.0, 1.0),  # evaluate-v2.0.py: both sides empty after normalising
        ("", ["x"], 0.0, 0.0),
        ("x", [], 0.0, 0.0),
    ],
)
def test_em_and_f1_match_hand_worked_cases(answer: str, golds: list[str], em: float, f1: float) -> None:
    assert exact_match(answer, golds) == em
    assert token_f1(answer, golds) == pytest.approx(f1)


def test_rouge_l_equals_the_rouge_score_package_on_random_texts() -> None:
    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    words = ["The", "cat", "sat", "on", "a", "mat.", "1901", "Röntgen's", "cat-like", "—", ""]
    draw = random.Random(7)
    for _ in range(300):
        answer = " ".join(draw.choices(words, k=draw.randint(0, 12)))
        golds = [" ".join(draw.choices(words, k=draw.randint(0, 12))) for _ in range(draw.randint(1, 3))]
        expected = max(scorer.score(gold, answer)["rougeL"].fmeasure for gold in golds)
        assert rouge_l(answer, golds) == pytest.approx(expected, abs=1e-12)


def test_lcs_equals_the_table_method_on_random_sequences() -> None:
    draw = random.Random(3)
    for _ in range(200):
        first = draw.choices("abcd", k=draw.randint(0, 90))
        second = draw.choices("abcd", k=draw.randint(0, 90))
        row = [0] * (len(second) + 1)
        for left in first:
            before = row[:]
            for place, right in enumerate(second, start=1):
                row[place] = before[place - 1] + 1 if left == right else max(before[place], row[place - 1])
        assert lcs_length(first, second) == row[-1]
