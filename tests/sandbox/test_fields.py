from __future__ import annotations

from typing import Any

import pytest

from gateway.sandbox.fields import Fields, MalformedError


def test_members_by_name_and_type() -> None:
    fields = Fields({"name": "ada", "amount": -5, "inner": {"name": "eve"}, "empty": ""})
    assert fields.text("name") == "ada"
    assert fields.text("missing", "nobody") == "nobody"
    assert fields.text("empty", "") == ""
    assert fields.amount("amount") == -5
    assert fields.object("inner").text("name") == "eve"
    assert fields.object("missing").text("name", "") == ""
    assert "name" in fields
    assert "missing" not in fields


@pytest.mark.parametrize("value", [None, 5, "", [], {}])
def test_not_a_text(value: Any) -> None:
    with pytest.raises(MalformedError, match="x is a string"):
        Fields({"x": value}).text("x")


@pytest.mark.parametrize("value", [None, 5.0, True, "5"])
def test_not_an_amount(value: Any) -> None:
    with pytest.raises(MalformedError, match="whole number of minor units"):
        Fields({"x": value}).amount("x")


@pytest.mark.parametrize("value", [None, [], "{}"])
def test_not_an_object(value: Any) -> None:
    with pytest.raises(MalformedError, match="JSON object"):
        Fields({"x": value}).object("x")
