"""No family of attacks is without a case, and the count that is printed is right."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.edge.attacks.families import FAMILIES, WITHOUT, append, counted, read, table

ROOT = Path(__file__).parents[3]


def marked(thing: Any) -> Iterator[int]:
    """The families a test, a parameter of one, or a whole module is marked with."""
    marks = getattr(thing, "pytestmark", None) or getattr(thing, "marks", ())
    for mark in marks if isinstance(marks, list | tuple) else [marks]:
        if getattr(mark, "name", "") == "attack":
            yield mark.args[0]
        elif getattr(mark, "name", "") == "parametrize":
            for value in mark.args[1]:
                yield from marked(value)


def test_every_family_has_a_case_or_a_reason() -> None:
    found = set()
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        if "mark.attack(" in path.read_text():
            module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
            found |= {family for thing in (module, *vars(module).values()) for family in marked(thing)}
    assert FAMILIES.keys() - found == WITHOUT.keys(), "write a case, or take the family off the list"
    assert found <= FAMILIES.keys()
    assert list(FAMILIES) == list(range(1, 35))


def test_a_case_counts_once_however_often_it_is_run(tmp_path: Path) -> None:
    path = tmp_path / "attacks"
    assert read(path) == []
    for _ in range(2):
        append(path, [(3, "test_a.py::test_b[x y]"), (3, "test_a.py::test_b[z]"), (34, "test_c.py::test_d")])
    assert counted(read(path)) == {3: 2, 34: 1}


def test_the_table_tells_every_family_and_why_one_has_no_case() -> None:
    lines = table(counted([(1, "a"), (1, "b"), (19, "a")])).splitlines()
    assert lines[0].split() == [
        "1",
        "length",
        "and",
        "coding",
        "together",
        "2",
        "18",
        "method",
        "override",
        "0",
    ]
    assert lines[1].split() == ["2", "Content-Length", "0", "19", "slow", "and", "silent", "callers", "1"]
    assert len(lines) == 17 + 1 + len(WITHOUT)
    assert lines[17] == "3 cases of 2 families of attacks"
    assert lines[18].startswith("no case of 27: ")
    assert max(map(len, lines)) <= 80


def test_marks_of_parameters_are_found() -> None:
    @pytest.mark.attack(6)
    @pytest.mark.parametrize("value", [1, pytest.param(2, marks=pytest.mark.attack(5))])
    def probe(value: int) -> None:
        del value

    assert sorted(marked(probe)) == [5, 6]
