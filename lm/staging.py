"""Files for other programs: made in a scratch folder inside their place, and moved there when all of them are whole."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from lm.errors import LmError

_SCRATCH = ".exporting-"


class ExportFailed(LmError):
    """The files of an export cannot be put where they were asked for; what was there before is untouched."""


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A scratch folder; the files in it are moved to ``out`` when the block ends, and thrown away when it fails.

    Files of the same names in ``out`` are replaced, others stay. Raises ExportFailed when ``out`` cannot be written.
    """
    new = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=out) as scratch:
            yield Path(scratch)
            made = sorted(Path(scratch).iterdir())
            for path in made:
                _sync(path)
            for path in made:
                path.replace(out / path.name)
    except (OSError, SafetensorError) as error:
        raise ExportFailed(_reason(out, error)) from error
    finally:
        if new:
            with contextlib.suppress(OSError):
                out.rmdir()  # which takes only an empty one


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _reason(out: Path, error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk of {out} is full; free some space there, or name a folder on another disk"
    return f"{out} cannot be written ({error}); name another folder"
