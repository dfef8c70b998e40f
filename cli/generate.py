"""eval generate and eval review: a question set from a collection, and the looking through of it by a person."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.common import CollectionOption, JsonOption, err, out, print_json, progress_bar
from rag.settings import load_settings

SetFile = Annotated[Path, typer.Argument(help="A question set that eval generate wrote.")]


def generate(
    collection: CollectionOption = "default",
    count: Annotated[int, typer.Option("--count", "-n", help="Questions wanted.")] = 100,
    unanswerable: Annotated[float, typer.Option("--unanswerable", help="Share without an answer, 0 to 0.5.")] = 0.2,
    seed: Annotated[int, typer.Option("--seed", help="Which passages come first.")] = 0,
    to: Annotated[Path | None, typer.Option("--out", help="File to write; HOME/sets/NAME.jsonl by default.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a question set from a collection; only what is found, answered and supported the same is kept."""
    from eval.generate import Maker, Plan, Tally, check_plan  # evaluation code, slow to import
    from eval.question_sets import check_new, write_rows
    from eval.round_trip import RoundTrip
    from rag.build import build_pipeline, build_search

    plan = Plan(count, unanswerable, seed)
    check_plan(plan)
    settings = load_settings()
    file = to or settings.home / "sets" / f"{collection}.jsonl"
    check_new(file)
    search = build_search(settings)
    chosen = search.store.collections.get(collection)
    trip = RoundTrip(build_pipeline(settings, search), chosen, settings.top_k)
    tally = Tally()
    with progress_bar("making questions") as step:
        made = write_rows(file, Maker(trip, plan).rows(tally, step))
    told = {"file": str(file), "questions": made, **tally.as_json()}
    if as_json:
        print_json(told)
        return
    out().print(f"{file}: {made} questions, {tally.unanswerable} of them without an answer")
    for reason, number in sorted(tally.outcomes.items(), key=lambda item: -item[1]):
        out().print(f"  {number:6d}  {reason}")
    if made < count:
        err().print(f"{count} were wanted; the collection gives no more: ingest more, or take these")
    out().print(f"Look through some of them: answerable eval review {file}")


def review(
    file: SetFile,
    sample: Annotated[int, typer.Option("--sample", min=1, help="How many to look at, of those not seen yet.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """Show questions with their evidence, and note for each whether it is right."""
    from eval.question_sets import read_set, replace_set, reviewed, to_review

    rows = read_set(file)
    try:
        for row in to_review(rows, sample):
            if (said := _ask(row)) == "q":
                break
            row["review"] = {"r": "right", "w": "wrong"}.get(said, "")
    finally:
        replace_set(file, rows)  # what was said before an interruption counts
    told = reviewed(rows)
    if as_json:
        print_json(told)
        return
    out().print(f"{told['right']} right, {told['wrong']} wrong, {told['open']} not looked at")


def _ask(row: dict[str, Any]) -> str:
    """ "r", "w", "s" (skip) or "q" (quit), as a person says."""
    screen = err()  # stdout stays clean for --json
    screen.print(f"\n{row['id']}  {row['question']}", markup=False)
    answer = row["answers"][0] if row["answers"] else "(no answer in these passages)"
    screen.print(f"  answer    {answer}", markup=False)
    screen.print(f"  evidence  {json.dumps(row['evidence']['quote'], ensure_ascii=False)}", markup=False)
    if not row["answers"]:
        for passage in row["passages"]:
            screen.print(f"  passage   {passage['title']}: {passage['text'][:300]}", markup=False)
    while True:
        said = str(typer.prompt("right, wrong, skip, quit [r/w/s/q]", err=True)).strip().lower()[:1]
        if said in ("r", "w", "s", "q"):
            return said
