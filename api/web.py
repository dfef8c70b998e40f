"""GET /: the page, and its files under /web/. Everything comes from this folder; the policy lets nothing else in."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import partial
from pathlib import Path

import anyio.to_thread
from fastapi import APIRouter, Response
from starlette.exceptions import HTTPException

FOLDER = Path(__file__).parent / "web"
_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_NAME = re.compile(r"(vendor/)?[a-z0-9_]{1,40}\.[a-z]{1,5}")
router = APIRouter(include_in_schema=False)


@router.get("/")
async def page() -> Response:
    """The page."""
    html = await anyio.to_thread.run_sync(partial((FOLDER / "index.html").read_text, "utf-8"))
    return Response(html, media_type="text/html", headers={"Content-Security-Policy": policy(html)})


@router.get("/web/{name:path}")
async def file(name: str) -> Response:
    """A file of the page. Raises HTTPException 404 for any other."""
    path = FOLDER / name
    if not _NAME.fullmatch(name) or path.suffix not in _TYPES or not path.is_file():
        raise HTTPException(404)
    data = await anyio.to_thread.run_sync(path.read_bytes)
    return Response(data, media_type=_TYPES[path.suffix], headers={"Cache-Control": "no-cache"})


def policy(html: str) -> str:
    """The page's content security policy: own files only, and by its hash the one inline script, the import map."""
    hashes = [_hash(script) for script in re.findall(r"<script[^>]*>([^<]+)</script>", html)]
    scripts = " ".join(["'self'", *(f"'sha256-{one}'" for one in hashes)])
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
