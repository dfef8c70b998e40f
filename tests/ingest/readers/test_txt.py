from __future__ import annotations

from ingest.readers.txt import read_txt


def test_wrapped_lines_are_joined_and_short_ones_kept() -> None:
    text = b"""Notice

The lamp on the housing blinks red twice when the battery
is low. Charge the station within a week, or readings are
lost.

Main Street 5
12345 Town
"""
    document = read_txt("notice.txt", text)
    assert document.title == "Notice"
    assert document.text == (
        "Notice\n\nThe lamp on the housing blinks red twice when the battery is low. "
        "Charge the station within a week, or readings are lost.\n\nMain Street 5\n12345 Town"
    )


def test_underlined_headings_and_lists() -> None:
    document = read_txt("a.txt", b"Manual\n======\n\nParts\n-----\n- a lamp\n- a cable\n  of two metres\n1) end\n")
    assert [(h.level, document.text[h.start : h.end]) for h in document.headings] == [(1, "Manual"), (2, "Parts")]
    assert document.title == "Manual"
    blocks = [document.text[block.start : block.end] for block in document.blocks]
    assert blocks == ["- a lamp", "- a cable\nof two metres", "1) end"]


def test_without_a_title_line_the_file_name_is_the_title() -> None:
    assert read_txt("dir/staff_rules.txt", b"one line\nand another").title == "staff rules"
    assert read_txt("x.txt", b"word " * 100).title == "x"
