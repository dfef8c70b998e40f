"""Fetch the benchmark corpus: real documentation out of Debian packages, with office files made of it by LibreOffice.

    python -m benchmarks.ingest_corpus FOLDER [--files 3000] [--office 150]

Needs apt-get and dpkg-deb; nothing is installed, packages are downloaded and unpacked into FOLDER/.packages. Office
files need LibreOffice (libreoffice-writer-nogui, -calc-nogui, -impress-nogui); without it they are left out.
Files are taken package by package in name order, round and round, so that no format crowds out the others.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

PACKAGES = (
    "python3-doc postgresql-doc-15 git-doc apache2-doc nginx-doc sqlite3-doc debian-handbook debian-reference-en "
    "developers-reference doc-debian linux-doc python-django-doc python3-numpydoc python-pandas-doc gcc-12-doc "
    "libboost-doc emacs-common-non-dfsg ruby-doc bash-doc zsh-doc texlive-latex-base-doc texlive-pictures-doc "
    "asciidoc-doc octave-doc maxima-doc r-doc-html gnuplot-doc gdb-doc autoconf-doc valgrind-docs rust-doc"
).split()
SUFFIXES = (".html", ".htm", ".txt", ".md", ".rst", ".pdf", ".py", ".json", ".csv", ".xml.gz", ".epub", ".ipynb")
CONVERSIONS = ("docx", "odt", "rtf", "pdf", "epub")
READ_AS = "--infilter=HTML (StarWriter)"  # as a text document: as a web page few formats can be written
LARGEST = 20_000_000  # bytes


def main() -> None:
    """Fetch, choose, convert, and print what is there as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=3000, help="files taken from the packages")
    parser.add_argument("--office", type=int, default=150, help="HTML files that are converted, each to one format")
    parser.add_argument("--packages", nargs="*", default=PACKAGES)
    arguments = parser.parse_args()
    cache, corpus = arguments.folder / ".packages", arguments.folder / "files"
    corpus.mkdir(parents=True, exist_ok=True)
    trees = [tree for name in arguments.packages if (tree := fetch(name, cache)) is not None]
    kept = choose(trees, arguments.files)
    for source in kept:
        copy(source, cache, corpus)
    made = convert(sorted(corpus.rglob("*.html")), corpus / "office", arguments.office)
    files = [path for path in corpus.rglob("*") if path.is_file()]
    result = {
        "files": len(files),
        "megabytes": sum(path.stat().st_size for path in files) / 1e6,
        "office": made,
        "by_suffix": dict(Counter(path.suffix for path in files).most_common()),
    }
    print(json.dumps(result, indent=2))


def fetch(name: str, cache: Path) -> Path | None:
    """The unpacked package ``name``; None where there is none of that name."""
    tree = cache / name
    if tree.is_dir():
        return tree
    drafts = cache / f"{name}.download"
    drafts.mkdir(parents=True, exist_ok=True)
    # "_apt", the user apt-get downloads as, may not write here; it then downloads as the caller, and says so.
    got = subprocess.run(["apt-get", "download", "-q", name], cwd=drafts, capture_output=True, text=True, check=False)
    archives = list(drafts.glob("*.deb"))
    if got.returncode or not archives:
        print(f"package {name} left out: {got.stderr.strip().splitlines()[-1:]}")
        return None
    subprocess.run(["dpkg-deb", "-x", str(archives[0]), str(tree)], check=True)
    shutil.rmtree(drafts)
    return tree


def choose(trees: list[Path], wanted: int) -> list[Path]:
    """``wanted`` files of different content, one of each package in turn."""
    chosen: list[Path] = []
    seen: set[str] = set()
    for row in zip_longest(*[_readable(tree) for tree in trees]):
        for path in row:
            if path is None or len(chosen) >= wanted:
                continue
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if digest not in seen:
                seen.add(digest)
                chosen.append(path)
    return chosen


def copy(source: Path, cache: Path, corpus: Path) -> None:
    """Copies a file to the corpus under its path in the package, unpacked where it is packed by gzip."""
    target = corpus / source.relative_to(cache)
    if source.suffix == ".gz":
        target = target.with_suffix("")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(gzip.decompress(source.read_bytes()) if source.suffix == ".gz" else source.read_bytes())


def convert(pages: list[Path], folder: Path, wanted: int) -> int:
    """Converts every so many of ``pages`` to an office format, a folder a format; returns how many came out."""
    office = shutil.which("soffice") or shutil.which("libreoffice")
    if office is None:
        print("no office files: LibreOffice is not installed")
        return 0
    step = max(1, len(pages) // max(1, wanted))
    for number, kind in enumerate(CONVERSIONS):
        batch = pages[number * step :: step * len(CONVERSIONS)][: wanted // len(CONVERSIONS) + 1]
        out = folder / kind
        out.mkdir(parents=True, exist_ok=True)
        profile = f"-env:UserInstallation=file://{folder.resolve()}/.profile"
        command = [office, profile, "--headless", READ_AS, "--convert-to", kind, "--outdir", str(out), *map(str, batch)]
        subprocess.run(command, capture_output=True, check=False, timeout=1800)
    shutil.rmtree(folder / ".profile", ignore_errors=True)
    return sum(1 for path in folder.rglob("*") if path.is_file())


def _readable(tree: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(tree):
        folders.sort()
        for name in sorted(files):
            path = Path(folder) / name
            plain = name.removesuffix(".gz").lower()
            if plain.endswith(SUFFIXES) and not path.is_symlink() and 200 < path.stat().st_size < LARGEST:
                yield path


if __name__ == "__main__":
    main()
