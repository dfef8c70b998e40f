"""reStructuredText, by docutils (public domain, kept), file access off; Sphinx's roles and directives are let through.

What docutils does not know would turn into error messages in the text. So each unknown role reads as its text, and each
unknown directive as its argument (a heading, for it names what is defined: ".. function:: open(path)") and its content.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, ClassVar

from docutils import nodes
from docutils.core import publish_doctree
from docutils.parsers.rst import Directive, directives, roles
from docutils.utils import SystemMessage

from ingest.normalise import inline
from ingest.readers.builder import TextBuilder
from ingest.readers.decode import decode
from ingest.readers.names import title_of
from rag.types import DocumentRejected, ParsedDocument

VERSION = "rst/1"

_SETTINGS = {
    "file_insertion_enabled": False,
    "raw_enabled": False,
    "report_level": 5,
    "halt_level": 5,
    "_disable_config": True,
    "doctitle_xform": False,
    "smart_quotes": False,
    "line_length_limit": 100_000,
}
_ROLE = re.compile(r":([A-Za-z][\w:+.-]{0,40}):`")
_DIRECTIVE = re.compile(r"^[ \t]*\.\.[ \t]+(?:\|[^|\n]{1,80}\|[ \t]+)?([A-Za-z][\w:+.-]{0,60})::", re.MULTILINE)
_TARGET = re.compile(r"(.+?)\s*<[^<>]+>\Z", re.DOTALL)
_SILENT = frozenset(
    "toctree index only highlight currentmodule module meta image figure contents sectnum include".split()
)
_TERM_LEVEL = 7
_SKIPPED = (
    nodes.comment,
    nodes.substitution_definition,
    nodes.system_message,
    nodes.target,
    nodes.docinfo,
    nodes.image,
    nodes.raw,
    nodes.pending,
)


def read_rst(name: str, data: bytes) -> ParsedDocument:
    """Reads headings, paragraphs, lists, definitions, code and tables; the title is the first heading.

    Raises DocumentRejected for binary data, no text, and markup nested so deeply that docutils gives up.
    """
    text = decode(data).replace("\0", "")
    _let_through(text)
    try:
        tree = publish_doctree(text, settings_overrides=_SETTINGS)
    except (SystemMessage, RecursionError, ValueError, AttributeError, LookupError, AssertionError, TypeError) as error:
        said = " ".join(str(error).split())[:100]
        raise DocumentRejected(f"its reStructuredText cannot be read ({said}); rename it to .txt") from error
    builder = TextBuilder()
    writer = _Writer(builder)
    try:
        writer.write(tree.children, 0)
    except RecursionError as error:
        raise DocumentRejected("its reStructuredText is nested too deeply; rename it to .txt") from error
    return builder.finish(writer.first_title or title_of(name), VERSION)


class _Unknown(Directive):  # type: ignore[misc]
    """A directive that docutils lacks: its arguments as a term, its content as text."""

    has_content = True
    optional_arguments = 1
    final_argument_whitespace = True
    option_spec: ClassVar[Any] = None

    def run(self) -> list[nodes.Node]:
        """A definition of the arguments by the content."""
        content = nodes.container()
        if self.name in _SILENT:
            return []
        self.state.nested_parse(_without_options(self.content), self.content_offset, content)
        if not self.arguments:
            return [content]
        return [nodes.rubric("", self.arguments[0].split("\n")[0]), content]


def _without_options(content: Any) -> Any:
    """Options (":noindex:") that stand at the head of an unknown directive's content."""
    while len(content) and re.fullmatch(r":[\w-]+:.*", content[0] or ""):
        content = content[1:]
    return content


def _role(_name: str, _raw: str, text: str, *_rest: Any, **_more: Any) -> tuple[list[nodes.Node], list[Any]]:
    found = _TARGET.match(text)
    return [nodes.inline("", found[1] if found else text.lstrip("~!"))], []


def _let_through(text: str) -> None:
    """Registers the roles and directives of ``text`` that docutils lacks; it keeps both in tables of its own."""
    for role in set(_ROLE.findall(text)):
        if role not in roles._role_registry:
            roles.register_local_role(role, _role)
    for name in set(_DIRECTIVE.findall(text)):
        if name in _SILENT or name not in directives._directive_registry:
            directives.register_directive(name, _Unknown)


class _Writer:
    """Walks the document tree; ``first_title`` is the first section's title."""

    def __init__(self, builder: TextBuilder) -> None:
        self._builder = builder
        self.first_title = ""

    def write(self, children: Iterable[Any], depth: int) -> None:
        """Adds nodes; ``depth`` counts the sections they stand in."""
        for node in children:
            if isinstance(node, nodes.section):
                self.write(node.children, depth + 1)
            elif isinstance(node, nodes.title):
                self._builder.heading(max(1, depth), node.astext())
                self.first_title = self.first_title or inline(node.astext())
            elif not isinstance(node, _SKIPPED) and not self._block(node):
                self.write(node.children, depth)

    def _block(self, node: Any) -> bool:
        """Adds a node that is taken as a whole; whether it was one."""
        match node:
            case nodes.rubric() | nodes.term():
                self._builder.heading(_TERM_LEVEL, node.astext())
            case nodes.literal_block() | nodes.doctest_block():
                self._builder.code(node.astext())
            case nodes.bullet_list():
                self._list(node, [])
            case nodes.enumerated_list():
                self._list(node, _numbers(node))
            case nodes.table():
                self._table(node)
            case nodes.field() | nodes.option_list_item():
                self._builder.paragraph(": ".join(inline(child.astext()) for child in node.children))
            case nodes.line_block():
                self._builder.paragraph(*node.astext().split("\n"))
            case nodes.TextElement():
                self._builder.paragraph(node.astext())
            case _:
                return not isinstance(node, nodes.Element)
        return True

    def _list(self, node: Any, numbers: list[str]) -> None:
        for at, item in enumerate(node.children):
            first, rest = item.children[:1], item.children[1:]
            if first and isinstance(first[0], nodes.paragraph):
                self._builder.item(numbers[at] if numbers else "-", first[0].astext())
            else:
                self.write(first, _TERM_LEVEL)
            self.write(rest, _TERM_LEVEL)

    def _table(self, table: Any) -> None:
        for title in table.findall(nodes.title):
            self._builder.paragraph(title.astext())
        rows = [[cell.astext() for cell in row.children] for row in table.findall(nodes.row)]
        self._builder.table(rows, next(iter(table.findall(nodes.thead)), None) is not None or None)


def _numbers(node: Any) -> list[str]:
    first = node.get("start", 1)
    return [f"{number}." for number in range(first, first + len(node.children))]
