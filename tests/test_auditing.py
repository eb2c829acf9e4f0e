"""The audit log of a gateway: opened as the configuration says, moved when that changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.audit import verify
from gateway.audit.log import AuditLog
from gateway.auditing import AuditError, Auditing
from gateway.config import Config, load
from gateway.metrics import Metrics

KEY, OTHER = "k" * 32, "o" * 32


def config(folder: Path, audit: str) -> Config:
    path = folder / "routes.yaml"
    path.write_text(f"version: 1\nroutes: []\n{audit}")
    return load(path, {})


@pytest.fixture
async def auditing() -> AsyncIterator[Auditing]:
    auditing = Auditing(Metrics())
    yield auditing
    await auditing.close()


async def test_without_a_log_nothing_is_noted(auditing: Auditing, tmp_path: Path) -> None:
    assert not await auditing.use(config(tmp_path, ""))
    await auditing.note("gateway", "started")
    assert await auditing.hear("audit", [{"kind": "call"}]) == "there is none just now"
    with pytest.raises(ValueError, match="asked other"):
        await auditing.hear("other", None)


async def test_a_log_is_begun_moved_and_left(auditing: Auditing, tmp_path: Path) -> None:
    assert await auditing.use(config(tmp_path, f"audit: {{key: {KEY}}}"))
    await auditing.note("gateway", "started")
    assert await auditing.hear("audit", [{"kind": "call"}]) == ""
    assert not await auditing.use(config(tmp_path, f"audit: {{key: {KEY}}}"))
    assert await auditing.use(config(tmp_path, f"audit: {{key: {KEY}, directory: other}}"))
    await auditing.note("gateway", "moved")
    assert not await auditing.use(config(tmp_path, ""))
    assert verify(tmp_path / "var" / "audit", [KEY.encode()]).entries == 2
    assert verify(tmp_path / "var" / "other", [KEY.encode()]).entries == 1


async def test_a_key_is_changed_with_the_old_one_at_hand(auditing: Auditing, tmp_path: Path) -> None:
    await auditing.use(config(tmp_path, f"audit: {{key: {KEY}}}"))
    await auditing.note("gateway", "started")
    with pytest.raises(AuditError, match="old_keys"):
        await auditing.use(config(tmp_path, f"audit: {{key: {OTHER}}}"))
    await auditing.note("gateway", "still here")
    assert await auditing.use(config(tmp_path, f"audit: {{key: {OTHER}, old_keys: [{KEY}]}}"))
    await auditing.note("gateway", "rotated")
    await auditing.close()
    report = verify(tmp_path / "var" / "audit", [KEY.encode(), OTHER.encode()])
    assert (report.count, report.entries) == (0, 3)


async def test_what_cannot_be_opened_is_told(auditing: Auditing, tmp_path: Path) -> None:
    (tmp_path / "var").write_text("a file")
    with pytest.raises(AuditError, match="cannot be written"):
        await auditing.use(config(tmp_path, f"audit: {{key: {KEY}}}"))
    (tmp_path / "var").unlink()
    with_one = config(tmp_path, f"audit: {{key: {KEY}}}")
    other = AuditLog(tmp_path / "var" / "audit", KEY.encode())
    with pytest.raises(AuditError, match="another gateway"):
        await auditing.use(with_one)
    other.close()


@pytest.mark.parametrize("on_full", ["refuse", "drop"])
async def test_a_disk_that_fails(
    auditing: Auditing,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    on_full: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await auditing.use(config(tmp_path, f"audit: {{key: {KEY}, on_full: {on_full}}}"))

    def fail(_self: AuditLog, _entries: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(AuditLog, "append", fail)
        assert "No space" in await auditing.hear("audit", [{"kind": "call"}])
        if on_full == "refuse":
            with pytest.raises(AuditError, match="No space"):
                await auditing.note("configuration", "changed")
        else:
            await auditing.note("configuration", "changed")
        await auditing.happened("gateway", "stopped")
    assert "misses an entry" in caplog.text


async def test_the_head_goes_to_a_webhook(auditing: Auditing, tmp_path: Path) -> None:
    got: list[bytes] = []
    statuses = [500, 204]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r")[0])
        got.append(await reader.readexactly(length))
        writer.write(b"HTTP/1.1 %d x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % statuses.pop(0))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/heads"
    await auditing.use(config(tmp_path, f"audit: {{key: {KEY}, head: {{webhook: '{url}', every: 10ms}}}}"))
    await auditing.note("gateway", "started")
    async with asyncio.timeout(10):
        while len(got) < 2:
            await asyncio.sleep(0.01)
    server.close()
    assert b'"seq":1,' in got[1]


async def test_who_writes_while_the_log_changes_waits_and_loses_nothing(
    auditing: Auditing, tmp_path: Path
) -> None:
    """A webhook that never answers holds nobody up."""
    ended = asyncio.Event()

    async def never(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    server = await asyncio.start_server(never, "127.0.0.1", 0)
    hook = f"head: {{webhook: 'http://127.0.0.1:{server.sockets[0].getsockname()[1]}/'}}"
    await auditing.use(config(tmp_path, f"audit: {{key: {KEY}, {hook}}}"))
    await auditing.note("gateway", "started")
    writing = [auditing.hear("audit", [{"kind": "call"}]) for _ in range(20)]
    began = asyncio.get_running_loop().time()
    changed, *told = await asyncio.gather(
        auditing.use(config(tmp_path, f"audit: {{key: {KEY}, {hook}, queue: 5}}")), *writing
    )
    assert changed
    assert told == [""] * 20
    assert asyncio.get_running_loop().time() - began < 2
    ended.set()
    await auditing.close()
    server.close()
    await server.wait_closed()


async def test_a_log_that_could_not_be_opened_is_opened_when_it_can_be(
    auditing: Auditing, tmp_path: Path
) -> None:
    await auditing.use(config(tmp_path, f"audit: {{key: {KEY}}}"))
    await auditing.note("gateway", "started")
    other = tmp_path / "var" / "other"
    other.write_text("a file")
    with pytest.raises(AuditError, match="cannot be written"):
        await auditing.use(config(tmp_path, f"audit: {{key: {KEY}, directory: other}}"))
    await auditing.note("gateway", "still here")
    assert verify(tmp_path / "var" / "audit", [KEY.encode()]).entries == 2
