from __future__ import annotations

import pytest

from gateway.config.scalars import read_plain
from gateway.units import BareNumber, parse_duration, parse_percent


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("~", None), ("null", None), ("NULL", None),
        ("true", True), ("False", False),
        ("on", "on"), ("off", "off"), ("yes", "yes"), ("No", "No"), ("y", "y"),
        ("0", 0), ("-7", -7), ("+7", 7), ("010", 10), ("0o17", 15), ("0x1F", 31),
        ("1_000", "1_000"), ("12:30:00", "12:30:00"), ("2026-01-01", "2026-01-01"), ("1.2.3", "1.2.3"),
        ("1.5", 1.5), (".5", 0.5), ("1.", 1.0), ("1e3", 1000.0), ("-1.5E-2", -0.015),
        (".inf", ".inf"), (".nan", ".nan"), (".", "."), ("-", "-"), ("+x", "+x"),
        ("9" * 19, "9" * 19), ("0b1", "0b1"), ("500ms", "500ms"), ("1e9999", "1e9999"), ("20%", "20%"),
    ],
)  # fmt: skip
def test_plain_scalars_are_read_as_yaml_1_2_has_them(text: str, value: object) -> None:
    read = read_plain(text)
    assert read == value
    assert type(read) in (type(value), BareNumber)


def test_a_bare_number_is_no_duration_and_no_percentage() -> None:
    for parse in (parse_duration, parse_percent):
        assert parse(0.5) == 0.5
        with pytest.raises(ValueError, match="is not a"):
            parse(read_plain("0.5"))
