"""Answers, hits and reports for people to read on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ingest.report import Failure, IngestReport
from rag.types import Answer, Citation, Claim, Hit, Verdict

_COLOURS = {Verdict.SUPPORTED: "green", Verdict.UNSUPPORTED: "yellow", Verdict.CONTRADICTED: "red"}
_SHOWN_FAILURES = 20
_SHOWN_QUOTE = 160


def answer(console: Console, given: Answer) -> None:
    """The answer with support and sources of every sentence, or the refusal with the nearest passages."""
    if given.abstained:
        console.print(f"[bold]{escape(given.answer)}[/bold]\n[dim]{escape(given.reason)}[/dim]")
        if given.passages:
            console.print("[dim]Nearest passages:[/dim]")
        for hit in given.passages[:3]:
            console.print(f"  [dim]{escape(_place(hit))}  {escape(_short(hit.passage.text))}[/dim]")
        return
    claims(console, given.claims)


def claims(console: Console, checked: tuple[Claim, ...]) -> None:
    """Sentences with their support and sources."""
    for claim in checked:
        colour = _COLOURS[claim.verdict]
        console.print(f"[bold]{escape(claim.text)}[/bold]  [{colour}]{claim.verdict} {claim.support:.2f}[/{colour}]")
        for citation in claim.citations:
            console.print(f"  [dim]{escape(_source(citation))}[/dim]  “{escape(_short(citation.quote))}”")


def hits(console: Console, found: tuple[Hit, ...]) -> None:
    """A ranked list of passages."""
    for rank, hit in enumerate(found, start=1):
        console.print(f"[bold]{rank}.[/bold] {hit.score:.3f}  {escape(_place(hit))}")
        console.print(f"   {escape(_short(hit.passage.text))}")
    if not found:
        console.print("nothing found")


def report(console: Console, done: IngestReport) -> None:
    """What an ingest did and how fast, with the files that failed and why, and documents that are nearly the same."""
    columns = ("added", "changed", "unchanged", "renamed", "removed", "skipped", "failed", "chunks", "seconds")
    table = Table(*columns, box=None)
    counts = (done.added, done.changed, done.unchanged, done.renamed, done.removed)
    more = (len(done.skipped), len(done.failed), done.chunks)
    table.add_row(*map(str, counts + more), f"{done.seconds:.1f}")
    console.print(table)
    if done.documents and done.seconds:
        rates = (done.documents / done.seconds, done.bytes / 1e6 / done.seconds, done.chunks / done.seconds)
        console.print("{:.1f} documents, {:.2f} MB and {:.0f} chunks a second".format(*rates))
    _reasons(console, "[red]failed[/red]", done.failed)
    _reasons(console, "[yellow]in part[/yellow]", done.notes)
    for pair in done.duplicates[:_SHOWN_FAILURES]:
        console.print(f"[yellow]alike[/yellow]  {escape(pair.uri)}: {pair.similarity:.0%} as {escape(pair.of)}")


def _reasons(console: Console, word: str, failures: Sequence[Failure]) -> None:
    for failure in failures[:_SHOWN_FAILURES]:
        console.print(f"{word}  {escape(failure.uri)}: {escape(failure.reason)}")
    if len(failures) > _SHOWN_FAILURES:
        console.print(f"and {len(failures) - _SHOWN_FAILURES} more {word}; --json lists them all")


def _source(citation: Citation) -> str:
    return f"{Path(citation.uri).name}{_page(citation.page)} [{citation.start}:{citation.end}]"


def _place(hit: Hit) -> str:
    passage = hit.passage
    return f"{Path(passage.uri).name}{_page(passage.page)} [{passage.start}:{passage.end}]"


def _page(page: int | None) -> str:
    return f" p. {page}" if page is not None else ""


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _SHOWN_QUOTE else flat[: _SHOWN_QUOTE - 1] + "…"
