"""A typed client of an Answerable server, sync and async, over httpx.

    with Client("http://127.0.0.1:8080", key="ak_...") as client:
        answer = client.ask("How many days of annual leave do I get?")
        for claim in answer.claims:
            print(claim.text, claim.support, claim.citations[0].quote)

Needs nothing of the server's own packages.
"""

from __future__ import annotations

from answerable_client.asynchronous import AsyncClient
from answerable_client.errors import ServerError, Unreachable
from answerable_client.records import (
    Answer,
    Citation,
    Claim,
    Collection,
    Document,
    DocumentText,
    Event,
    Hit,
    Job,
    Models,
    Timings,
    Turn,
    Usage,
)
from answerable_client.synchronous import Client

__all__ = [
    "Answer",
    "AsyncClient",
    "Citation",
    "Claim",
    "Client",
    "Collection",
    "Document",
    "DocumentText",
    "Event",
    "Hit",
    "Job",
    "Models",
    "ServerError",
    "Timings",
    "Turn",
    "Unreachable",
    "Usage",
]
