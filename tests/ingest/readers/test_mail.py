"""Mail beyond the golden set: headers that Python's own parser fails on."""

from __future__ import annotations

import pytest

from ingest.readers.mail import read_mail


@pytest.mark.parametrize(
    "date",
    [
        "Mon, 02 Mar 20269999999999 10:00:00 +0100",
        "Mon, 02 Mar 2026 199999999990:00:00 +0100",
        "Mon, 02 Mar 202699999999999999999999 10:00:00 +0100",
    ],
)
def test_a_date_beyond_all_numbers_is_shown_as_it_stands(date: str) -> None:
    # Found by benchmarks/fuzz_readers.py: datetime raises OverflowError, and the whole message was lost.
    message = f"From: Ada <ada@example.org>\nSubject: Stock\nDate: {date}\n\nThe store holds 400 pallets.\n"
    text = read_mail("stock.eml", message.encode()).text
    assert text.split("\n\n") == ["Stock", f"From: Ada <ada@example.org>\nDate: {date}", "The store holds 400 pallets."]
