"""In the supervisor: groups, one wait for the disk each; and the head, told in time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.audit.clerk import Clerk
from gateway.audit.heads import read_heads
from gateway.audit.log import AuditLog
from gateway.audit.segments import segments
from gateway.audit.verify import verify
from gateway.metrics import Metrics
from tests.audit.test_log import KEY, entry, write


async def clerk(folder: Path, **more: Any) -> Clerk:
    return await Clerk.open(AuditLog(folder, KEY), Metrics(), **more)


async def test_entries_of_many_are_written_in_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[int] = []
    append = AuditLog.append

    def counted(self: AuditLog, entries: Any) -> Any:
        groups.append(len(entries))
        return append(self, entries)

    monkeypatch.setattr(AuditLog, "append", counted)
    writing = await clerk(tmp_path)
    await asyncio.gather(*(writing.write([entry(number)]) for number in range(100)))
    await writing.close()
    assert sum(groups) == 100
    assert len(groups) < 10
    assert verify(tmp_path, [KEY]).last == 100
    assert "100 entries" in repr(writing)


async def test_the_head_of_what_is_no_call_is_told_at_once(tmp_path: Path) -> None:
    heads = tmp_path / "heads"
    writing = await clerk(tmp_path / "log", head_file=heads, every=60)
    await writing.note("configuration", "changed", generation=2, nothing="")
    while not heads.exists():
        await asyncio.sleep(0.001)
    (told,) = read_heads(heads)
    assert told.link == writing.audit.link
    await writing.write([entry(1)])
    await writing.close()
    await writing.tell_last()
    assert [one.link.seq for one in read_heads(heads)] == [1, 2], "calls wait; the end is told all the same"
    assert verify(tmp_path / "log", [KEY], read_heads(heads)).count == 0


async def test_heads_of_calls_are_told_now_and_then(tmp_path: Path) -> None:
    heads = tmp_path / "heads"
    writing = await clerk(tmp_path / "log", head_file=heads, every=0.02)
    for number in range(20):
        await writing.write([entry(number)])
    while not heads.exists() or [*read_heads(heads)][-1].link != writing.audit.link:
        await asyncio.sleep(0.001)
    await writing.close()


async def test_a_webhook_that_fails_is_told_later(tmp_path: Path) -> None:
    posted: list[bytes] = []

    async def post(url: str, line: bytes) -> None:
        assert url == "https://auditor.example/heads"
        posted.append(line)
        if len(posted) == 1:
            raise OSError("it answers 500")

    writing = await clerk(tmp_path, webhook="https://auditor.example/heads", every=0.01, post=post)
    await writing.note("gateway", "started")
    while len(posted) < 2:
        await asyncio.sleep(0.001)
    await writing.close()
    assert len(posted) == 2
    assert b'"seq":1,' in posted[1]


async def test_a_head_file_that_cannot_be_written_is_no_reason_to_stop(tmp_path: Path) -> None:
    writing = await clerk(tmp_path, head_file=tmp_path / "not" / "there", every=60)
    await writing.note("gateway", "started")
    await writing.close()
    assert verify(tmp_path, [KEY]).last == 1


async def test_who_waits_is_told_that_the_disk_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing = await clerk(tmp_path)

    def fail(_self: AuditLog, _entries: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(AuditLog, "append", fail)
        with pytest.raises(OSError, match="No space"):
            await writing.write([entry(1)])
    await writing.write([entry(1)])
    await writing.close()
    assert verify(tmp_path, [KEY]).last == 1
    with pytest.raises(OSError, match="closed"):
        await writing.write([entry(2)])


async def test_what_a_crash_tore_is_told_first(tmp_path: Path) -> None:
    write(tmp_path, 1).close()
    path = segments(tmp_path)[0]
    path.write_bytes(path.read_bytes() + b"torn")
    writing = await clerk(tmp_path)
    await writing.close()
    assert b'"event":"recovered","cut":"torn"' in segments(tmp_path)[-1].read_bytes()
    assert verify(tmp_path, [KEY]).count == 0
