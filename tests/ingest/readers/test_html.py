from __future__ import annotations

import pytest

from ingest.readers.html import read_html
from rag.types import ParsedDocument

_SPHINX = """<!DOCTYPE html><html><head><meta charset="utf-8"><title>shutil — Files — Python docs</title>
<style>p {}</style></head><body>
<div class="related"><ul><li>index</li><li>modules</li></ul></div>
<div class="body" role="main"><section><h1>shutil — Files<a class="headerlink" href="#x">¶</a></h1>
<p>Offers <em>high-level</em> operations<br>on files &amp; folders. See
10<sup>6</sup> and note<sup><a href="#1">1</a></sup>.</p>
<div class="highlight"><pre><span class="k">def</span> f():
    <span class="k">return</span> 1
</pre></div>
<dl class="py function"><dt class="sig">shutil.<b>copy</b>(src, dst)<a class="headerlink">¶</a></dt>
<dd><p>Copies.</p><dl class="field-list"><dt>Returns</dt><dd><p>A path.</p></dd></dl></dd></dl>
<h2>Lists</h2><ol start="3"><li><p>three</p><p>more</p><ul><li>inner</li></ul></li><li>four</li></ol>
<table><caption>Sizes</caption><thead><tr><th>Name</th><th>Size</th></tr></thead>
<tr><td><p>int</p><p>(or i)</p></td><td>4</td></tr></table></section></div>
<div class="sphinxsidebar"><h3>Table of contents</h3><ul><li>sidebar</li></ul></div>
<div class="footer">© Someone</div><script>var x = "script";</script></body></html>"""


def _headings(document: ParsedDocument) -> list[tuple[int, str]]:
    return [(heading.level, document.text[heading.start : heading.end]) for heading in document.headings]


def test_a_sphinx_page_is_read_without_its_frame() -> None:
    document = read_html("shutil.html", _SPHINX.encode())
    assert document.title == "shutil — Files"
    assert document.text == (
        "shutil — Files\n\nOffers high-level operations\non files & folders. See 10^6 and note1.\n\n"
        "def f():\n    return 1\n\nshutil.copy(src, dst)\n\nCopies.\n\nReturns\n\nA path.\n\nLists\n\n"
        "3. three\n\nmore\n\n- inner\n4. four\n\nSizes\n\nName | Size\nName: int (or i) | Size: 4"
    )
    assert _headings(document) == [(1, "shutil — Files"), (7, "shutil.copy(src, dst)"), (2, "Lists")]
    kinds = {(block.kind, document.text[block.start : block.end], block.header) for block in document.blocks}
    assert {
        ("code", "def f():\n    return 1", ""),
        ("table", "Name: int (or i) | Size: 4", "Name | Size"),
        ("list", "- inner", ""),
    } <= kinds


def test_a_docbook_page_keeps_call_outs_in_their_section() -> None:
    """DocBook heads each call-out <h3>Note</h3>; the text after it once stood under "Note"."""
    page = b"""<html><body><div class="navheader">Prev Up Next</div><h2>9.3. Functions</h2>
    <div class="note"><h3 class="title">Note</h3><p>Mind this.</p></div><p>After.</p>
    <div class="toc"><p>Contents</p></div><div class="navfooter">Prev</div></body></html>"""
    document = read_html("a.html", page)
    assert document.text == "9.3. Functions\n\nNote\n\nMind this.\n\nAfter."
    assert _headings(document) == [(2, "9.3. Functions")]


def test_page_header_goes_and_article_header_stays() -> None:
    page = b"""<body><header>Site name <nav>Home</nav></header><article><header><h1>Post</h1></header>
    <p>Words of it.</p>    <aside>Related posts</aside></article><footer>Imprint</footer></body>"""
    assert read_html("a.html", page).text == "Post\n\nWords of it."


def test_a_page_of_links_alone_is_read_all_the_same() -> None:
    assert read_html("a.html", b"<title>Map</title><nav><ul><li>one</li><li>two</li></ul></nav>").text == "- one\n- two"


@pytest.mark.parametrize(
    ("page", "encoding"),
    [
        ('<meta charset="windows-1251"><p>Привет, мир</p>', "cp1251"),
        ('<meta http-equiv="Content-Type" content="text/html; charset=iso-8859-1"><p>Grüße – gern</p>', "cp1252"),
        ('<?xml version="1.0" encoding="utf-8"?><html><body><p>Größe</p></body></html>', "utf-8"),
        ('<meta charset="ascii"><p>today’s “Grüße”</p>', "utf-8"),
    ],
)
def test_the_declared_encoding_is_used(page: str, encoding: str) -> None:
    text = read_html("a.html", page.encode(encoding)).text
    assert text in {"Привет, мир", "Grüße – gern", "Größe", "today’s “Grüße”"} or encoding == "utf-8"
    assert "\ufffd" not in text


def test_layout_tables_are_walked_and_nested_blocks_keep_apart() -> None:
    table = b"<table><tr><td><p>Left</p><table><tr><td>a</td><td>b</td></tr></table></td></tr></table>"
    assert read_html("a.html", table + b"<div>x<div>y</div>z</div>").text == "Left\n\na | b\n\nx\n\ny\n\nz"


def test_broken_markup_reads_as_in_a_browser() -> None:
    assert (
        read_html("a.html", b"<p>one<p>two <b>three</p> four &lt;tag&gt; <li>item").text
        == "one\n\ntwo three\n\nfour <tag>\n\n- item"
    )


def test_deep_nesting_does_not_exhaust_the_stack() -> None:
    depth = 5000
    assert read_html("a.html", b"<div>" * depth + b"deep" + b"</div>" * depth).text == "deep"
