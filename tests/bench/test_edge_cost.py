"""The benchmark of the edge runs, in a form too short for its figures to mean anything."""

from __future__ import annotations

from pathlib import Path

from bench.edge_cost import CASES, compare, table

HERE = Path(__file__).parent.parent.parent


def test_it_measures_one_tree_beside_another() -> None:
    costs = compare([HERE, HERE], 1)
    assert list(costs) == [*CASES, "bare"]
    assert all(figure > 0 for figures in costs.values() for figure in figures)
    assert [len(figures) for figures in costs.values()] == [2] * len(CASES) + [1]


def test_the_table() -> None:
    assert table({"get": [10.0, 20.0], "bare": [5.0]}).split() == (
        ["get", "10.00", "µs", "20.00", "µs", "there,", "ratio", "0.500", "bare", "5.00", "µs"]
    )
