from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sandbox.amounts import read_decimal, show_decimal


@given(st.integers(0, 10**14 - 1))
def test_what_is_shown_is_read_again(minor_units: int) -> None:
    assert read_decimal(show_decimal(minor_units)) == minor_units


@pytest.mark.parametrize(("text", "minor_units"), [("2", 200), ("1.5", 150), ("0.05", 5), ("007.10", 710)])
def test_reading(text: str, minor_units: int) -> None:
    assert read_decimal(text) == minor_units


@pytest.mark.parametrize("text", ["", "1.234", "-1", "+1", "1e3", "1,5", ".5", "1.", " 1", "١", "1" * 13])
def test_not_amounts(text: str) -> None:
    with pytest.raises(ValueError, match="decimal string"):
        read_decimal(text)


def test_a_debt_is_shown_with_its_sign() -> None:
    assert show_decimal(-150) == "-1.50"
