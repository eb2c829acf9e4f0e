"""The writer: what it has returned from is there, in order and linked, through crashes and a full disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gateway.audit import log as module
from gateway.audit.log import AuditLog, DamagedError, InUseError
from gateway.audit.segments import segments
from gateway.audit.verify import verify

KEY = b"k" * 32
OTHER = b"o" * 32


def entry(number: int) -> dict[str, Any]:
    return {"time": "2026-01-31T12:00:00.000Z", "kind": "call", "number": number}


def write(folder: Path, *counts: int, **more: Any) -> AuditLog:
    """A log in which groups of so many entries were written, still open."""
    audit = AuditLog(folder, KEY, **more)
    number = 0
    for count in counts:
        audit.append([entry(number := number + 1) for _ in range(count)])
    return audit


def test_what_was_appended_verifies(tmp_path: Path) -> None:
    audit = write(tmp_path / "new" / "folder", 1, 3, 1)
    assert audit.link.seq == 5
    audit.close()
    report = verify(tmp_path / "new" / "folder", [KEY])
    assert (report.count, report.entries, report.first, report.last) == (0, 5, 1, 5)
    assert (tmp_path / "new" / "folder").stat().st_mode & 0o077 == 0
    assert segments(audit.directory)[0].stat().st_mode & 0o077 == 0


def test_another_writer_goes_on(tmp_path: Path) -> None:
    write(tmp_path, 2).close()
    write(tmp_path, 2).close()
    assert verify(tmp_path, [KEY]).last == 4


def test_two_writers_at_once_are_refused(tmp_path: Path) -> None:
    audit = write(tmp_path, 1)
    with pytest.raises(InUseError, match="another gateway"):
        AuditLog(tmp_path, KEY)
    audit.close()
    AuditLog(tmp_path, KEY).close()


def test_files_are_rotated_by_size_and_the_chain_goes_on(tmp_path: Path) -> None:
    write(tmp_path, *[3] * 20, segment_bytes=4096).close()
    assert len(segments(tmp_path)) > 3
    assert verify(tmp_path, [KEY]).count == 0
    write(tmp_path, 1, segment_bytes=4096).close()
    assert verify(tmp_path, [KEY]).last == 61


def test_files_are_rotated_by_age(tmp_path: Path) -> None:
    now = 1000.0
    audit = write(tmp_path, 1, segment_seconds=60, now=lambda: now)
    audit.append([entry(2)])
    assert len(segments(tmp_path)) == 1
    now += 60
    audit.append([entry(3)])
    assert len(segments(tmp_path)) == 2
    audit.close()
    assert verify(tmp_path, [KEY]).last == 3


def test_a_torn_line_is_cut_off_and_told(tmp_path: Path) -> None:
    write(tmp_path, 2).close()
    path = segments(tmp_path)[0]
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"seq":3,"previous"')
    audit = AuditLog(tmp_path, KEY)
    assert path.read_bytes() == whole
    recovered = audit.recovered()
    assert recovered == {"kind": "audit", "event": "recovered", "cut": '{"seq":3,"previous"'}
    assert audit.recovered() is None
    audit.append([recovered])
    audit.close()
    assert verify(tmp_path, [KEY]).count == 0


def test_a_first_line_that_was_torn_is_cut_off_as_well(tmp_path: Path) -> None:
    write(tmp_path, 1).close()
    path = segments(tmp_path)[0]
    path.write_bytes(path.read_bytes()[:20])
    audit = AuditLog(tmp_path, KEY)
    assert audit.link.seq == 0
    audit.append([entry(1)])
    audit.close()
    assert verify(tmp_path, [KEY]).last == 1


def test_a_crash_right_after_rotation_loses_nothing(tmp_path: Path) -> None:
    write(tmp_path, 2).close()
    (tmp_path / "audit-000000000003.jsonl").touch()
    audit = AuditLog(tmp_path, KEY)
    assert audit.link.seq == 2
    audit.append([entry(3)])
    audit.close()
    assert [path.name for path in segments(tmp_path)] == [
        "audit-000000000001.jsonl",
        "audit-000000000003.jsonl",
    ]
    assert verify(tmp_path, [KEY]).last == 3


def test_a_log_whose_end_was_changed_is_not_gone_on_with(tmp_path: Path) -> None:
    write(tmp_path, 2).close()
    path = segments(tmp_path)[0]
    path.write_bytes(path.read_bytes().replace(b'"number":2', b'"number":9'))
    with pytest.raises(DamagedError, match="gateway audit verify"):
        AuditLog(tmp_path, KEY)
    with pytest.raises(DamagedError):  # and the lock was let go
        AuditLog(tmp_path, KEY)


def test_files_without_entries_are_not_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "audit-000000000007.jsonl").touch()
    with pytest.raises(DamagedError, match="is empty"):
        AuditLog(tmp_path, KEY)


def test_a_new_key_needs_the_old_one_to_go_on(tmp_path: Path) -> None:
    write(tmp_path, 1).close()
    with pytest.raises(DamagedError, match="old_keys"):
        AuditLog(tmp_path, OTHER)
    audit = AuditLog(tmp_path, OTHER, old_keys=(KEY,))
    audit.append([entry(2)])
    audit.close()
    assert verify(tmp_path, [OTHER, KEY]).count == 0
    assert verify(tmp_path, [OTHER]).count == 1


@pytest.mark.parametrize("fails", ["write", "half a write", "fsync"])
def test_what_could_not_be_written_is_not_there_and_can_be_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    audit = write(tmp_path, 2)
    before = segments(tmp_path)[0].read_bytes()
    write_truly = os.write

    def fail(file: int, data: Any = b"") -> int:
        if fails == "half a write":
            write_truly(file, bytes(data)[:10])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(module.os, "fsync" if fails == "fsync" else "write", fail)
        for _ in range(2):
            with pytest.raises(OSError, match="No space"):
                audit.append([entry(3), entry(4)])
    assert audit.link.seq == 2
    audit.append([entry(3)])
    audit.close()
    assert segments(tmp_path)[0].read_bytes().startswith(before)
    report = verify(tmp_path, [KEY])
    assert (report.count, report.last) == (0, 3)


def test_a_file_that_has_become_shorter_is_not_written_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = write(tmp_path, 2)
    with monkeypatch.context() as broken:
        broken.setattr(module.os, "write", lambda *_: (_ for _ in ()).throw(OSError(5, "I/O error")))
        with pytest.raises(OSError, match="I/O"):
            audit.append([entry(3)])
    os.truncate(segments(tmp_path)[0], 10)
    with pytest.raises(DamagedError, match="shorter"):
        audit.append([entry(3)])
    audit.close()
    assert "2 entries" in repr(audit)
