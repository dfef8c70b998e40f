"""The tools of the MCP server on this machine's own documents, without the protocol around them."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.mcp_server import Local
from rag.types import InvalidInput
from tests.api.client import LEAVE, settings_for
from tests.fakes import Shelf


@pytest.fixture
def local(tmp_path: Path) -> Local:
    shelf = Shelf.open(tmp_path)
    shelf.put(LEAVE)
    return Local(settings_for(tmp_path), lambda _settings: shelf.pipeline())


def test_each_sentence_is_checked_against_what_is_found_for_it(local: Local) -> None:
    text = "Every employee has 27 days of annual leave. A barrel holds 159 litres. Zebras run."
    claims = local.verify(text, "default")["claims"]
    assert [text[claim["start"] : claim["end"]] for claim in claims] == [claim["text"] for claim in claims]
    assert [claim["verdict"] for claim in claims] == ["supported", "supported", "unsupported"]
    assert [claims[place]["citations"][0]["uri"] for place in (0, 1)] == list(LEAVE)


def test_a_text_without_words_is_told(local: Local) -> None:
    with pytest.raises(InvalidInput, match="no words"):
        local.verify("?!", "default")


def test_an_answer_is_kept_as_it_was_given(local: Local) -> None:
    answer = local.ask("How many days of annual leave has every employee?", "default")
    assert local._pipeline().retriever.store.answers.get(answer["id"]) == answer
    assert local.search("barrel of oil", "default", 1)["hits"][0]["uri"] == "/docs/oil.md"
