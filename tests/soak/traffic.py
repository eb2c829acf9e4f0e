"""Callers of every kind, while a soak runs: good ones whose every answer is checked, and all others."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from types import TracebackType
from typing import Self

from tests.edge.attacks.cases import CASES
from tests.soak.origins import FAULTS

PATIENCE_SECONDS = 15.0
"""Longer than any deadline of the gateway's: who waits so long was left hanging."""
PAUSE_SECONDS = 0.02


class Traffic:
    """`with Traffic(port) as traffic:` calls from a thread of its own until the block ends."""

    def __init__(self, port: int, *, seed: int = 1) -> None:
        self.port = port
        self.random = random.Random(seed)
        self.calls: Counter[str] = Counter()
        """Kind of caller → calls that came to an end."""
        self.failures: list[str] = []
        """What was wrong with answers to good calls."""
        self.left_hanging: list[str] = []
        """Calls of other kinds that nobody ended."""
        self._numbers = count()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    async def _run(self) -> None:
        kinds: list[tuple[str, Callable[[], Awaitable[None]], int]] = [
            ("hostile", self._hostile, 4),
            ("broken origin", self._broken_origin, 2),
            ("leaving", self._leave, 2),
            ("not reading", self._read_nothing, 3),
        ]
        async with asyncio.TaskGroup() as group:
            for _ in range(6):
                group.create_task(self._good())
            for name, call, callers in kinds:
                for _ in range(callers):
                    group.create_task(self._others(name, call))
        await asyncio.sleep(0.1)  # for what was closed last to be told so

    async def _others(self, name: str, call: Callable[[], Awaitable[None]]) -> None:
        while not self._stop.is_set():
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await call()
            except TimeoutError:
                self.left_hanging.append(name)
            except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
                pass  # whatever they get, they brought it on themselves
            self.calls[name] += 1
            await asyncio.sleep(PAUSE_SECONDS)

    # Good callers, on a connection they keep for a while.

    async def _good(self) -> None:
        while not self._stop.is_set():
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError as error:
                self.failures.append(f"no connection: {error!r}")
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            for _ in range(self.random.randrange(1, 50)):
                sent, wanted = self._good_call()
                try:
                    async with asyncio.timeout(PATIENCE_SECONDS):
                        writer.write(sent)
                        status, body = await _answer(reader)
                except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
                    self.failures.append(f"{sent[:40]!r}: {error!r}")
                    break
                self.calls["good"] += 1
                if (status, body) != (200, wanted):
                    self.failures.append(f"{sent[:40]!r}: {status} {body[:100]!r}")
                if self._stop.is_set():
                    break
                await asyncio.sleep(PAUSE_SECONDS / 4)
            writer.close()

    def _good_call(self) -> tuple[bytes, bytes]:
        """A request, and the body it must be answered with."""
        number, kind = next(self._numbers), self.random.randrange(4)
        if kind == 0:
            body = b"%d:" % number + self.random.randbytes(self.random.randrange(8000))
            head = b"POST /echo HTTP/1.1\r\nHost: gateway\r\nContent-Length: %d\r\n\r\n" % len(body)
            return head + body, body
        if kind == 1:
            body = b"%d:" % number + self.random.randbytes(self.random.randrange(8000))
            head = b"POST /chunked HTTP/1.1\r\nHost: gateway\r\nTransfer-Encoding: chunked\r\n\r\n"
            return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body), body
        target = b"/lists/%d" % (number % 500) if kind == 2 else b"/games/%d" % number
        return b"GET %b HTTP/1.1\r\nHost: gateway\r\n\r\n" % target, target

    # All others, a connection each.

    async def _say(self, sent: bytes, *, patience: float = 1.0) -> None:
        """Send, take what comes for a moment, and go."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(sent)
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    while await reader.read(65536):
                        pass
        finally:
            writer.transport.abort()

    async def _hostile(self) -> None:
        await self._say(self.random.choice(CASES).sent)

    async def _broken_origin(self) -> None:
        name = self.random.choice(list(FAULTS))
        sent = b"GET /faulty/%b HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n" % name.encode()
        await self._say(sent, patience=PATIENCE_SECONDS * 2)

    async def _leave(self) -> None:
        """A good request, left at any byte of it, or while it is under way."""
        sent, _ = self._good_call()
        if self.random.random() < 0.3:
            sent = b"GET /stalled HTTP/1.1\r\nHost: gateway\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(sent[: self.random.randrange(len(sent) + 1)])
            await asyncio.sleep(self.random.random() * 0.05)
            with suppress(TimeoutError):
                async with asyncio.timeout(self.random.random() * 0.02):
                    await reader.read(self.random.randrange(1, 4000))
        finally:
            writer.transport.abort()

    async def _read_nothing(self) -> None:
        """Ask for 2 MiB, and be cut for not taking them."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1024)
        try:
            writer.write(b"GET /large HTTP/1.1\r\nHost: gateway\r\n\r\n" * 3)
            await asyncio.sleep(3)
            await reader.read(1024)
        finally:
            writer.transport.abort()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    _, _, rest = head.partition(b"\r\ncontent-length:")
    if rest:
        return int(head[9:12]), await reader.readexactly(int(rest.split(b"\r\n")[0]))
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return int(head[9:12]), body
