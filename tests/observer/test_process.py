"""The observer as a process: started, asked, killed, started again, stopped; calls never notice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.exchange import Outcome
from gateway.observer import process
from gateway.observer.observer import Observer
from gateway.observer.process import serve, watch_parent
from gateway.recorder import Recorder
from tests.observer.support import ROUTE, Receiver
from tests.support import make_exchange


class Route:
    entry = ROUTE


ROUTE_OBJECT = Route()


def record(recorder: Recorder, number: int) -> None:
    exchange = make_exchange(received_ns=time.perf_counter_ns())
    exchange.route = ROUTE_OBJECT
    exchange.trace_id, exchange.span_id = f"{number + 1:032x}", f"{number + 1:016x}"
    recorder.record(exchange, 200, 0, Outcome.COMPLETE)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not condition():
            await asyncio.sleep(0.005)


async def ask(path: str, question: bytes | dict[str, Any]) -> Any:
    data = question if isinstance(question, bytes) else json.dumps(question).encode()
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(struct.pack("!I", len(data)) + data)
        (length,) = struct.unpack("!I", await reader.readexactly(4))
        return json.loads(await reader.readexactly(length))
    finally:
        writer.close()


class Running:
    """`python -m gateway.observer`, as the supervisor starts it."""

    def __init__(self, directory: Path) -> None:
        self.records, self.control = str(directory / "records.sock"), str(directory / "control.sock")

    async def start(self, telemetry: dict[str, Any], **environment: str) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway.observer", "--socket", self.records, "--control", self.control,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env={**os.environ, **environment},
        )  # fmt: skip
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(telemetry).encode() + b"\n")
        self.process.stdin.close()
        await until(lambda: Path(self.control).exists() or self.process.returncode is not None)
        assert self.process.returncode is None

    async def log(self) -> list[dict[str, Any]]:
        assert self.process.stdout is not None
        lines = (await self.process.stdout.read()).splitlines()
        await self.process.wait()
        return [json.loads(line) for line in lines]

    async def kill(self) -> None:
        self.process.kill()
        await self.log()


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    observer = Running(tmp_path)
    yield observer
    if observer.process.returncode is None:
        await observer.kill()


async def test_records_in_spans_and_lines_and_answers_out(running: Running) -> None:
    with Receiver() as receiver:
        await running.start({"traces": {"endpoint": receiver.endpoint}})
        recorders = [Recorder(worker=number) for number in range(2)]
        for recorder in recorders:
            await recorder.connect(running.records)
        for number in range(2000):
            record(recorders[number % 2], number)
            if number % 200 == 0:
                await asyncio.sleep(0)
        for recorder in recorders:
            await recorder.close(5)
            assert recorder.dropped == 0
        found = await ask(running.control, {"op": "traces", "route": "aurora-games", "limit": 3})
        assert [call["route"] for call in found] == ["aurora-games"] * 3
        trace = await ask(running.control, {"op": "trace", "id": f"{1:032x}"})
        assert trace["spans"][0]["name"] == "GET /aurora/games"
        running.process.send_signal(
            signal.SIGINT
        )  # Ctrl-C reaches the whole group: the supervisor's to act on
        running.process.terminate()
        lines = await running.log()
        assert running.process.returncode == 0
        # SIGTERM came long before the exporter's delay had passed: what waited was sent all the same.
        assert len({span.trace_id for span in receiver.spans}) == len(receiver.spans) == len(lines) == 2000
    assert not Path(running.records).exists()


async def test_a_killed_observer_costs_calls_nothing_and_comes_back(running: Running) -> None:
    await running.start({"logs": {"format": "off"}})
    recorder = Recorder()
    await recorder.connect(running.records)
    record(recorder, 0)
    recorder.flush()
    await running.kill()
    begin = time.perf_counter()
    for number in range(1, 500):
        record(recorder, number)
    assert time.perf_counter() - begin < 1
    for path in (running.records, running.control):
        Path(path).unlink(missing_ok=True)
    await running.start({"logs": {"format": "off"}})
    await until(lambda: "connected" in repr(recorder))
    await recorder.close(5)
    assert recorder.dropped == 0
    found = await ask(running.control, {"op": "traces", "limit": 1000})
    # What was recorded after the end was noticed is kept; the kernel may have taken one batch before.
    assert len(found) >= 499 - 64
    running.process.terminate()
    assert await running.log() == []


@asynccontextmanager
async def serving(tmp_path: Path) -> AsyncIterator[tuple[Observer, str, str]]:
    observer, stop = Observer(), asyncio.Event()
    records, control = str(tmp_path / "r"), str(tmp_path / "c")
    task = asyncio.create_task(serve(observer, records, control, stop))
    await until(lambda: Path(control).exists())
    yield observer, records, control
    stop.set()
    await task


async def test_questions_that_make_no_sense_are_answered_so(tmp_path: Path) -> None:
    async with serving(tmp_path) as (_, _, control):
        assert "error" in await ask(control, b"{")
        assert await ask(control, b"[]") == {"error": "a question is a JSON object"}
        assert "error" in await ask(control, {"op": "traces", "limit": "many"})
        assert "error" in await ask(control, {"op": "traces", "limit": [1]})
        reader, writer = await asyncio.open_unix_connection(control)
        writer.write(b"\xff\xff\xff\xff")
        assert await reader.read() == b""
        writer.close()


async def test_a_stream_out_of_step_is_hung_up_on_and_the_next_is_served(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(tmp_path) as (observer, records, _):
        reader, writer = await asyncio.open_unix_connection(records)
        writer.write(b"\xff" * 100)
        assert await reader.read() == b""
        writer.close()
        assert "makes no sense" in caplog.text
        recorder = Recorder()
        await recorder.connect(records)
        record(recorder, 1)
        await until(lambda: len(observer.store) == 1)
        await recorder.close()


async def test_stopping_waits_for_last_batches_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "LAST_RECORDS_SECONDS", 0.05)
    async with serving(tmp_path) as (_, records, control):
        recorder = Recorder()
        await recorder.connect(records)
        _, writer = await asyncio.open_unix_connection(control)
    await recorder.close()
    writer.close()


async def test_an_orphan_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "ORPHAN_CHECK_SECONDS", 0.01)
    parents = iter([7, 7, 7, 1])
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    stop = asyncio.Event()
    await asyncio.wait_for(watch_parent(stop), 5)
    assert stop.is_set()
