"""What an ingest did: the report, and the tally that it grows from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from rag.store import Duplicate, Outcome

Progress = Callable[[int, int | None], None]  # documents dealt with, documents in all (None: not known)


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that did not go in, or was left out, and why."""

    uri: str
    reason: str


@dataclass(frozen=True, slots=True)
class Stages:
    """Seconds of each stage: ``read`` summed over workers, which run beside the others; ``wait`` is for them."""

    read: float = 0.0
    wait: float = 0.0
    embed: float = 0.0
    write: float = 0.0
    index: float = 0.0


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What a run did: numbers of documents, chunks written, bytes of files read, wall time in seconds.

    ``notes`` are files that went in but for a part, such as scanned pages; ``duplicates`` are documents that went in
    and are nearly the same as another one.
    """

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    renamed: int = 0
    removed: int = 0
    skipped: tuple[Failure, ...] = ()
    failed: tuple[Failure, ...] = ()
    notes: tuple[Failure, ...] = ()
    duplicates: tuple[Duplicate, ...] = ()
    chunks: int = 0
    bytes: int = 0
    seconds: float = 0.0
    stages: Stages = Stages()

    @property
    def documents(self) -> int:
        """Documents that were read and written."""
        return self.added + self.changed


@dataclass(slots=True)
class Tally:
    """The report while it grows, and the outcomes that wait to be kept in the database."""

    known: frozenset[str]  # uris that had a document before
    progress: Progress | None
    total: int | None
    done: int = 0
    changed: int = 0
    added: int = 0
    unchanged: int = 0
    renamed: int = 0
    removed: int = 0
    chunks: int = 0
    bytes: int = 0
    seconds: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("read", "wait", "embed", "write", "index"), 0.0)
    )
    skipped: list[Failure] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    notes: list[Failure] = field(default_factory=list)
    duplicates: list[Duplicate] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def write(self, outcome: Outcome, chunks: int) -> None:
        """A document went in."""
        status = "changed" if outcome.uri in self.known else "added"
        self.chunks += chunks
        if status == "changed":
            self.changed += 1
        else:
            self.added += 1
        if outcome.reason:
            self.notes.append(Failure(outcome.uri, outcome.reason))
        self._keep(outcome, status)

    def keep(self, outcome: Outcome) -> None:
        """A file, with all its documents, is as it was."""
        self.unchanged += outcome.documents
        self._keep(outcome, "unchanged")

    def rename(self, outcome: Outcome) -> None:
        """A document has a new address."""
        self.renamed += 1
        self._keep(outcome, "renamed")

    def skip(self, outcome: Outcome) -> None:
        """A file was left out."""
        self.skipped.append(Failure(outcome.uri, outcome.reason))
        self._keep(outcome, "skipped")

    def fail(self, outcome: Outcome) -> None:
        """A file could not be read."""
        self.failed.append(Failure(outcome.uri, outcome.reason))
        self._keep(outcome, "failed")

    def step(self) -> None:
        """A file is dealt with."""
        self.done += 1
        if self.progress:
            self.progress(self.done, self.total)

    def take_outcomes(self) -> list[Outcome]:
        """The outcomes since the last call."""
        taken, self.outcomes = self.outcomes, []
        return taken

    def report(self, seconds: float) -> IngestReport:
        """The report; ``seconds`` is the wall time of the run."""
        return IngestReport(
            added=self.added,
            changed=self.changed,
            unchanged=self.unchanged,
            renamed=self.renamed,
            removed=self.removed,
            skipped=tuple(self.skipped),
            failed=tuple(self.failed),
            notes=tuple(self.notes),
            duplicates=tuple(self.duplicates),
            chunks=self.chunks,
            bytes=self.bytes,
            seconds=seconds,
            stages=Stages(**{stage: round(spent, 3) for stage, spent in self.seconds.items()}),
        )

    def _keep(self, outcome: Outcome, status: str) -> None:
        self.outcomes.append(
            Outcome(outcome.uri, status, outcome.reason, outcome.content_hash, outcome.reader, outcome.documents)
        )
