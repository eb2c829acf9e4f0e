"""Values carry their units, both ways."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from gateway.units import (
    BareNumber,
    Duration,
    Percent,
    Rate,
    RateText,
    Secret,
    Size,
    format_duration,
    format_size,
    parse_duration,
    parse_percent,
    parse_size,
)


class Everything(BaseModel):
    time: Duration
    size: Size
    share: Percent
    rate: RateText
    secret: Secret


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("1.5s", 1.5), ("0s", 0.0), ("2m", 120.0), ("1h", 3600.0), ("1d", 86400.0)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)
    assert parse_duration(seconds) == seconds


@pytest.mark.parametrize(
    "text", ["5", "5 s", "-5s", "5S", "5sec", "", "s", "1e3s", 5, BareNumber(5.0), None, True]
)
def test_no_duration_without_its_unit(text: object) -> None:
    with pytest.raises(ValueError, match="is not a duration: write a number and ms, s, m, h or d"):
        parse_duration(text)


@given(st.integers(0, 10**9))
def test_milliseconds_round_trip(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.5, "500ms"), (90.0, "90s"), (120.0, "2m"), (0.0, "0ms"), (1.5, "1.5s")]
)
def test_durations_are_written_short(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(0, 100_000))
def test_percentages_round_trip(thousandths: int) -> None:
    share = thousandths / 100_000
    text = Everything.model_construct(share=share).model_dump(mode="json", include={"share"})["share"]
    assert parse_percent(text) == pytest.approx(share, abs=1e-9)


@given(st.integers(0, 10**15 - 1))  # the longest figure that is read
def test_sizes_round_trip(count: int) -> None:
    assert parse_size(format_size(count)) == count


@pytest.mark.parametrize("text", ["64KB", "64", 64, "1.5MiB", "-1B", True, None])
def test_no_size_without_its_unit(text: object) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


def test_nothing_needs_no_unit() -> None:
    assert parse_size(0) == 0
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(False)


@pytest.mark.parametrize(("text", "share"), [("0%", 0.0), ("20%", 0.2), ("12.5%", 0.125), ("100%", 1.0)])
def test_percentages(text: str, share: float) -> None:
    assert parse_percent(text) == pytest.approx(share)
    assert parse_percent(share) == share


@pytest.mark.parametrize("text", ["101%", "20", 20, "-1%", BareNumber(0.2), None])
def test_no_percentage_beyond_its_range(text: object) -> None:
    with pytest.raises(ValueError, match="is not a percentage"):
        parse_percent(text)


@pytest.mark.parametrize(
    ("text", "amount", "seconds"),
    [
        ("100/second", 100, 1),
        ("1/minute", 1, 60),
        ("5/10minute", 5, 600),
        ("1000/hour", 1000, 3600),
        ("1/day", 1, 86400),
    ],
)
def test_rates(text: str, amount: int, seconds: int) -> None:
    rate = Rate.parse(text)
    assert (rate.amount, rate.seconds, str(rate)) == (amount, seconds, text)
    assert Rate.parse(rate) is rate


@pytest.mark.parametrize("text", ["0/second", "5/0minute", "5/seconds", "5", "5 per second", 5, None])
def test_no_rate_without_calls_and_period(text: object) -> None:
    with pytest.raises(ValueError, match="is not a rate"):
        Rate.parse(text)


def test_a_model_reads_and_writes_what_yaml_holds_and_shows_no_secret() -> None:
    given = {"time": "90s", "size": "64KiB", "share": "20%", "rate": "5/10minute", "secret": "hunter2"}
    model = Everything.model_validate(given)
    assert (model.time, model.size, model.share, model.rate.seconds) == (90.0, 65536, 0.2, 600)
    assert model.model_dump(mode="json") == given | {"secret": "**********"}
    assert "hunter2" not in repr(model)
    with pytest.raises(ValidationError):
        Everything.model_validate(given | {"time": 90})


def test_the_schema_shows_them_as_text() -> None:
    properties = Everything.model_json_schema()["properties"]
    assert {properties[name]["type"] for name in ("time", "size", "share", "rate")} == {"string"}
    assert properties["time"]["examples"] == ["500ms", "5s", "1h"]


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_duration, "٣s"),
        (parse_duration, "99999999999999999999d"),
        (parse_size, "9999999999999999GiB"),
        (parse_percent, "٥%"),
        (Rate.parse, "999999999999999999999999/second"),
    ],
)
def test_digits_are_ascii_and_figures_have_bounds(parse: Callable[[object], object], text: str):
    with pytest.raises(ValueError, match="is not a"):
        parse(text)
