"""A process of the service over fake models, on the database and index of tests/backend.py.

python -m tests.api.replica serve HOME PORT          the HTTP interface
python -m tests.api.replica ingest HOME FOLDER...    what `answerable ingest` does, one line of JSON at the end
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import uvicorn

from api.app import create_app
from ingest.chunk import ChunkOptions
from ingest.run import Ingester
from rag.types import AnswerableError
from tests.api.client import settings_for
from tests.fakes import HashEncoder, Shelf


def serve(home: Path, port: int) -> None:
    """Answer until killed."""
    shelf = Shelf.open(home)
    settings = settings_for(home, rate_per_minute=1_000_000, port=port)
    uvicorn.run(
        create_app(settings, lambda _settings: shelf.pipeline()), host="127.0.0.1", port=port, log_level="error"
    )


def ingest(home: Path, folders: list[Path]) -> None:
    """Read all files of ``folders``."""
    shelf = Shelf.open(home)
    ingester = Ingester(HashEncoder(), shelf.store, shelf.retriever.index, ChunkOptions(), 1_000_000, workers=1)
    report = ingester.ingest_paths(folders, "default")
    sys.stdout.write(json.dumps({"added": report.added, "failed": [asdict(one) for one in report.failed]}))


if __name__ == "__main__":
    try:
        if sys.argv[1] == "serve":
            serve(Path(sys.argv[2]), int(sys.argv[3]))
        else:
            ingest(Path(sys.argv[2]), [Path(name) for name in sys.argv[3:]])
    except AnswerableError as error:
        sys.stderr.write(f"answerable: {error}\n")
        sys.exit(error.exit_code)
