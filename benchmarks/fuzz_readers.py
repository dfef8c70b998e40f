"""Fuzz the readers in their sandbox: damaged documents of the golden set, for so many minutes a reader.

    python -m benchmarks.fuzz_readers [--minutes 10] [--only .pdf .docx] [--keep FOLDER]

Hypothesis damages a document of the reader's format: bytes changed, cut out, put in, doubled, and for packages those of
a part inside. Whatever comes, the worker must answer with a document or a reason. Counted as findings are readers
that crash, die, or run out of time or memory; their inputs are kept in FOLDER. Exit code 1 when the sandbox failed.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ingest.chunk import ChunkOptions
from ingest.readers.parts import Rejected
from ingest.sandbox import Limits, Recipe, Worker
from rag.types import DocumentRejected
from tests.ingest.golden.documents import DOCUMENTS

LIMITS = Limits(seconds=20.0, memory=1_200_000_000, chars=5_000_000)
FINDINGS = ("reader crashed", "its reader", "takes over", "more memory")
AT_ONCE = 100  # examples between two looks at the clock

Edit = tuple[str, float, bytes]


def main() -> None:
    """Fuzz each reader in turn; print counts of outcomes as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="for each reader")
    parser.add_argument("--only", nargs="*", default=[], help="suffixes")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"))
    arguments = parser.parse_args()
    suffixes = arguments.only or sorted({PurePath(golden.name).suffix for golden in DOCUMENTS})
    broken = 0
    result = {}
    for suffix in suffixes:
        counts = fuzz(suffix, arguments.minutes * 60, arguments.keep)
        broken += counts["sandbox failed"]
        result[suffix] = dict(counts)
        print(suffix, dict(counts), file=sys.stderr)
    print(json.dumps(result, indent=2))
    sys.exit(1 if broken else 0)


def fuzz(suffix: str, seconds: float, keep: Path) -> Counter[str]:
    """Damages documents of ``suffix`` for so long; counts outcomes."""
    seeds = [golden.data for golden in DOCUMENTS if PurePath(golden.name).suffix == suffix]
    worker = Worker(Recipe("", 256, ChunkOptions(), LIMITS))
    counts: Counter[str] = Counter()
    until = time.monotonic() + seconds

    def one(seed: int, edits: list[Edit], inside: bool) -> None:
        data = seeds[seed % len(seeds)]
        data = _inside(data, edits) if inside and data.startswith(b"PK") else damage(data, edits)
        kind = outcome(worker, f"fuzzed{suffix}", data)
        counts[kind] += 1
        if kind not in ("read", "rejected"):
            keep.mkdir(parents=True, exist_ok=True)
            (keep / f"{hashlib.sha256(data).hexdigest()[:12]}{suffix}").write_bytes(data)

    try:
        while time.monotonic() < until:
            _examples(one)
    finally:
        worker.close()
    return counts


def damage(data: bytes, edits: list[Edit]) -> bytes:
    """``data`` after ``edits``, each at a share of its length."""
    changed = bytearray(data)
    for kind, share, new in edits:
        at = int(share * len(changed))
        match kind:
            case "change":
                changed[at : at + len(new)] = new
            case "insert":
                changed[at:at] = new
            case "cut":
                del changed[at : at + 1 + len(new) ** 2]
            case "double":
                changed[at:at] = changed[at : at + 200] * (1 + len(new))
            case _:
                del changed[at:]
    return bytes(changed)


def outcome(worker: Worker, name: str, data: bytes) -> str:
    """What became of ``data``: "read", "rejected", a finding of FINDINGS, or "sandbox failed"."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        file.seek(0)
        try:
            parts = list(worker.read(name, file.fileno(), 50_000_000))
        except DocumentRejected as error:
            return next((finding for finding in FINDINGS if finding in str(error)), "rejected")
        except Exception as error:  # noqa: BLE001 - this is what the run looks for
            print(f"sandbox failed: {type(error).__name__}: {error}", file=sys.stderr)
            return "sandbox failed"
    for part in parts:
        if not isinstance(part, Rejected):
            text = part.document.text
            if any(text[chunk.start : chunk.end] != chunk.text for chunk in part.parts):
                return "sandbox failed"
    return "read"


def _examples(one: Callable[[int, list[Edit], bool], None]) -> None:
    edit: Any = st.tuples(
        st.sampled_from(["change", "insert", "cut", "double", "end"]),
        st.floats(0, 1, exclude_max=True),
        st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from([b"\0", b"<", b">", b"{", b"\\", b"9999999999"])),
    )
    run = settings(
        max_examples=AT_ONCE,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )(given(st.integers(0, 9), st.lists(edit, min_size=1, max_size=12), st.booleans())(one))
    run()


def _inside(data: bytes, edits: list[Edit]) -> bytes:
    """The package with its largest XML part damaged and packed again."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as package:
        parts = {name: source.read(name) for name in source.namelist()}
        target = max(parts, key=lambda name: (len(parts[name]) * name.endswith((".xml", ".xhtml")), name))
        for name, content in parts.items():
            package.writestr(name, damage(content, edits) if name == target else content)
    return out.getvalue()


if __name__ == "__main__":
    main()
