"""HTML: paragraphs, headings, lists, definition terms, code and tables of a page's main element, in reading order.

The walk is one loop over the nodes with a stack of its own, so nesting cannot exhaust Python's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborNode

from ingest.normalise import inline
from ingest.readers.builder import TextBuilder
from ingest.readers.decode import decode
from ingest.readers.html_tree import content_root
from ingest.readers.names import title_of
from rag.types import ParsedDocument

VERSION = "html/2"

_DECLARED = re.compile(
    rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_-]{2,30})|<\?xml[^>]{0,100}encoding=["']([A-Za-z0-9_-]{2,30})"""
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
# A term of a definition list, such as a function's signature, heads what follows it: below all h1 to h6.
_TERM_LEVEL = 7
_DEEPEST_TERM = 9
_PLAIN_TERMS = re.compile(r"\b(field-list|footnote|citation|option-list)\b")
_BLOCKS = frozenset(
    """address article aside blockquote body caption center dd details dialog dir div dl fieldset figcaption figure
    footer form header hgroup hr legend li main menu ol p section summary tbody td tfoot th thead tr ul""".split()
)
_LISTS = frozenset(("ul", "ol", "menu", "dir"))
_WHOLE = frozenset((*_HEADINGS, "pre", "table", "dt", "listing", "xmp"))
_CALLOUTS = frozenset("note warning tip caution important attention danger hint".split())
_POWER = re.compile(r"\s*[+−-]?\d+\s*")


def read_html(name: str, data: bytes) -> ParsedDocument:
    """Reads a page as a browser shows it, without navigation. Raises DocumentRejected for binary data or no text."""
    found = _DECLARED.search(data[:4096])
    declared = (found[1] or found[2]).decode() if found else ""
    builder = TextBuilder()
    root, title = content_root(decode(data, declared))
    h1 = root.css_first("h1") if root else None
    if root:
        write_html(root, builder)
    # "shutil - Python 3.11 documentation" under the heading "shutil": the rest is the site's name.
    title, first = inline(title), inline(_flat(h1)) if h1 else ""
    return builder.finish(first if first and title.startswith(first) else title or first or title_of(name), VERSION)


def write_html(root: LexborNode, builder: TextBuilder) -> None:
    """Adds the text below ``root`` to ``builder``."""
    _Walk(builder).run(root)


class _Walk:
    """One pass over a tree: text gathers in ``rows`` until a block begins or ends."""

    def __init__(self, builder: TextBuilder) -> None:
        self._builder = builder
        self._rows: list[list[str]] = [[]]  # text of the paragraph so far; a <br> begins a new row
        self._marker = ""  # of the list item whose first paragraph is gathering
        self._lists: list[int] = []  # number of the next item; 0 in a bullet list
        self._terms: list[bool] = []  # of each open dl: whether its terms are headings

    def run(self, root: LexborNode) -> None:
        """Walks ``root``'s children in document order."""
        open_tags: list[tuple[LexborNode, str]] = []
        node = root.first_child
        while node is not None or open_tags:
            if node is None:
                node, tag = open_tags.pop()
                self._leave(tag)
                node = node.next
                continue
            tag = node.tag or ""
            below = node.first_child if self._enter(node, tag) else None
            if below is not None:
                open_tags.append((node, tag))
                node = below
            else:
                node = node.next
        self._flush()

    def _enter(self, node: LexborNode, tag: str) -> bool:
        """Deals with a node that begins; whether its children are to be walked."""
        if tag == "-text":
            self._rows[-1].append(node.text_content or "")
            return False
        if tag == "br":
            self._rows.append([])
            return False
        if tag in _WHOLE:
            self._flush()
            return self._whole(node, tag)
        if tag in _BLOCKS:
            self._flush()
            self._open_block(node, tag)
        elif tag == "sup":
            self._raise(node)
        return True

    def _leave(self, tag: str) -> None:
        if tag not in _BLOCKS and tag not in _WHOLE:
            return
        self._flush()
        if tag == "li":
            self._marker = ""
        elif tag in _LISTS:
            self._lists.pop()
        elif tag == "dl":
            self._terms.pop()

    def _open_block(self, node: LexborNode, tag: str) -> None:
        if tag in _LISTS:
            start = node.attributes.get("start") or "1"
            self._lists.append((int(start) if start.isdecimal() and len(start) < 9 else 1) if tag == "ol" else 0)
        elif tag == "li":
            number = self._lists[-1] if self._lists else 0
            self._marker = f"{number}." if number else "-"
            if number:
                self._lists[-1] += 1
        elif tag == "dl":
            self._terms.append(not _PLAIN_TERMS.search(node.attributes.get("class") or ""))

    def _whole(self, node: LexborNode, tag: str) -> bool:
        """Adds an element that is taken as a whole; whether its children must be walked after all."""
        if tag in _HEADINGS:
            self._heading(_HEADINGS[tag], _flat(node))
        elif tag == "dt":
            self._term(_flat(node))
        elif tag == "table":
            return not self._table(node)
        else:
            self._builder.code("".join(_pieces(node, "\n", frozenset())))
        return False

    def _heading(self, level: int, text: str) -> None:
        """DocBook heads each call-out "Note"; taken for a section, it would swallow the text after the call-out."""
        if text.strip().lower() in _CALLOUTS:
            self._builder.paragraph(text)
        else:
            self._builder.heading(level, text)

    def _term(self, text: str) -> None:
        if self._terms and self._terms[-1]:
            self._builder.heading(min(_TERM_LEVEL + len(self._terms) - 1, _DEEPEST_TERM), text)
        else:
            self._builder.paragraph(text)

    def _table(self, table: LexborNode) -> bool:
        """Adds a table of data; False for one that only lays out the page: a table within, or a single cell."""
        nested = any(inner.mem_id != table.mem_id for inner in table.css("table"))
        if nested or table.attributes.get("role") in ("presentation", "none"):
            return False
        rows = [[cell for cell in row.iter() if cell.tag in ("td", "th")] for row in table.css("tr")]
        if max(map(len, rows), default=0) < 2 and len(rows) < 2:
            return False
        for caption in table.css("caption"):
            self._builder.paragraph(_flat(caption))
        headed = bool(rows) and (table.css_first("thead tr") is not None or all(cell.tag == "th" for cell in rows[0]))
        self._builder.table([[_flat(cell) for cell in row] for row in rows], headed or None)
        return True

    def _raise(self, node: LexborNode) -> None:
        """Marks a power: without the sign, 10<sup>6</sup> would read 106."""
        before = self._rows[-1][-1][-1:] if self._rows[-1] else ""
        if (before.isalnum() or before == ")") and _POWER.fullmatch(node.text()) and node.css_first("a") is None:
            self._rows[-1].append("^")

    def _flush(self) -> None:
        rows = ["".join(row) for row in self._rows]
        self._rows = [[]]
        if not any(row and not row.isspace() for row in rows):
            return
        if self._marker:
            self._builder.item(self._marker, *rows)
            self._marker = ""
        else:
            self._builder.paragraph(*rows)


def _flat(node: LexborNode) -> str:
    """All text below ``node``, with a space where a block begins or a line breaks."""
    return "".join(_pieces(node, " ", _BLOCKS))


def _pieces(node: LexborNode, gap: str, blocks: frozenset[str]) -> Iterator[str]:
    for below in node.traverse(include_text=True):
        tag = below.tag or ""
        if tag == "-text":
            yield below.text_content or ""
        elif tag == "br" or tag in blocks:
            yield gap
