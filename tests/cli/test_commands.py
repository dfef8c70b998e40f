"""The command line over the real models: what each command prints, its exit code, and its one-line errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

ANSWER_FIELDS = {
    "id", "question", "answer", "abstained", "reason", "support", "unanswerable", "answerable", "claims",
    "passages", "usage", "timings_ms", "models",
}  # fmt: skip
METRICS = {
    "n", "em", "f1", "rouge_l", "answer_rate", "refusal_precision", "refusal_recall", "refusal_f1", "support_auroc",
    "ece", "aurc", "hallucination_rate", "citation_precision", "citation_recall", "latency_ms_p50", "latency_ms_p95",
}  # fmt: skip


class Cli:
    """Runs `answerable` as a user would, in a HOME of its own with the real models."""

    def __init__(self, home: Path):
        self.home = home

    def __call__(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "ANSWERABLE_HOME": str(self.home), **settings}
        command = [sys.executable, str(ROOT / "answerable.py"), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)

    def json(self, *arguments: str) -> Any:
        done = self(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def cli(models_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    home = tmp_path_factory.mktemp("home")
    (home / "models").symlink_to(models_home / "models")
    cli = Cli(home)
    report = cli.json("ingest", str(ROOT / "examples"))
    assert report["added"] >= 12 and report["failed"] == [] and report["chunks"] >= report["added"]
    return cli


pytestmark = pytest.mark.models


def test_ask_prints_the_answer_object_and_every_citation_round_trips(cli: Cli) -> None:
    answer = cli.json("ask", "How many days of paid annual leave do full-time employees have in 2026?")
    assert set(answer) == ANSWER_FIELDS
    assert answer["passages"] and answer["passages"][0]["uri"].endswith("leave.md")
    quotes = [quote for claim in answer["claims"] for quote in claim["citations"]] + answer["passages"]
    texts = {id: cli.json("documents", "show", id)["text"] for id in {quote["document_id"] for quote in quotes}}
    for quote in quotes:
        assert texts[quote["document_id"]][quote["start"] : quote["end"]] == quote["quote"]


def test_search_finds_the_page(cli: Cli) -> None:
    hits = cli.json("search", "Skua 400 heater switches on", "-k", "3")["hits"]
    assert len(hits) == 3
    assert hits[0]["uri"].endswith("skua-400-manual.pdf") and hits[0]["page"] == 3


def test_a_second_ingest_changes_nothing(cli: Cli) -> None:
    report = cli.json("ingest", str(ROOT / "examples"))
    assert report["added"] == report["changed"] == report["chunks"] == 0 and report["unchanged"] >= 12


def test_documents_are_listed_and_deleted(cli: Cli, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("The zeppelin departs at noon on Thursdays.")
    cli.json("ingest", str(note), "-c", "notes")
    (document,) = cli.json("documents", "list", "-c", "notes")["documents"]
    assert set(document) == {"id", "uri", "title", "status", "pages", "chunks"} and document["uri"] == str(note)
    assert len(cli.json("search", "zeppelin", "-c", "notes")["hits"]) == 1
    assert cli.json("documents", "delete", document["id"]) == {"deleted": document["id"]}
    assert cli.json("search", "zeppelin", "-c", "notes")["hits"] == []


def test_the_index_is_looked_at_broken_and_mended(cli: Cli) -> None:
    (stats,) = [row for row in cli.json("index", "stats")["indexes"] if row["collection"] == "default"]
    assert stats["vectors"] == stats["rows"] > 0 and stats["problem"] == ""
    assert cli.json("doctor")["problems"] == 0
    for path in (cli.home / "index").glob("*/vectors-*"):
        path.write_bytes(path.read_bytes()[:-10])
    broken = cli("doctor")
    assert broken.returncode == 1 and "doctor --repair" in broken.stdout
    assert cli.json("doctor", "--repair")["repaired"] is True
    assert cli.json("doctor")["problems"] == 0
    rebuilt = [row["problem"] for row in cli.json("index", "rebuild")["indexes"]]
    assert rebuilt == [""] * len(rebuilt)


def test_models_are_listed_and_verified(cli: Cli) -> None:
    models = cli.json("models", "list")["models"]
    assert {"name", "role", "version", "sha256", "parent"} == set(models[0])
    parents = {model["name"]: model["parent"] for model in models}
    assert parents["minilm-l6"] == parents["smollm2-135m"] == "" and parents["answerable-135m"] == "smollm2-135m"
    assert cli.json("models", "verify")["problems"] == []


def test_some_files_failed_is_exit_code_1_and_the_rest_are_in(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("Good text stands here.")
    (tmp_path / "empty.txt").write_text("")
    done = cli("ingest", str(tmp_path), "-c", "mixed", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert report["added"] == 1
    assert [Path(failure["uri"]).name for failure in report["failed"]] == ["empty.txt"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("ask", ""), 2, "the question is empty"),
        (("ask", "x" * 100_000), 2, "100000 characters, at most 4000"),
        (("ask", "x", "-c", "nowhere"), 1, "collection 'nowhere' does not exist"),
        (("ask", "x", "-k", "99"), 2, "ANSWERABLE_TOP_K"),
        (("search", " "), 2, "is empty"),
        (("ingest", "/no/such/folder"), 2, "/no/such/folder does not exist"),
        (("ingest", str(ROOT / "README.md"), "-c", "a b"), 2, "collection name 'a b'"),
        (("documents", "show", "nope"), 1, "document 'nope' does not exist"),
        (("eval", "qa", "/no/such/file"), 2, "/no/such/file"),
    ],
)
def test_errors_are_one_line_with_value_and_cure(cli: Cli, arguments: tuple[str, ...], code: int, message: str) -> None:
    done = cli(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("answerable: ") and done.stderr.count("\n") == 1
    assert message in done.stderr


def test_wrong_use_is_exit_code_2(cli: Cli) -> None:
    assert cli("ask").returncode == 2
    assert cli("frobnicate").returncode == 2


def test_a_setting_that_cannot_be_is_named(cli: Cli) -> None:
    done = cli("search", "x", ANSWERABLE_PORT="99999")
    assert done.returncode == 2 and "ANSWERABLE_PORT='99999'" in done.stderr


def test_missing_weights_name_the_cure(tmp_path: Path) -> None:
    done = Cli(tmp_path / "empty")("search", "x")
    assert done.returncode == 1 and "answerable models pull" in done.stderr


def test_debug_shows_the_traceback(cli: Cli) -> None:
    assert "Traceback" in cli("--debug", "documents", "show", "nope").stderr


def test_answering_on_a_cpu_never_imports_torch(cli: Cli) -> None:
    """Torch alone takes seconds to import; OpenVINO, tokenizers and FAISS are enough to answer."""
    code = (
        "import sys; from cli.ask import ask; ask('How high is the mast?', as_json=True); "
        "slow = ('torch', 'transformers', 'langchain_core', 'fastapi'); "
        "print([name for name in slow if name in sys.modules], file=sys.stderr)"
    )
    environment = {**os.environ, "ANSWERABLE_HOME": str(cli.home), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip().endswith("[]")


def test_evaluations_print_their_tables_and_repeat_to_the_last_digit(cli: Cli, tmp_path: Path) -> None:
    golden = ROOT / "eval" / "golden" / "examples.jsonl"
    first = cli.json("eval", "qa", str(golden), "--limit", "4", "--out", str(tmp_path / "1"))
    again = cli.json("eval", "qa", str(golden), "--limit", "4", "--out", str(tmp_path / "2"))
    assert set(first["metrics"]) >= METRICS
    assert Path(first["run"]).name == Path(again["run"]).name  # the name holds a hash of everything but the times
    opened = cli.json("eval", "qa", str(golden), "--limit", "4", "--open", "--out", str(tmp_path / "3"))
    assert opened["metrics"]["n"] == 4


def test_claims_and_retrieval_are_evaluated(cli: Cli, tmp_path: Path) -> None:
    claims = tmp_path / "claims.jsonl"
    row = {"dataset": "d", "passage": "The mast is two metres high.", "claim": "The mast is two metres high."}
    rows = [
        {"id": "1", **row, "label": "supported"},
        {"id": "2", **row, "claim": "The moon is made of green cheese.", "label": "nei"},
    ]
    claims.write_text("\n".join(map(json.dumps, rows)))
    assert cli.json("eval", "claims", str(claims))["metrics"]["balanced_accuracy"] == 1.0
    folder = tmp_path / "set"
    folder.mkdir()
    texts = {"a": "The mast is two metres high.", "b": "The battery lasts a year."}
    (folder / "corpus.jsonl").write_text("\n".join(json.dumps({"_id": k, "text": v}) for k, v in texts.items()))
    (folder / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "How long does the battery last?"}))
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq\tb\t1\n")
    metrics = cli.json("eval", "retrieval", str(folder))["metrics"]
    assert set(metrics) == {"dense", "bm25", "fused", "reranked"}
    assert metrics["fused"]["ndcg@10"] == 1.0
    assert set(metrics["dense"]) == {"ndcg@10", "recall@5", "recall@20", "recall@100", "mrr@10"}
