"""Children are started, asked, stopped and killed as the real processes they are."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from gateway.channel import ChannelClosed, RemoteError
from gateway.config import load
from gateway.processes import ObserverProcess, WorkerProcess

CONFIG = """\
version: 1
upstreams:
  nobody: {targets: [{url: "http://127.0.0.1:9"}]}
routes:
  - {name: all, match: {methods: [GET], path: "/*"}, upstream: nobody}
"""


async def asks_nothing(op: str, _payload: object) -> None:
    raise AssertionError(op)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


@pytest.fixture
async def worker(listener: socket.socket) -> AsyncIterator[WorkerProcess]:
    worker = await WorkerProcess.spawn([listener], "/nowhere/records.sock", ("info", "json"), asks_nothing)
    yield worker
    await worker.kill()


async def test_a_worker_serves_once_brought_up_and_leaves_when_told(
    worker: WorkerProcess, listener: socket.socket, tmp_path: Path
) -> None:
    (tmp_path / "routes.yaml").write_text(CONFIG)
    assert (worker.ready, worker.number) == (False, -1)
    await worker.bring_up(2, 1, load(tmp_path / "routes.yaml", {}))
    assert (worker.ready, worker.number) == (True, 2)
    assert repr(worker) == f"<Worker 2, process {worker.process.pid}, ready>"
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://127.0.0.1:{listener.getsockname()[1]}/games")
    assert answer.json()["code"] == "UPSTREAM_UNREACHABLE"
    assert worker.samples == []
    await worker.hear()
    assert "gateway_requests_total" in {sample[0] for sample in worker.samples}
    with pytest.raises(RemoteError, match="was not prepared"):
        await worker.channel.request("commit", 5)
    await worker.stop(1)
    assert (worker.ready, worker.process.returncode) == (False, 0)


async def test_a_dead_worker_is_noticed_and_what_it_said_last_is_kept(worker: WorkerProcess) -> None:
    worker.samples = [("gateway_things_total", "counter", "Things.", (), [((), 1.0)])]
    assert worker.process.pid is not None
    os.kill(worker.process.pid, signal.SIGKILL)
    await worker.process.wait()
    await worker.hear()
    assert len(worker.samples) == 1
    with pytest.raises(ChannelClosed):
        await worker.channel.request("status")
    await worker.stop(1)


async def test_a_worker_leaves_when_its_supervisor_is_gone(worker: WorkerProcess) -> None:
    await worker.channel.request("status")
    await worker.channel.close()
    assert await asyncio.wait_for(worker.process.wait(), 20) == 0


async def test_signals_are_the_supervisors_to_heed(worker: WorkerProcess) -> None:
    pid = (await worker.channel.request("status"))["pid"]
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(pid, name)
    assert (await worker.channel.request("status"))["pid"] == pid


@pytest.fixture
def short_path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:  # paths of Unix sockets may have 107 bytes
        yield Path(name)


async def test_an_observer_listens_answers_and_leaves(short_path: Path) -> None:
    observer = ObserverProcess(short_path, {})
    assert observer.pid == 0
    await observer.stop()
    with pytest.raises(OSError, match="No such file"):
        await observer.ask("traces")
    await observer.spawn()
    await observer.listening()
    assert observer.pid > 0
    assert await observer.ask("traces", limit=1) == []
    await observer.stop()
    assert observer.process is not None
    assert observer.process.returncode == 0


async def test_an_observer_that_hangs_is_killed(short_path: Path) -> None:
    observer = ObserverProcess(short_path, {})
    await observer.spawn()
    await observer.listening()
    os.kill(observer.pid, signal.SIGSTOP)
    await observer.stop(0.1)
    assert observer.process is not None
    assert observer.process.returncode == -signal.SIGKILL


async def test_an_observer_that_cannot_start_is_told(short_path: Path) -> None:
    observer = ObserverProcess(short_path / "missing", {})
    await observer.spawn()
    with pytest.raises(ChildProcessError, match="ended with 1 while starting"):
        await observer.listening(20)
