"""Markdown, by markdown-it-py (MIT, kept, a port of the reference CommonMark parser with tables).

A parser and not a handful of patterns, because what is markup hangs on context: a "#" in a code block is no heading,
an underscore in snake_case no emphasis. Link targets, emphasis marks and comments go; what a reader would see stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token

from ingest.normalise import inline
from ingest.readers.builder import TextBuilder
from ingest.readers.decode import decode
from ingest.readers.html import write_html
from ingest.readers.html_tree import content_root
from ingest.readers.names import title_of
from rag.types import ParsedDocument

VERSION = "md/2"

_FRONT_MATTER = re.compile(r"\ufeff?---[ \t]*\r?\n(.{0,20000}?)\r?\n(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_FRONT_TITLE = re.compile(r"^title[ \t]*:[ \t]*(['\"]?)(.+?)\1[ \t]*$", re.MULTILINE)
_DEEPEST = 100  # block quotes and lists within each other; text below is passed over
_BREAK_TAG = re.compile(r"<br\s*/?>", re.IGNORECASE)


def read_markdown(name: str, data: bytes) -> ParsedDocument:
    """Reads CommonMark with tables. The title is the front matter's, else the first level 1 heading, else the name's.

    Raises DocumentRejected for binary data or no text.
    """
    text = decode(data)
    front = _FRONT_MATTER.match(text)
    named = _FRONT_TITLE.search(front[1]) if front else None
    builder = TextBuilder()
    first_title = write_markdown(text[front.end() :] if front else text, builder)
    return builder.finish((named[2] if named else "") or first_title or title_of(name), VERSION)


def write_markdown(text: str, builder: TextBuilder) -> str:
    """Adds ``text`` to ``builder``; returns its first heading of level 1, "" for none."""
    writer = _Writer(builder)
    parser = MarkdownIt("commonmark", {"maxNesting": _DEEPEST}).enable(["table", "strikethrough"])
    writer.write(parser.parse(text))
    return writer.first_title


class _Writer:
    """Walks the flat token list once; ``first_title`` is the first level 1 heading met."""

    def __init__(self, builder: TextBuilder) -> None:
        self._builder = builder
        self._lists: list[int] = []  # number of the next item; 0 in a bullet list
        self._marker = ""
        self._level = 0  # of the heading we are in, 0 outside
        self._rows: list[list[str]] | None = None
        self.first_title = ""

    def write(self, tokens: list[Token]) -> None:
        """Adds every token's text to the builder."""
        for token in tokens:
            match token.type:
                case "inline":
                    self._inline(token)
                case "fence" | "code_block":
                    self._builder.code(token.content)
                case "html_block":
                    self._html(token.content)
                case "heading_open":
                    self._level = int(token.tag[1])
                case "heading_close":
                    self._level = 0
                case "tr_open" | "table_open" | "table_close":
                    self._table(token.type)
                case _:
                    self._list(token)

    def _inline(self, token: Token) -> None:
        rows = _rows(token.children or [])
        if self._rows is not None:
            self._rows[-1].append(" ".join(rows))
        elif self._level:
            text = " ".join(rows)
            self._builder.heading(self._level, text)
            if self._level == 1:
                self.first_title = self.first_title or inline(text)
        elif self._marker:
            self._builder.item(self._marker, *rows)
            self._marker = ""
        else:
            self._builder.paragraph(*rows)

    def _html(self, html: str) -> None:
        root, _ = content_root(html)
        if root:
            write_html(root, self._builder)

    def _table(self, kind: str) -> None:
        if kind == "table_open":
            self._rows = []
        elif kind == "table_close":
            self._builder.table(self._rows or [], headed=True)
            self._rows = None
        elif self._rows is not None:
            self._rows.append([])

    def _list(self, token: Token) -> None:
        match token.type:
            case "bullet_list_open":
                self._lists.append(0)
            case "ordered_list_open":
                self._lists.append(int(token.attrs.get("start", 1)))
            case "bullet_list_close" | "ordered_list_close":
                self._lists.pop()
            case "list_item_open":
                number = self._lists[-1]
                self._marker = f"{number}." if number or token.info else "-"
                self._lists[-1] += 1 if token.info else 0
            case "list_item_close":
                self._marker = ""


def _rows(children: list[Token]) -> list[str]:
    """The visible text of a paragraph's tokens; a hard break begins a new row."""
    return "".join(_visible(children)).split("\v")


def _visible(children: list[Token]) -> Iterator[str]:
    for child in children:
        match child.type:
            case "text" | "code_inline" | "text_special":
                yield child.content.replace("\v", " ")
            case "softbreak":
                yield " "
            case "hardbreak":
                yield "\v"
            case "image":
                yield child.content
            case "html_inline":
                yield "\v" if _BREAK_TAG.fullmatch(child.content) else ""
