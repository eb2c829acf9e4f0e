from __future__ import annotations

from gateway.edge.remembered import ENTRIES, LONGEST, Remembered


def test_a_key_is_worked_out_once() -> None:
    asked: list[str] = []

    def work_out(key: str) -> str:
        asked.append(key)
        return key.upper()

    remembered = Remembered(work_out, len)
    assert [remembered["a"], remembered["b"], remembered["a"]] == ["A", "B", "A"]
    assert asked == ["a", "b"]


def test_an_error_is_not_remembered() -> None:
    remembered = Remembered(int, len)
    for _ in range(2):
        try:
            remembered["x"]
        except ValueError:
            continue
        raise AssertionError
    assert not remembered


def test_memory_is_bounded_in_entries_and_in_bytes() -> None:
    remembered = Remembered(len, len)
    for number in range(3 * ENTRIES):
        assert remembered[f"{number}"] == len(f"{number}")
        assert len(remembered) <= ENTRIES
    assert remembered
    for size in (LONGEST, LONGEST + 1):
        assert remembered["x" * size] == size
    assert "x" * LONGEST in remembered
    assert "x" * (LONGEST + 1) not in remembered
