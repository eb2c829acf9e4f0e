"""Amounts as decimal strings, the way Borealis writes them; inside, all are whole minor units."""

from __future__ import annotations

import re

DECIMAL = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,2}))?")


def read_decimal(text: str) -> int:
    """Minor units in `1.5`, `1.50` or `2`. Raises ValueError."""
    match = DECIMAL.fullmatch(text)
    if match is None:
        raise ValueError("amount is a decimal string with at most two places")
    return int(match[1]) * 100 + int((match[2] or "0").ljust(2, "0"))


def show_decimal(minor_units: int) -> str:
    """150 → `1.50`."""
    sign = "-" if minor_units < 0 else ""
    return f"{sign}{abs(minor_units) // 100}.{abs(minor_units) % 100:02d}"
