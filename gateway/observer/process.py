"""The observer's process: reads what workers send, answers what the supervisor asks, leaves on SIGTERM."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import struct
from pathlib import Path
from typing import Any

from gateway.observer.call import Intake
from gateway.observer.observer import Observer
from gateway.record import Frames, decode

log = logging.getLogger("gateway.observer")

QUESTION_LIMIT = 64 * 1024
"""Bytes."""
ORPHAN_CHECK_SECONDS = 1.0
LAST_RECORDS_SECONDS = 0.5
"""After SIGTERM, how long workers' last batches are waited for."""
_LENGTH = struct.Struct("!I")


class WorkerStream(asyncio.Protocol):
    """The observer's end of one worker's connection."""

    def __init__(self, observer: Observer, streams: set[WorkerStream]) -> None:
        self._observer, self._streams = observer, streams
        self._frames = Frames()
        self._intake = Intake()
        self._transport: asyncio.BaseTransport | None = None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._streams.add(self)

    def data_received(self, data: bytes) -> None:
        try:
            for payload in self._frames.payloads(data):
                self._observer.take(self._intake.take(decode(payload), len(payload), payload))
        except (ValueError, TypeError, IndexError):
            log.exception("a worker's stream makes no sense: hanging up")
            assert self._transport is not None
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._streams.discard(self)
        if not self.lost.done():
            self.lost.set_result(None)


async def serve(observer: Observer, records_path: str, control_path: str, stop: asyncio.Event) -> None:
    """Listen on both paths until `stop`; then read what workers still send, and leave."""
    loop = asyncio.get_running_loop()
    streams: set[WorkerStream] = set()
    observer.metrics.gauge("gateway_observer_workers", "Workers connected").watch(lambda: len(streams))
    records = await loop.create_unix_server(lambda: WorkerStream(observer, streams), records_path)
    questions: set[asyncio.Task[None]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        questions.add(task)
        task.add_done_callback(questions.discard)
        await _converse(observer, reader, writer)

    control = await asyncio.start_unix_server(converse, control_path)
    await stop.wait()
    records.close()
    if streams:  # workers hang up when they leave; those that stay are cut
        await asyncio.wait([stream.lost for stream in streams], timeout=LAST_RECORDS_SECONDS)
    control.close()
    for task in questions:
        task.cancel()
    await asyncio.gather(*questions, return_exceptions=True)


async def _converse(observer: Observer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Questions and answers, each a 4-byte length, big endian, and JSON."""
    try:
        while True:
            (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
            if length > QUESTION_LIMIT:
                return
            answer = json.dumps(_answer(observer, await reader.readexactly(length))).encode()
            writer.write(_LENGTH.pack(len(answer)) + answer)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        return
    finally:
        writer.close()


def _answer(observer: Observer, question: bytes) -> Any:
    try:
        asked = json.loads(question)
        if not isinstance(asked, dict):
            raise ValueError("a question is a JSON object")  # noqa: TRY004 - answered just below
        return observer.ask(asked)
    except (ValueError, TypeError) as error:
        return {"error": str(error)}


async def watch_parent(stop: asyncio.Event) -> None:
    """Stop when the supervisor is gone: nobody would stop us else."""
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(ORPHAN_CHECK_SECONDS)
    stop.set()


async def run(observer: Observer, records_path: str, control_path: str) -> None:
    """Serve until SIGTERM, or until the supervisor is gone. SIGINT and SIGHUP are for the supervisor."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    for ignored in (signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(ignored, lambda: None)
    watch = asyncio.create_task(watch_parent(stop))
    try:
        await serve(observer, records_path, control_path, stop)
    finally:
        watch.cancel()
        for path in (records_path, control_path):
            Path(path).unlink(missing_ok=True)  # noqa: ASYNC240 - two names in a directory of our own
        await asyncio.to_thread(observer.close)
