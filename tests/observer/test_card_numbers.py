"""Numbers of cards, and what only looks like one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.observer.card_numbers import has_many_digits, without_card_numbers

CARD = "4111111111111111"


def luhn(digits: str) -> bool:
    """The check as schoolbooks tell it."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        total += int(digit) if place % 2 == 0 else sum(map(int, str(2 * int(digit))))
    return total % 10 == 0


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (CARD, "X"),
        ("4111 1111-1111 1111", "X"),
        ("4111+1111+1111+1111", "X"),
        (f"10 {CARD} 20", "10 X 20"),
        (f"{CARD} 5425233430109903", "X X"),
        (f"tx_{CARD}, of 7", "tx_X, of 7"),
        ("378282246310005", "X"),
        ("4222222222222", "X"),
        ("6304000000000000000", "X"),
    ],
)
def test_numbers_of_cards(text: str, shown: str) -> None:
    assert without_card_numbers(text, "X") == shown
    assert has_many_digits(text)


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112",  # does not pass
        "41111111111111110000",  # twenty digits
        "411111111111",  # twelve
        f"x{CARD}",  # part of an id
        f"{CARD}f",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "00000000000000000000000000000000",
        "550e8400-e29b-41d4-a716-446655440000",
        "12345678-1234-1234-1234-123456789012",  # a UUID of digits alone
        "1700000000004",  # Unix milliseconds that pass
        "1700000000000007",
        "1700000000000000005",
        "20261127153007",  # a time written out
        "20261127153000002",
        "2026-11-27T15:30:00.123Z",
    ],
)
def test_numbers_that_are_no_cards(text: str) -> None:
    assert without_card_numbers(f"<{text}>", "X") == f"<{text}>"


@given(st.text("0123456789", min_size=1, max_size=24), st.sampled_from(["", " ", "-"]), st.integers(1, 6))
def test_a_number_is_masked_where_it_passes(digits: str, between: str, size: int) -> None:
    groups = [digits[at : at + size] for at in range(0, len(digits), size)]
    text = between.join(groups) if between else digits
    shown = without_card_numbers(f"<{text}>", "X")
    if not between:
        is_time = digits[:1] == "1" or digits[:2] in ("19", "20")
        if not is_time:
            assert (shown == "<X>") == (13 <= len(digits) <= 19 and luhn(digits))
    elif 13 <= len(digits) <= 19 and luhn(digits):
        # A shorter part from the beginning on may pass as well, and is masked first.
        assert "X" in shown or len(groups) == 1
    if shown == f"<{text}>" and between:
        for first in range(len(groups)):
            for last in range(first + 2, len(groups) + 1):
                part = "".join(groups[first:last])
                assert not (13 <= len(part) <= 19 and luhn(part)), part
