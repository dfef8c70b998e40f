"""The set itself: bytes of each document, and its title, text, headings and pages as they must come out."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tests.ingest.golden import make

TABLE = "Model | Price | Weight\nModel: Skua 200 | Price: 310 EUR | Weight: 2.1 kg\nModel: Skua 400 | Price: 480 EUR | Weight: 3.4 kg"


@dataclass(frozen=True, slots=True)
class Golden:
    """A file, and what must come out: headings as (level, text), pages as (number, text)."""

    name: str
    data: bytes
    title: str
    text: str
    headings: tuple[tuple[int, str], ...] = ()
    pages: tuple[tuple[int, str], ...] = ()


def _notebook() -> bytes:
    cells = [
        {"cell_type": "markdown", "source": ["# Load test\n", "\n", "We ran it twice."]},
        {"cell_type": "code", "source": "print(1 + 1)", "outputs": [{"text": ["2\n"]}]},
    ]
    return json.dumps({"nbformat": 4, "metadata": {}, "cells": cells}).encode()


DOCUMENTS = (
    Golden("plain.txt", b"Opening hours\n\nWe open at nine.\nWe close at five.", "Opening hours",
           "Opening hours\n\nWe open at nine.\nWe close at five."),
    Golden("underlined.txt", b"Heater\n======\n\nIt starts below three degrees.\n\n- red lamp\n- green lamp\n", "Heater",
           "Heater\n\nIt starts below three degrees.\n\n- red lamp\n- green lamp", ((1, "Heater"),)),
    Golden("latin.txt", "Die Größe des Gehäuses beträgt über fünf Zentimeter, die Höhe zwölf.".encode("cp1252"),
           "Die Größe des Gehäuses beträgt über fünf Zentimeter, die Höhe zwölf.",
           "Die Größe des Gehäuses beträgt über fünf Zentimeter, die Höhe zwölf."),
    Golden("utf16.txt", "Привет, мир.".encode("utf-16"), "Привет, мир.", "Привет, мир."),
    Golden("guide.md", b"# Guide\n\nRead *this*.\n\n## Steps\n\n1. Open\n2. Close\n\n```\nx  =  1\n```\n", "Guide",
           "Guide\n\nRead this.\n\nSteps\n\n1. Open\n2. Close\n\nx  =  1", ((1, "Guide"), (2, "Steps"))),
    Golden("prices.md", b"# Prices\n\n|Model|Price|Weight|\n|-|-|-|\n|Skua 200|310 EUR|2.1 kg|\n|Skua 400|480 EUR|3.4 kg|\n",
           "Prices", f"Prices\n\n{TABLE}", ((1, "Prices"),)),
    Golden("manual.rst", b"Manual\n======\n\nSee :ref:`the mast <mast>`.\n\n.. note::\n\n   Wear gloves.\n\nFaults\n------\n\n* No flame\n* No water\n",
           "Manual", "Manual\n\nSee the mast.\n\nWear gloves.\n\nFaults\n\n- No flame\n- No water", ((1, "Manual"), (2, "Faults"))),
    Golden("api.rst", b"API\n===\n\n.. function:: open(path)\n   :noindex:\n\n   Opens a file::\n\n      open('x')\n", "API",
           "API\n\nopen(path)\n\nOpens a file:\n\nopen('x')", ((1, "API"), (7, "open(path)"))),
    Golden("grid.rst", b"=====  =====\nModel  Price\n=====  =====\nSkua   310\nTern   200\n=====  =====\n", "grid",
           "Model | Price\nModel: Skua | Price: 310\nModel: Tern | Price: 200"),
    Golden("page.html", b"<title>Mast</title><nav>Home</nav><h1>Mast</h1><p>It is <b>two</b> metres high.</p><script>x()</script>",
           "Mast", "Mast\n\nIt is two metres high.", ((1, "Mast"),)),
    Golden("table.html", b"<h1>Prices</h1><table><tr><th>Model</th><th>Price</th></tr><tr><td>Skua</td><td>310 EUR</td></tr></table>",
           "Prices", "Prices\n\nModel | Price\nModel: Skua | Price: 310 EUR", ((1, "Prices"),)),
    Golden("list.html", b"<h2>Do</h2><ol><li>Open</li><li>Close</li></ol><pre>a\n  b</pre>", "list",
           "Do\n\n1. Open\n2. Close\n\na\n  b", ((2, "Do"),)),
    Golden("handbook.docx", make.word_handbook(), "Staff handbook",
           "Leave\n\nFull-time staff have 26 days of leave.\n\nSick leave\n\n- Tell your manager\n- Send a certificate",
           ((1, "Leave"), (2, "Sick leave"))),
    Golden("prices.docx", make.word_table(), "Prices", f"Prices\n\n{TABLE}", ((1, "Prices"),)),
    Golden("review.pptx", make.slides(), "Quarterly review",
           "Review of the third quarter\n\nSales team\n\nResults\n\n- Orders rose by 12%\n- Returns fell by 3%\n\nThank the warehouse.",
           ((1, "Review of the third quarter"), (1, "Results")),
           ((1, "Review of the third quarter\n\nSales team"),
            (2, "Results\n\n- Orders rose by 12%\n- Returns fell by 3%\n\nThank the warehouse."))),
    Golden("prices.pptx", make.slide_table(), "Price list", f"Price list\n\n{TABLE}", ((1, "Price list"),),
           ((1, f"Price list\n\n{TABLE}"),)),
    Golden("prices.xlsx", make.workbook(), "prices",
           f"Prices\n\nPrices as of 2026\n\n{TABLE}\n\nStock\n\nArticle | Pieces | Ratio\nArticle: Bolt | Pieces: 1200 | Ratio: 0.5",
           ((1, "Prices"), (1, "Stock")),
           ((1, f"Prices\n\nPrices as of 2026\n\n{TABLE}"),
            (2, "Stock\n\nArticle | Pieces | Ratio\nArticle: Bolt | Pieces: 1200 | Ratio: 0.5"))),
    Golden("prices.csv", b"Model,Price,Weight\nSkua 200,310 EUR,2.1 kg\nSkua 400,480 EUR,3.4 kg\n", "prices", TABLE),
    Golden("semicolons.csv", "Ort;Größe\nKöln;3,5\nMünchen;\"4;1\"\n".encode("cp1252"), "semicolons",
           "Ort | Größe\nOrt: Köln | Größe: 3,5\nOrt: München | Größe: 4;1"),
    Golden("tabs.tsv", b"Name\tAge\nBob\t41\n", "tabs", "Name | Age\nName: Bob | Age: 41"),
    Golden("boiler.odt", make.odt_text(), "Boiler manual",
           "Boiler\n\nKeep the valve shut.\n\nFaults\n\n- No flame\n- No water", ((1, "Boiler"), (2, "Faults"))),
    Golden("prices.odt", make.odt_table(), "Prices", f"Prices\n\n{TABLE}", ((1, "Prices"),)),
    Golden("cafe.rtf", make.RTF, "Café rules",
           "Opening\n\nWe open at nine; coffee is €2.\n\n- Cups\n- Plates\n\nDrink | Price\nDrink: Tea | Price: 2 EUR\n\nThe end.",
           ((1, "Opening"),)),
    Golden("keeper.epub", make.epub(), "The keeper",
           "The lamp\n\nHe lit it at dusk.\n\nThe storm\n\nIt came from the west.", ((1, "The lamp"), (1, "The storm"))),
    Golden("store.eml", make.message(), "Größe des Lagers",
           "Größe des Lagers\n\nFrom: Ada <ada@example.org>\nDate: Mon, 02 Mar 2026 10:00:00 +0100\n\n"
           "The store holds 400 pallets.\n\nRegards\nAda\n\nAttachment: plan.pdf", ((1, "Größe des Lagers"),)),
    Golden("news.eml", make.html_message(), "News", "News\n\nOpening\n\nWe open at nine.", ((1, "News"), (2, "Opening"))),
    Golden("box.mbox", make.mailbox(), "box",
           "First\n\nThe first words.\nFrom here on.\n\nSecond\n\nThe second words.", ((1, "First"), (1, "Second"))),
    Golden("load.ipynb", _notebook(), "Load test", "Load test\n\nWe ran it twice.\n\nprint(1 + 1)\n\n2", ((1, "Load test"),)),
    Golden("staff.json", b'[{"name": "Bob", "age": 41}, {"name": "Ann", "tags": ["a", "b"]}]', "staff",
           "name: Bob | age: 41\nname: Ann | tags: a, b"),
    Golden("events.jsonl", b'{"at": 1.50, "what": {"kind": "start"}}\n\n{"at": 2, "what": null}\n', "events",
           "at: 1.50 | what.kind: start\nat: 2"),
    Golden("area.py", b'"""Areas."""\n\n\ndef area(w, h):\n    return w * h\n\n\nclass Box:\n    def side(self):\n        return 1\n',
           "area.py", '"""Areas."""\n\ndef area(w, h):\n\nreturn w * h\n\nclass Box:\n\ndef side(self):\n\nreturn 1',
           ((1, "def area(w, h):"), (1, "class Box:"), (2, "def side(self):"))),
    Golden("app.toml", b'[server]\nport = 80\n\n[log]\nlevel = "info"\n', "app.toml",
           '[server]\n\nport = 80\n\n[log]\n\nlevel = "info"', ((1, "[server]"), (1, "[log]"))),
    Golden("mast.pdf", make.pdf_pages(), "Mast manual", "The mast is two metres high.\n\nGuy ropes hold it.\n\nLower it in storms.",
           (), ((1, "The mast is two metres high."), (2, "Guy ropes hold it."), (3, "Lower it in storms."))),
    Golden("columns.pdf", make.pdf_columns(), "columns",
           "The left column begins at the top and goes on below, line after line, until it is at its end, and there the "
           "reader turns to the right one.\n\nThe right column has other words that must not be mixed with those of the "
           "left one, for they belong to another sentence altogether."),
    Golden("hyphens.pdf", make.pdf_hyphens(), "hyphens", "The installation of the whole heating system takes one day."),
    Golden("prices.pdf", make.pdf_table(), "prices", TABLE),
)  # fmt: skip
