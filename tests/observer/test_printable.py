"""No character that a terminal obeys gets through."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.observer.printable import printable, timestamp


@given(st.text())
def test_everything_printed_is_printable_and_can_be_told_apart(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert shown.encode().decode("unicode_escape" if text.isascii() else "utf-8") or not text


def test_escapes_are_told() -> None:
    assert printable("a\x1b[31m\r\n\u202eb\\\U000e0001") == "a\\x1b[31m\\x0d\\x0a\\u202eb\\\\\\U000e0001"


def test_timestamps_are_rfc_3339_in_utc() -> None:
    assert timestamp(1_700_000_000_123_999_999) == "2023-11-14T22:13:20.123Z"
