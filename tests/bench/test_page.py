"""What is published stands between the page's markers, with plots and JSON beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.page import BEGIN, END, FOLDER, PAGE, between, publish, written
from bench.results import load
from tests.bench.test_results import RESULT

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_has_its_markers():
    page = (DOCS / PAGE).read_text()
    assert between(page, "x").count("\nx\n") == 1


def test_everything_else_stays(tmp_path: Path):
    (tmp_path / PAGE).write_text(f"# Benchmarks\n\n{BEGIN}\nold\n{END}\nafter\n")
    for _ in range(2):
        publish([RESULT], tmp_path)
    page = (tmp_path / PAGE).read_text()
    assert page.startswith("# Benchmarks\n")
    assert page.endswith(f"{END}\nafter\n")
    assert "old" not in page
    assert page.count("## Ratios") == 1
    assert load(tmp_path / FOLDER / "headline.json") == RESULT
    assert f"]({FOLDER}/headline-get-64-connections.svg)" in page
    assert (tmp_path / FOLDER / "headline-get-64-connections.svg").read_text().startswith("<svg")


def test_ratios_come_first():
    text = written([RESULT])
    assert text.startswith("## Ratios\n")
    assert "| calls/s against Envoy | **1.830** | 1.700 … 1.900 | ≥ 1.5 | ≥ 2 | reached |" in text
    assert "| CPU of two workers | **1.020** | 1.000 … 1.100 |  |  |  |" in text
    assert "| nginx | 45,400 | 1,912 | a log · no traces |" in text
    assert "- nginx GET: 3 of 90 calls failed" in text


def test_a_quick_run_is_not_published(tmp_path: Path):
    (tmp_path / PAGE).write_text(f"{BEGIN}\n{END}\n")
    with pytest.raises(ValueError, match="quick round says nothing: headline"):
        publish([replace(RESULT, plan=RESULT.plan | {"quick": True})], tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / PAGE]


def test_without_markers_nothing_is_written(tmp_path: Path):
    (tmp_path / PAGE).write_text("# Benchmarks\n")
    with pytest.raises(ValueError, match="lost its markers"):
        publish([RESULT], tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / PAGE]
