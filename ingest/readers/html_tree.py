"""HTML text -> the element that holds the page's own words, cleared of navigation and scripts.

selectolax (MIT, kept) wraps the Lexbor parser: it follows the HTML standard, so broken pages read as in a browser, and
parses some 30 MB/s. The standard has a price: elements left open make its work grow with the square of the input
(44 kB of ``<p><b id=..>`` become 4.5 million nodes), so the number of open elements is bounded before parsing.
"""

from __future__ import annotations

import re
from collections import defaultdict

from selectolax.lexbor import LexborHTMLParser, LexborNode

from rag.types import DocumentRejected

_NO_WORDS = "script, style, template, noscript, svg, iframe, object, select, button, input, textarea"
# Sphinx, DocBook, MediaWiki and the ARIA roles; whatever leads elsewhere rather than being read.
_NAVIGATION = ", ".join(
    """nav; footer; [role=navigation]; [role=search]; [role=banner]; [role=contentinfo]; [aria-hidden=true]; .headerlink
    .viewcode-link; .toctree-wrapper; .sphinxsidebar; div.related; div.contents; .topic.contents; table.indextable
    .genindex-jumpbox; .linenos; .navheader; .navfooter; div.toc; div.list-of-tables; div.list-of-figures; div.index
    div.list-of-examples; .mw-editsection; .navbox; #toc; .breadcrumb; .breadcrumbs; .skip-link; .footer; #footer
    aside:not([class*=footnote], [class*=topic], [class*=admonition], [class*=note])""".replace("\n", ";").split(";")
)
_MAIN = ("[role=main]", "main", "article")
_LEAST_SHARE = 0.2  # of the page's characters that its main element must hold to stand for the page
_PAGE_HEADER = "header:not(:has(h1))"

_FEW_TAGS = 2500  # below, no nesting can pass either bound
_MOST_WORK = 50_000_000  # open elements summed over all tags: 0.2 s of parsing; real pages stay below 2 million
_MOST_COPIES = 2_000_000  # open formatting elements summed over the other tags: each block copies them all
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_QUOTED_TAG = re.compile(r"=\"[^\"<]*<[^\"]*\"|='[^'<]*<[^']*'")
_TAG = re.compile(r"<(/?[a-z][a-z0-9]*)")
# A drawing of nothing but shapes. Within it "/>" ends an element, outside it does not, and by tags alone thousands of
# <path .../> look as if they were left open. It holds no words that are read, so it is taken out first.
_SHAPES = (
    "a|circle|clippath|defs|desc|ellipse|g|image|line|lineargradient|marker|mask|path|pattern|polygon|polyline|"
    "radialgradient|rect|stop|symbol|text|textpath|title|tspan|use"
)
_DRAWING = re.compile(rf"<svg\b[^<>]*+>(?:[^<]++|</?(?:{_SHAPES})\b[^<>]*+>)*+</svg\s*>", re.IGNORECASE)
# Elements without an end, and those that the parser closes by itself when the next one begins.
_NEVER_DEEP = frozenset(
    """a p li dt dd tr td th thead tbody tfoot option colgroup rt rp html head body area base br col embed hr img input
    link meta source track wbr""".split()
)
_FORMATTING = frozenset("b big code em font i nobr s small strike strong tt u".split())


def content_root(html: str) -> tuple[LexborNode | None, str]:
    """The element to read, and the page's ``<title>`` ("" for none); None when the page has no body.

    Navigation is dropped unless nothing else would be left. Raises DocumentRejected for a page nested so deeply that
    parsing it would not end.
    """
    html = _DRAWING.sub("", html)
    reject_bomb(html)
    tree = _parse(html)
    title = tree.css_first("title")
    title_text = title.text() if title else ""
    _drop(tree.root, _NAVIGATION)
    if tree.body is not None and not tree.body.text().strip():
        tree = _parse(html)
        return tree.body, title_text
    return _main(tree), title_text


def reject_bomb(html: str) -> None:
    """Raises DocumentRejected when the elements that ``html`` leaves open would take too long to parse."""
    if html.count("<") < _FEW_TAGS:
        return
    depth: defaultdict[str, int] = defaultdict(int)
    total = formatting = work = copies = 0
    for tag in _TAG.findall(_QUOTED_TAG.sub("", _COMMENT.sub("", html.lower()))):
        name = tag.lstrip("/")
        step = 1 if name == tag else -1
        if name not in _NEVER_DEEP and (step > 0 or depth[name]):
            depth[name] += step
            total += step
            formatting += step if name in _FORMATTING else 0
        work += total
        copies += formatting
        if work > _MOST_WORK or copies > _MOST_COPIES:
            raise DocumentRejected(f"its HTML leaves {total} elements open at <{tag}>, too many to read; close them")


def _parse(html: str) -> LexborHTMLParser:
    tree = LexborHTMLParser(html)
    _drop(tree.root, _NO_WORDS)
    return tree


def _main(tree: LexborHTMLParser) -> LexborNode | None:
    """The element the page marks as its main one, if it holds enough; else the body without page header."""
    body = tree.body
    if body is None:
        return None
    size = len(body.text())
    for selector in _MAIN:
        found = tree.css(selector)
        if len(found) == 1 and len(found[0].text()) >= _LEAST_SHARE * size:
            return found[0]
    _drop(body, _PAGE_HEADER)
    return body


def _drop(root: LexborNode | None, selector: str) -> None:
    for node in root.css(selector) if root else ():
        node.decompose()
