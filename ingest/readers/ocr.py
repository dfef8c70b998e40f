"""Pictures of pages -> text, by Tesseract where it is installed (Debian: tesseract-ocr; Apache-2.0), as a program.

The picture goes in and the text comes out over pipes; nothing is written to disk.
"""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
from numpy.typing import NDArray

from ingest.normalise import lines

DPI = 300  # what Tesseract is trained for
SECONDS = 60.0  # longest time a page may take
CURE = "install tesseract-ocr and run: answerable ingest --retry-failed"

_MOST_LANGUAGES = 3  # each costs as much time again
_NOT_LANGUAGES = ("osd", "equ", "snum")


def program() -> str:
    """The path of Tesseract; "" where it is not installed."""
    return shutil.which("tesseract") or ""


def languages(tesseract: str) -> str:
    """The installed languages as Tesseract wants them ("eng+deu"), English first; "" for none."""
    try:
        listed = subprocess.run(
            [tesseract, "--list-langs"], capture_output=True, text=True, timeout=SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    found = {line.strip() for line in listed.stdout.splitlines()[1:]} - {"", *_NOT_LANGUAGES}
    kept = sorted(found, key=lambda name: (name != "eng", name))
    return "+".join(kept[:_MOST_LANGUAGES])


def recognise(tesseract: str, language: str, page: NDArray[np.uint8]) -> list[str]:
    """The paragraphs on ``page``, grey values (H, W) at 300 dots an inch; none when the program fails or is slow."""
    height, width = page.shape
    picture = b"P5 %d %d 255\n" % (width, height) + page.tobytes()
    command = [tesseract, "stdin", "stdout", "-l", language, "--dpi", str(DPI)]
    try:
        done = subprocess.run(command, input=picture, capture_output=True, timeout=SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    text = lines(done.stdout.decode("utf-8", "replace"))
    return [paragraph for paragraph in text.split("\n\n") if any(sign.isalnum() for sign in paragraph)]
