from __future__ import annotations

import time
from contextlib import suppress

import pytest

from ingest.readers.markdown import read_markdown
from rag.types import DocumentRejected

_PAGE = b"""---
title: "Release notes"
tags: [a, b]
---
Overview
========

Some *emphasis*, `code_span` and a [link](http://example.com/x_y "t").
Second line of **it**.<!-- hidden --> snake_case_name stays. Hard\\
break.

## Steps ##

1. Open it.
2. Close it.
   - with a nested item

   and more text
- [ ] bullet ![alt text](x.png)

```python
# no heading
x_y  =  1
```

| Name | Price |
|------|------:|
| A \\| B | *5* |

<div align="center"><b>Boxed</b> words &amp; more<script>no()</script></div>

> quoted text

Term ~~struck~~ <br> end &copy;
"""


def test_what_a_reader_sees_stays_and_markup_goes() -> None:
    document = read_markdown("notes.md", _PAGE)
    assert document.title == "Release notes"
    assert document.text == (
        "Overview\n\nSome emphasis, code_span and a link. Second line of it. snake_case_name stays. Hard\nbreak.\n\n"
        "Steps\n\n1. Open it.\n2. Close it.\n- with a nested item\n\nand more text\n\n- [ ] bullet alt text\n\n"
        "# no heading\nx_y  =  1\n\nName | Price\nName: A | B | Price: 5\n\nBoxed words & more\n\nquoted text\n\n"
        "Term struck\nend ©"
    )
    assert [(h.level, document.text[h.start : h.end]) for h in document.headings] == [(1, "Overview"), (2, "Steps")]
    kinds = [(block.kind, document.text[block.start : block.end], block.header) for block in document.blocks]
    assert ("code", "# no heading\nx_y  =  1", "") in kinds
    assert ("table", "Name: A | B | Price: 5", "Name | Price") in kinds


def test_the_title_is_the_first_heading_or_the_file_name() -> None:
    assert read_markdown("a.md", b"text\n\n# One *two*\n\n# Three").title == "One two"
    assert read_markdown("my_notes.md", b"## Sub\n\ntext").title == "my notes"


def test_a_rule_at_the_top_is_no_front_matter() -> None:
    assert read_markdown("a.md", b"---\n\ntext").text == "text"


def test_only_comments_hold_no_text() -> None:
    with pytest.raises(DocumentRejected, match="no text"):
        read_markdown("a.md", b"<!-- nothing -->\n\n[a]: http://example.com\n")


@pytest.mark.parametrize(
    "text", ["<!--" * 20_000, ">" * 20_000 + "x", "[" * 20_000, "*a **b " * 5000, "- " * 5000 + "x"]
)
def test_hostile_text_ends(text: str) -> None:
    """An unclosed comment was sought anew from each "<!--": 80 kB took 17 s."""
    started = time.perf_counter()
    with suppress(DocumentRejected):
        read_markdown("a.md", text.encode())
    assert time.perf_counter() - started < 15
