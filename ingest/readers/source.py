"""Source code and configuration: blocks of code under the definitions they belong to. No library; no code is run.

A line that begins a class or a function is a heading, its depth that of its indentation, so that the path of a chunk
names what the code defines. That takes a pattern a family of languages; a parser for each would bring forty grammars.
"""

from __future__ import annotations

import re

from ingest.normalise import clean
from ingest.readers.builder import TextBuilder
from ingest.readers.decode import decode
from rag.types import ParsedDocument

VERSION = "code/1"

SUFFIXES = (
    ".py .pyi .js .mjs .ts .tsx .jsx .java .c .h .cc .cpp .cxx .hh .hpp .cs .go .rs .rb .php .sh .bash .sql .kt .swift "
    ".scala .lua .pl .pm .r .jl .hs .ml .ex .exs .erl .clj .el .lisp .vim .tex .yaml .yml .toml .ini .cfg .conf "
    ".properties .css .scss .cmake .gradle .proto .graphql .tf .ps1 .m .f90 .dart .vue"
)
_DEEPEST = 6
_INDENT = 4
_LONGEST = 200  # characters of a definition's line
_DEFINITION = re.compile(
    r"(?P<indent>[ \t]{0,24})(?:(?:export|default|public|private|protected|internal|static|final|abstract|async|pub"
    r"|unsafe|override|open|data|sealed|virtual|inline|local)(?:\([a-z]{1,9}\))?[ \t]+){0,5}"
    r"(?:def|class|interface|trait|struct|enum|impl|fn|func|fun|function|module|namespace|object|protocol|sub|type"
    r"|message|service|procedure|CREATE (?:TABLE|VIEW|FUNCTION|INDEX|PROCEDURE)|create (?:table|view|function|index))"
    r"[ \t]+[\w$(\"`].{0,180}"
    r"|\[\[?[\w .\"'-]{1,80}\]\]?[ \t]*"
    r"|(?:[A-Za-z_][\w:<>*&]{0,60}[ \t*&]+){1,4}[A-Za-z_][\w:~]{0,60}[ \t]*\([^;{}]{0,160}\)[ \t]*\{?[ \t]*"
)


def read_source(name: str, data: bytes) -> ParsedDocument:
    """Reads a source file; its title is its file name, suffix and all. Raises DocumentRejected for binary data."""
    builder = TextBuilder()
    block: list[str] = []
    for row in clean(decode(data)).split("\n"):
        found = _DEFINITION.fullmatch(row) if len(row) <= _LONGEST else None
        if found is None or row.lstrip().startswith(("return ", "else ", "new ", "throw ")):
            block.append(row)
            continue
        builder.code("\n".join(block))
        indent = len((found["indent"] or "").expandtabs(_INDENT))
        builder.heading(min(1 + indent // _INDENT, _DEEPEST), row)
        block = []
    builder.code("\n".join(block))
    return builder.finish(re.split(r"[/\\]", name)[-1], VERSION)
