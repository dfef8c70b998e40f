r"""Rich Text Format (.rtf): words, headings, lists and tables, by a reader of our own.

striprtf (BSD), the kept library, gives the words alone; headings (``\outlinelevel`` or the style's) and cells are lost
(docs/decisions.md). The format is a stream of groups, control words and bytes, read in one pass with a stack of states.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ingest.normalise import inline
from ingest.readers.builder import TextBuilder
from ingest.readers.names import title_of
from rag.types import DocumentRejected, ParsedDocument

VERSION = "rtf/1"

_TOKEN = re.compile(
    rb"\\([a-z]{1,32})(-?[0-9]{1,10})? ?|\\'([0-9a-fA-F]{2})|\\([^a-z])|([{}])|([^\\{}\r\n]+)|[\r\n]+", re.DOTALL
)
_SKIPPED = frozenset(
    """fonttbl colortbl listtable listoverridetable rsidtbl generator themedata colorschememapping latentstyles
    datastore xmlnstbl pict object header headerl headerr headerf footer footerl footerr footerf footnote annotation
    fldinst nonshppict pntext pntxta pntxtb filetbl revtbl template operator wgrffmtfilter mmathPr shpinst""".split()
)
_SIGNS = {"tab": " ", "line": "\v", "emdash": "—", "endash": "–", "bullet": "•", "lquote": "‘", "rquote": "’"} | {
    "ldblquote": "“",
    "rdblquote": "”",
    "emspace": " ",
    "enspace": " ",
    "softline": " ",
}
_ESCAPED = {b"~": "\xa0", b"_": "-", b"-": "", b"\n": "\v", b"\r": "\v", b"{": "{", b"}": "}", b"\\": "\\"}
_DEEPEST = 1000  # groups within each other
_HEADING_STYLE = re.compile(r"heading ([1-9])\b", re.IGNORECASE)
_CODE_PAGES = {10000: "mac_roman", 65001: "utf-8", 708: "cp1256"}


@dataclass(frozen=True, slots=True)
class _State:
    """What a group inherits: where its text goes, bytes to skip after ``\\u``, and what the paragraph is."""

    target: str = "body"  # "body", "title", "style" or "" for text that is not read
    skip: int = 1
    level: int = 0
    table: bool = False
    item: bool = False
    style: int = -1


def read_rtf(name: str, data: bytes) -> ParsedDocument:
    """Reads an RTF file; the title is its property or first heading. Raises DocumentRejected for what is no RTF."""
    if not data.lstrip().startswith(b"{\\rtf"):
        raise DocumentRejected("it is no RTF file; save it again as .rtf")
    builder = TextBuilder()
    walk = _Walk(builder)
    walk.run(data)
    return builder.finish(walk.title or walk.first_heading or title_of(name), VERSION)


class _Walk:
    """One pass over the tokens."""

    def __init__(self, builder: TextBuilder) -> None:
        self._builder = builder
        self._state = _State()
        self._stack: list[_State] = []
        self._encoding = "cp1252"
        self._bytes = bytearray()  # of the code page, until a character of another kind comes
        self._text: dict[str, list[str]] = {"body": [], "title": [], "style": []}
        self._cells: list[str] = []
        self._rows: list[list[str]] = []
        self._styles: dict[int, int] = {}  # style number -> heading level
        self._unread = 0  # characters that stand for the \u before them
        self._starred = False
        self.title = self.first_heading = ""

    def run(self, data: bytes) -> None:
        """Reads all of ``data``; what is cut short counts as far as it goes."""
        position = 0
        while found := _TOKEN.match(data, position):
            position = found.end()
            if found[1]:
                number = int(found[2]) if found[2] else None
                if found[1] == b"bin":
                    position += max(0, number or 0)
                else:
                    self._word(found[1].decode(), number)
            elif found[3]:
                self._byte(bytes([int(found[3], 16)]))
            elif found[4]:
                self._symbol(found[4])
            elif found[5]:
                self._group(found[5])
            elif found[6]:
                self._byte(found[6])
        self._paragraph()
        self._table()

    def _group(self, brace: bytes) -> None:
        self._flush()
        self._starred = False
        if brace == b"{":
            if len(self._stack) >= _DEEPEST:
                raise DocumentRejected(f"its groups are nested over {_DEEPEST} deep; save it again as .rtf")
            self._stack.append(self._state)
        elif self._stack:
            closed, self._state = self._state, self._stack.pop()
            if closed.target != self._state.target:
                self._close(closed)

    def _close(self, closed: _State) -> None:
        """Ends a group whose text went elsewhere: the title, or the name of a style."""
        text = inline("".join(self._text[closed.target])) if closed.target else ""
        if closed.target == "title":
            self.title = text
        elif closed.target == "style":
            found = _HEADING_STYLE.match(text)
            if found:
                self._styles[closed.style] = int(found[1])
        if closed.target in ("title", "style"):
            self._text[closed.target] = []

    def _symbol(self, symbol: bytes) -> None:
        if symbol == b"*":
            self._starred = True
        elif symbol in _ESCAPED:
            self._add(_ESCAPED[symbol])

    def _word(self, word: str, number: int | None) -> None:
        state = self._state
        starred, self._starred = self._starred, False
        if word in _SKIPPED or (starred and word not in ("shppict", "cs")):
            self._flush()
            self._state = replace(state, target="")
        elif word == "u" and number is not None:
            self._add(chr(number % 0x10000))
            self._unread = state.skip
        elif word == "uc":
            self._state = replace(state, skip=max(0, min(number or 0, 10)))
        elif word in _SIGNS:
            self._add(_SIGNS[word])
        elif word == "ansicpg" and number is not None:
            self._encoding = _CODE_PAGES.get(number, f"cp{number}")
        elif word in ("info", "title", "stylesheet"):
            self._flush()
            target = {"info": "", "title": "title", "stylesheet": ""}[word]
            self._state = replace(state, target=target) if word != "title" or not self._body() else state
        else:
            self._layout(word, number)

    def _body(self) -> bool:
        return self._state.target == "body"

    def _layout(self, word: str, number: int | None) -> None:
        """Words about paragraphs, tables and styles."""
        state = self._state
        match word:
            case "par" | "sect" | "page":
                self._paragraph()
            case "pard":
                self._flush()
                self._state = replace(state, level=0, table=False, item=False, style=-1)
            case "intbl":
                self._state = replace(state, table=True)
            case "outlinelevel":
                self._state = replace(state, level=(number or 0) + 1 if 0 <= (number or 0) < 9 else 0)
            case "ls":
                self._state = replace(state, item=bool(number))
            case "s" if number is not None:
                in_sheet = state.target == "" and self._stack and self._stack[-1].target == ""
                self._state = replace(state, style=number, target="style" if in_sheet else state.target)
            case "cell" | "row":
                self._cell(word)

    def _cell(self, word: str) -> None:
        """A cell or a row ends."""
        self._flush()
        match word:
            case "cell":
                if self._body():
                    self._cells.append(inline(_whole("".join(self._text["body"]))))
                    self._text["body"] = []
            case "row":
                if self._body() and self._cells:
                    self._rows.append(self._cells)
                    self._cells = []

    def _paragraph(self) -> None:
        self._flush()
        state = self._state
        if not self._body():
            return
        if state.table:
            self._text["body"].append(" ")
            return
        rows = _whole("".join(self._text["body"])).split("\v")
        self._text["body"] = []
        if not any(row.strip() for row in rows):
            return
        self._table()
        level = state.level or self._styles.get(state.style, 0)
        if level:
            self._builder.heading(level, " ".join(rows))
            self.first_heading = self.first_heading or inline(" ".join(rows))
        elif state.item:
            self._builder.item("-", *rows)
        else:
            self._builder.paragraph(*rows)

    def _table(self) -> None:
        if self._rows:
            self._builder.table(self._rows)
            self._rows = []

    def _byte(self, data: bytes) -> None:
        drop = min(self._unread, len(data))
        self._unread -= drop
        if self._state.target:
            self._bytes += data[drop:]

    def _add(self, text: str) -> None:
        self._flush()
        self._unread = 0
        if self._state.target:
            self._text[self._state.target].append(text)

    def _flush(self) -> None:
        if self._bytes and self._state.target:
            self._text[self._state.target].append(_decode(bytes(self._bytes), self._encoding))
        self._bytes.clear()


def _decode(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding, "replace")
    except LookupError:
        return data.decode("cp1252", "replace")


def _whole(text: str) -> str:
    """``text`` with the halves of characters beyond the BMP, each a ``\\u`` of its own, put together."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
