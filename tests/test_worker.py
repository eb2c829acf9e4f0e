"""A worker told what to do, within the test's own process: builds, swaps, forgets, drains."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from textwrap import dedent

import httpx
import pytest

from gateway.config import Config, load
from gateway.worker import Worker
from tests.upstream.origins import origin

CONFIG = """
    version: 1
    upstreams:
      origin: {{targets: [{{url: "{url}"}}]}}
    routes:
      - name: games
        match: {{methods: [GET], path: /games}}
        upstream: origin
        policies:
          - headers: {{response: {{set: {{x-generation: "{number}"}}}}}}
          - cache: {{ttl: 1h}}
"""
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@pytest.fixture(autouse=True)
def _collector_as_it_was() -> Iterator[None]:
    """Workers tune the collector for a process of their own."""
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)
    gc.unfreeze()


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Worker]:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    worker = Worker([listener], str(tmp_path / "no-observer"))
    yield worker
    if not worker.stopping.is_set():
        await worker.handle("stop", 1.0)
    listener.close()


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with origin(ANSWER) as running:
        yield running.url


def config(folder: Path, url: str, number: int) -> Config:
    path = folder / "routes.yaml"
    path.write_text(dedent(CONFIG.format(url=url, number=number)))
    return load(path, {})


async def shown(worker: Worker) -> str:
    port = worker.listeners[0].getsockname()[1]
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://127.0.0.1:{port}/games")
    assert (answer.status_code, answer.text) == (200, "ok")
    return answer.headers["x-generation"]


async def test_a_prepared_generation_serves_once_committed(worker: Worker, url: str, tmp_path: Path) -> None:
    assert (await worker.handle("status", None))["generation"] == 0
    assert await worker.handle("metrics", None) == []
    await worker.handle("number", 3)
    assert await worker.handle("prepare", (1, config(tmp_path, url, 1))) == 1
    assert await worker.handle("commit", 1) == 1
    assert await shown(worker) == "1"
    await worker.handle("prepare", (2, config(tmp_path, url, 2)))
    assert await shown(worker) == "1"
    await worker.handle("commit", 2)
    assert await shown(worker) == "2"
    status = await worker.handle("status", None)
    assert (status["pid"], status["generation"]) == (os.getpid(), 2)
    (target,) = status["upstreams"]["origin"]
    assert (target["target"], target["healthy"], target["calls"]) == (url, True, 0)
    assert target["connections"] == {"active": 0, "idle": 1, "waiting": 0}
    assert worker.proxy is not None
    assert worker.proxy.recorder.worker == 3
    names = {sample[0] for sample in await worker.handle("metrics", None)}
    assert "gateway_requests_total" in names


async def test_old_garbage_goes_before_it_fills_the_memory(worker: Worker, url: str, tmp_path: Path) -> None:
    await worker.handle("prepare", (1, config(tmp_path, url, 1)))
    await worker.handle("commit", 1)
    young, middle, old = gc.get_threshold()
    objects = young * (middle + 1) * (old + 1)  # that may pile up between two full rounds
    assert objects < 5_000_000


async def test_what_was_aborted_or_replaced_never_serves(worker: Worker, url: str, tmp_path: Path) -> None:
    await worker.handle("abort", None)
    await worker.handle("prepare", (1, config(tmp_path, url, 1)))
    await worker.handle("commit", 1)
    await worker.handle("prepare", (2, config(tmp_path, url, 2)))
    await worker.handle("prepare", (2, config(tmp_path, url, 22)))
    await worker.handle("abort", None)
    assert worker.prepared is None
    with pytest.raises(RuntimeError, match="generation 2 was not prepared"):
        await worker.handle("commit", 2)
    await worker.handle("prepare", (3, config(tmp_path, url, 3)))
    with pytest.raises(RuntimeError, match="generation 2 was not prepared"):
        await worker.handle("commit", 2)
    assert await shown(worker) == "1"


async def test_what_cannot_be_built_changes_nothing(
    worker: Worker, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await worker.handle("prepare", (1, config(tmp_path, url, 1)))
    await worker.handle("commit", 1)
    with monkeypatch.context() as patched:

        def refuse(*_: object) -> None:
            raise ValueError("cannot be built")

        patched.setattr("gateway.generation.Router", refuse)
        with pytest.raises(ValueError, match="cannot be built"):
            await worker.handle("prepare", (2, config(tmp_path, url.replace("127.0.0.1", "localhost"), 2)))
    assert worker.prepared is None
    assert await shown(worker) == "1"
    await worker.handle("prepare", (2, config(tmp_path, url, 2)))
    await worker.handle("commit", 2)
    assert await shown(worker) == "2"


async def test_cached_answers_are_forgotten_when_told(worker: Worker, url: str, tmp_path: Path) -> None:
    await worker.handle("prepare", (1, config(tmp_path, url, 1)))
    await worker.handle("commit", 1)
    await shown(worker)
    assert await worker.handle("purge", {"route": "other"}) == 0
    assert await worker.handle("purge", {"route": "games"}) == 1


async def test_it_drains_and_leaves(worker: Worker, url: str, tmp_path: Path) -> None:
    await worker.handle("begin_drain", None)
    await worker.handle("renew_certificates", None)
    await worker.handle("prepare", (1, config(tmp_path, url, 1)))
    await worker.handle("commit", 1)
    port = worker.listeners[0].getsockname()[1]
    await worker.handle("begin_drain", None)
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://127.0.0.1:{port}/games")
    assert answer.headers["connection"] == "close"
    await asyncio.wait_for(worker.handle("stop", 5.0), 10)
    assert worker.stopping.is_set()
