"""Plots are SVG that any browser reads, on light and on dark pages."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from bench.plot import bars
from tests.bench.test_results import RESULT

TABLE = RESULT.tables[0]
SVG = "{http://www.w3.org/2000/svg}"


def test_bars_are_as_long_as_their_figures():
    drawn = ET.fromstring(bars(TABLE))
    ours, theirs = sorted(drawn.iter(f"{SVG}rect"), key=lambda bar: float(bar.get("width")))
    assert float(ours.get("width")) / float(theirs.get("width")) == pytest.approx(15_300 / 45_400, rel=0.01)
    assert ours.get("class") == "bar ours"
    assert theirs.get("class") == "bar"
    texts = [text.text for text in drawn.iter(f"{SVG}text")]
    assert texts == ["GET, 64 connections: calls/s", "nginx", "45,400", "gateway", "15,300"]


def test_rows_without_a_figure_are_left_out():
    drawn = ET.fromstring(bars(replace(TABLE, drawn="p99 µs")))
    assert len(list(drawn.iter(f"{SVG}rect"))) == 1


def test_names_are_escaped_and_nothing_is_fetched():
    svg = bars(replace(TABLE, rows=(("<b> & co", 1, None, ""), ("none", 0, None, ""))))
    assert "&lt;b&gt; &amp; co" in svg
    assert svg.count("http") == 1  # the namespace
    assert "prefers-color-scheme: dark" in svg


def test_a_table_without_that_column_cannot_be_drawn():
    with pytest.raises(ValueError, match="no column None"):
        bars(replace(TABLE, drawn=None))
