"""Kill -9 at random moments of an ingest, go on, and compare the rows and the index with those of a quiet run.

    python -m benchmarks.kill_points [--points 100] [--files 200] [--seed 1]

Each point starts from nothing, is killed after a random part of a quiet run's time, and is taken up by running the same
command again. Compared are all documents, chunks (text, place, heading, vector to the last bit), signatures and the
index, sorted by address, for workers finish in any order. Workers must die with the ingest that was killed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rag.index import VectorIndex
from rag.settings import load_settings
from rag.store import Store

ROOT = Path(__file__).resolve().parent.parent

Rows = list[tuple[object, ...]]


def main() -> None:
    """Run all points; print one JSON object; exit with 1 when any differed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        models = load_settings().models_folder
        result = run(Path(scratch), models, arguments.points, (arguments.files, arguments.seed))
    print(json.dumps(result, indent=2))
    sys.exit(1 if result["differed"] or result["orphans"] else 0)


def run(scratch: Path, models: Path, points: int, corpus: tuple[int, int]) -> dict[str, object]:
    """``points`` kills over ``corpus`` (files, seed). Returns how many there were, differed, and hit before the end."""
    files, seed = corpus
    chance = random.Random(seed)
    folder = write_files(scratch / "files", files, chance)
    quiet = make_home(scratch / "quiet", models)
    started = time.perf_counter()
    assert ingest(quiet, folder).wait() == 0
    seconds = time.perf_counter() - started
    expected = rows(quiet)
    differed, orphans, inside, kept = 0, 0, 0, []
    for point in range(points):
        home = make_home(scratch / f"point-{point}", models)
        process = ingest(home, folder)
        time.sleep(chance.uniform(0.02, 1.0) * seconds)
        children = _children(process.pid)
        inside += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        orphans += _alive(children)
        kept.append(_documents(home))
        assert ingest(home, folder).wait() == 0
        differed += rows(home) != expected
    return {"points": points, "files": files, "inside": inside, "differed": differed, "orphans": orphans, "kept": kept}


def write_files(folder: Path, files: int, chance: random.Random) -> Path:
    """Texts, pages and tables of different lengths."""
    folder.mkdir()
    for number in range(files):
        sentences = [f"Sentence {at} of file {number} tells of part {chance.randrange(9999)}." for at in range(60)]
        text = "\n\n".join(sentences[: chance.randrange(2, 60)])
        match number % 4:
            case 0:
                (folder / f"{number:04}.txt").write_text(text)
            case 1:
                (folder / f"{number:04}.md").write_text(f"# Part {number}\n\n{text}")
            case 2:
                (folder / f"{number:04}.html").write_text(f"<h1>Part {number}</h1><p>{text}</p>")
            case _:
                cells = "\n".join(f"{number},{at},{chance.randrange(999)}" for at in range(chance.randrange(2, 80)))
                (folder / f"{number:04}.csv").write_text(f"File,Row,Value\n{cells}\n")
    return folder


def make_home(home: Path, models: Path) -> Path:
    """A fresh HOME over the models that are there."""
    home.mkdir()
    (home / "models").symlink_to(models)
    return home


def ingest(home: Path, folder: Path) -> subprocess.Popen[bytes]:
    """`answerable ingest`, started."""
    command = [sys.executable, str(ROOT / "answerable.py"), "ingest", str(folder), "--json"]
    return subprocess.Popen(command, env=os.environ | {"ANSWERABLE_HOME": str(home)}, stdout=subprocess.DEVNULL)


def rows(home: Path) -> Rows:
    """Everything that must come out the same. Raises AssertionError when the index does not fit the rows."""
    store = Store.open(f"sqlite:///{home / 'answerable.db'}")
    try:
        target = store.collections.get("default")
        assert VectorIndex(home / "index", store).check(target).problem == ""
        changes = store.chunks.changes(target, -1)
        vectors = dict(zip(changes.ids, changes.vectors, strict=True))
        passages = store.chunks.passages(changes.ids)
        found: Rows = [(p.uri, p.start, p.end, p.text, p.heading, vectors[i].tobytes()) for i, p in passages.items()]
        found += [(d.uri, d.id, d.title, d.content_hash, d.reader, d.chunk_count) for d in store.documents.all(target)]
        return sorted(found, key=repr)
    finally:
        store.close()


def _documents(home: Path) -> int:
    if not (home / "answerable.db").exists():
        return 0
    store = Store.open(f"sqlite:///{home / 'answerable.db'}")
    try:
        return sum(len(store.documents.all(target)) for target in store.collections.all())
    finally:
        store.close()


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in task.read_text().split()]
        except OSError:
            continue
    return found


def _alive(pids: list[int]) -> int:
    """How many of ``pids`` live on as workers two seconds later."""
    until = time.monotonic() + 2.0
    while time.monotonic() < until and any(map(_is_worker, pids)):
        time.sleep(0.05)
    return sum(map(_is_worker, pids))


def _is_worker(pid: int) -> bool:
    try:
        return b"ingest.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


if __name__ == "__main__":
    main()
