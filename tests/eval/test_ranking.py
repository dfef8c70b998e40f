from __future__ import annotations

import random

import pytest
import pytrec_eval

from eval.ranking import ranking_metrics, ranking_scores

_TREC_KEYS = {
    "ndcg@10": "ndcg_cut_10",
    "recall@5": "recall_5",
    "recall@20": "recall_20",
    "recall@100": "recall_100",
}


def _random_run(seed: int) -> tuple[dict[str, dict[str, int]], dict[str, list[str]]]:
    draw = random.Random(seed)
    documents = [f"d{number}" for number in range(150)]
    qrels = {
        f"q{number}": {key: draw.choice([-1, 0, 1, 1, 2, 4]) for key in draw.sample(documents, 12)}
        for number in range(8)
    }
    return qrels, {key: draw.sample(documents, 120) for key in qrels}


@pytest.mark.parametrize("seed", range(4))
def test_scores_equal_trec_eval(seed: int) -> None:
    qrels, run = _random_run(seed)
    scored = {query: {doc: 1.0 / (rank + 1) for rank, doc in enumerate(ranked)} for query, ranked in run.items()}
    top_ten = {query: {doc: scored[query][doc] for doc in ranked[:10]} for query, ranked in run.items()}
    deep = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10", "recall.5,20,100"}).evaluate(scored)
    shallow = pytrec_eval.RelevanceEvaluator(qrels, {"recip_rank"}).evaluate(top_ten)
    for query, grades in qrels.items():
        ours = ranking_scores(grades, run[query])
        for key, theirs in _TREC_KEYS.items():
            assert ours[key] == pytest.approx(deep[query][theirs], abs=1e-9), key
        assert ours["mrr@10"] == pytest.approx(shallow[query]["recip_rank"], abs=1e-9)


def test_hand_worked_query() -> None:
    scores = ranking_scores({"a": 2, "b": 1}, ["x", "b", "a"])
    # gain 1/log2(3) + 2/log2(4) = 1.6309 over the best 2/log2(2) + 1/log2(3) = 2.6309
    assert scores["ndcg@10"] == pytest.approx(1.63093 / 2.63093, abs=1e-5)
    assert scores["mrr@10"] == 0.5
    assert scores["recall@5"] == 1.0


def test_relevant_document_below_the_cut_counts_for_recall_only() -> None:
    scores = ranking_scores({"a": 1}, [f"x{number}" for number in range(10)] + ["a"])
    assert scores == {"ndcg@10": 0.0, "recall@5": 0.0, "recall@20": 1.0, "recall@100": 1.0, "mrr@10": 0.0}


def test_query_without_results_or_relevant_documents_scores_zero_and_counts() -> None:
    metrics = ranking_metrics({"q1": {"a": 1}, "q2": {"a": 1}, "q3": {"a": 0}}, {"q1": ["a"], "q3": ["a"]})
    assert metrics["ndcg@10"] == pytest.approx(1 / 3)


def test_no_queries_give_none() -> None:
    assert ranking_metrics({}, {})["mrr@10"] is None
    assert list(ranking_metrics({}, {})) == ["ndcg@10", "recall@5", "recall@20", "recall@100", "mrr@10"]


def test_a_document_ranked_twice_is_refused() -> None:
    with pytest.raises(ValueError, match='"a" stands in the ranking twice'):
        ranking_scores({"a": 1}, ["b", "a", "a"])
