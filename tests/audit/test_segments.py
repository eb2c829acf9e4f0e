"""The files of a log, as they are read."""

from __future__ import annotations

from pathlib import Path

from gateway.audit.log import AuditLog
from gateway.audit.segments import begun_of, first_of, is_written, last_line, lines, name_of, segments


def test_names_tell_the_first_entry_and_sort_by_it(tmp_path: Path) -> None:
    for name in (
        name_of(12),
        name_of(1),
        name_of(900_000),
        "lock",
        "audit-1.jsonl",
        "audit-000000000001.jsonl.gz",
    ):
        (tmp_path / name).touch()
    assert [first_of(path) for path in segments(tmp_path)] == [1, 12, 900_000]
    assert first_of(tmp_path / "export.jsonl") == 0


def test_lines_come_with_their_places(tmp_path: Path) -> None:
    path = tmp_path / "it"
    path.write_bytes(b"one\n\ntorn")
    assert [(place.number, line) for place, line in lines(path)] == [(1, b"one\n"), (2, b"\n"), (3, b"torn")]


def test_the_last_whole_line_is_found(tmp_path: Path) -> None:
    path = tmp_path / "it"
    long = b"x" * 200_000
    for data, line, end in (
        (b"", b"", 0),
        (b"torn", b"", 0),
        (b"one\n", b"one", 4),
        (b"one\ntwo\n", b"two", 8),
        (b"one\ntwo\ntorn", b"two", 8),
        (b"one\n" + long + b"\n", long, 4 + len(long) + 1),
        (b"one\n" + long, b"one", 4),
    ):
        path.write_bytes(data)
        assert last_line(path) == (line, end)


def test_a_segment_is_as_old_as_its_first_entry(tmp_path: Path) -> None:
    path = tmp_path / "it"
    path.write_text('{"time":"1970-01-01T00:01:00.000Z"}\n{"time":"2026-01-01T00:00:00.000Z"}\n')
    assert begun_of(path) == 60
    path.write_text("torn")
    assert begun_of(path) == path.stat().st_mtime


def test_a_log_that_is_written_is_told_apart(tmp_path: Path) -> None:
    assert not is_written(tmp_path)
    audit = AuditLog(tmp_path, b"k" * 32)
    assert is_written(tmp_path)
    audit.close()
    assert not is_written(tmp_path)
