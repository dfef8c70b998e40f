"""Ingest at two sizes: rates, memory, growth, the second run's share, stages, and a plain script on the same files.

    python -m benchmarks.ingest_scale FOLDER [--small 300] [--large 3000] [--compare 150]

FOLDER is what benchmarks/ingest_corpus.py fetched. Each ingest is a process, `answerable ingest --json`, with
a HOME of its own; its memory is the resident memory of the process and its workers together, sampled every 50 ms. The
baseline is what a first script with LangChain's parts does: a loader a format, a recursive splitter (1000 characters,
200 of overlap), sentence-transformers in fp32, batches of 32, a flat FAISS index; it keeps no rows and no full text.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import docx
import faiss
import pypdfium2
from selectolax.lexbor import LexborHTMLParser

from benchmarks.memory import resident
from rag.build import ENCODER
from rag.settings import load_settings

ROOT = Path(__file__).resolve().parent.parent
SEPARATORS = ("\n\n", "\n", " ", "")
SIZE, OVERLAP, BATCH = 1000, 200, 32  # RecursiveCharacterTextSplitter's usual settings, sentence-transformers' batch
PLAIN = (".txt", ".md", ".rst", ".html", ".htm", ".pdf", ".docx")  # what the plain script has loaders for


def main() -> None:
    """Run both sizes, the second run, and the comparison; print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--small", type=int, default=300)
    parser.add_argument("--large", type=int, default=3000)
    parser.add_argument("--compare", type=int, default=150, help="files that both sides ingest")
    arguments = parser.parse_args()
    files = spread(sorted(path for path in (arguments.folder / "files").rglob("*") if path.is_file()))
    with tempfile.TemporaryDirectory() as scratch:
        room = Path(scratch)
        small = measure(link(files[: arguments.small], room / "small"), room / "home-small")
        large = measure(link(files[: arguments.large], room / "large"), room / "home-large")
        again = measure(room / "large", room / "home-large")
        common = [path for path in files if path.suffix in PLAIN][: arguments.compare]
        ours = measure(link(common, room / "common"), room / "home-common")
        plain = plain_script(sorted((room / "common").iterdir()))
    growth = (large["seconds"] / large["megabytes"]) / (small["seconds"] / small["megabytes"])
    result = {
        "small": small,
        "large": large,
        "seconds_per_megabyte_large_to_small": round(growth, 3),
        "second_run_share": round(again["seconds"] / large["seconds"], 4),
        "compare": {"ours": ours, "plain": plain, "ratio": ours["chunks_per_second"] / plain["chunks_per_second"]},
    }
    print(json.dumps(result, indent=2))


def spread(files: list[Path]) -> list[Path]:
    """The files in an order in which every prefix holds all kinds alike: by a hash of the path."""
    import hashlib

    return sorted(files, key=lambda path: hashlib.sha256(str(path).encode()).hexdigest())


def link(files: list[Path], folder: Path) -> Path:
    """A folder of hard links (copies across disks) to ``files``."""
    folder.mkdir()
    for number, path in enumerate(files):
        target = folder / f"{number:05}-{path.name}"
        try:
            os.link(path, target)
        except OSError:
            shutil.copyfile(path, target)
    return folder


def measure(folder: Path, home: Path) -> dict[str, Any]:
    """One `answerable ingest` of ``folder``: its report, rates, and peak memory in MB."""
    home.mkdir(exist_ok=True)
    if not (home / "models").exists():
        (home / "models").symlink_to(load_settings().models_folder)
    command = [sys.executable, str(ROOT / "answerable.py"), "ingest", str(folder), "--json"]
    started = time.perf_counter()
    process = subprocess.Popen(command, env=os.environ | {"ANSWERABLE_HOME": str(home)}, stdout=subprocess.PIPE)
    peak = [0]
    sampler = threading.Thread(target=_sample, args=(process, peak))
    sampler.start()
    assert process.stdout is not None
    report = json.loads(process.stdout.read())
    process.wait()
    sampler.join()
    seconds = time.perf_counter() - started
    megabytes = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    documents = report["added"] + report["changed"]
    return {
        "files": sum(1 for _ in folder.iterdir()),
        "megabytes": round(megabytes, 1),
        "seconds": round(seconds, 2),
        "files_per_second": round(documents / seconds, 2),
        "megabytes_per_second": round(report["bytes"] / 1e6 / seconds, 3),
        "chunks": report["chunks"],
        "chunks_per_second": round(report["chunks"] / report["seconds"], 1),
        "peak_mb": round(peak[0] / 1e6),
        "stages": report["stages"],
        "skipped": report["skipped"],
        "failed": [failure["reason"] for failure in report["failed"]],
    }


def plain_script(files: list[Path]) -> dict[str, Any]:
    """The same files through the plain script; loading the model is not timed."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(load_settings().models_folder / ENCODER), device="cpu")
    model.encode(["warm"])
    started = time.perf_counter()
    texts = []
    for path in files:
        try:
            texts.append(load(path))
        except Exception as error:  # noqa: BLE001 - a plain script prints and goes on
            print(f"plain script: {path.name}: {error}", file=sys.stderr)
    loaded = time.perf_counter()
    chunks = [chunk for text in texts for chunk in split(text, SEPARATORS)]
    cut = time.perf_counter()
    vectors = model.encode(chunks, batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    seconds = time.perf_counter() - started
    return {
        "chunks": len(chunks),
        "characters": sum(map(len, texts)),
        "seconds": round(seconds, 2),
        "load": round(loaded - started, 2),
        "split": round(cut - loaded, 2),
        "chunks_per_second": round(len(chunks) / seconds, 1),
    }


def load(path: Path) -> str:
    """The text of a file, as the usual loaders give it."""
    data = path.read_bytes()
    match path.suffix:
        case ".pdf":
            return "\n".join(page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(data))
        case ".docx":
            return "\n".join(paragraph.text for paragraph in docx.Document(io.BytesIO(data)).paragraphs)
        case ".html" | ".htm":
            return re.sub(r"\n\s*\n+", "\n\n", LexborHTMLParser(data.decode("utf-8", "replace")).text(separator="\n"))
        case _:
            return data.decode("utf-8", "replace")


def split(text: str, separators: tuple[str, ...]) -> list[str]:
    """LangChain's recursive splitter: by the coarsest separator, too long parts by the next, merged with an overlap."""
    separator, rest = separators[0], separators[1:]
    parts = text.split(separator) if separator else list(text)
    chunks: list[str] = []
    window: list[str] = []
    length = 0
    for part in parts:
        if len(part) > SIZE and rest:
            chunks += [separator.join(window)] if window else []
            chunks += split(part, rest)
            window, length = [], 0
            continue
        if length + len(part) > SIZE and window:
            chunks.append(separator.join(window))
            while window and (length > OVERLAP or length + len(part) > SIZE):
                length -= len(window.pop(0)) + len(separator)
        window.append(part)
        length += len(part) + len(separator)
    return [chunk for chunk in [*chunks, separator.join(window)] if chunk.strip()]


def _sample(process: subprocess.Popen[bytes], peak: list[int]) -> None:
    """Keeps in ``peak`` the most memory, in bytes, that the process and its children held at once."""
    while process.poll() is None:
        peak[0] = max(peak[0], sum(map(_resident, _family(process.pid))))
        time.sleep(0.05)


def _family(pid: int) -> list[int]:
    children = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children += [int(child) for child in task.read_text().split()]
        except OSError:
            continue
    return [pid, *(one for child in children for one in _family(child))]


def _resident(pid: int) -> int:
    try:
        return resident(pid)
    except (OSError, IndexError):
        return 0


if __name__ == "__main__":
    main()
