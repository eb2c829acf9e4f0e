"""The line between the supervisor and one worker: requests down, replies up, over a socket pair.

Frames are a 4-byte length and a pickle. Both ends are our own processes and nobody else can reach the
socket pair, so pickle is safe here, and carries frozen configuration models as they are.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import pickle
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

log = logging.getLogger("gateway")
_LENGTH = struct.Struct(">I")
Handler = Callable[[str, Any], Awaitable[Any]]


class ChannelClosed(ConnectionError):  # noqa: N818 - a state, not a mistake
    """The other end is gone."""


class RemoteError(Exception):
    """The other end could not do what it was asked; the message is its own."""


class Channel:
    """One end. `handle(op, payload)` answers what the other end asks; `request` asks it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handle: Handler) -> None:
        self._reader, self._writer, self._handle = reader, writer, handle
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.closed = asyncio.Event()
        self._loop_task = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, sock: socket.socket, handle: Handler) -> Channel:
        """Take over one end of a socket pair."""
        sock.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=sock)
        return cls(reader, writer, handle)

    async def request(self, op: str, payload: Any = None, *, timeout: float = 30.0) -> Any:
        """Ask the other end. Raises `ChannelClosed`, `RemoteError` or `TimeoutError`."""
        if self.closed.is_set():
            raise ChannelClosed(op)
        number = next(self._numbers)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            self._send(("ask", number, op, payload))
            return await asyncio.wait_for(future, timeout)
        finally:
            self._waiting.pop(number, None)

    def _send(self, frame: tuple[Any, ...]) -> None:
        data = pickle.dumps(frame)
        self._writer.write(_LENGTH.pack(len(data)) + data)

    async def _read(self) -> None:
        try:
            while True:
                (length,) = _LENGTH.unpack(await self._reader.readexactly(4))
                kind, number, *rest = pickle.loads(await self._reader.readexactly(length))  # noqa: S301 - see above
                if kind == "ask":
                    task = asyncio.create_task(self._answer(number, *rest))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                    continue
                future = self._waiting.get(number)
                if future is not None and not future.done():
                    if kind == "ok":
                        future.set_result(rest[0])
                    else:
                        future.set_exception(RemoteError(rest[0]))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.closed.set()
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(ChannelClosed())

    async def _answer(self, number: int, op: str, payload: Any) -> None:
        try:
            self._send(("ok", number, await self._handle(op, payload)))
        except Exception as error:
            log.exception("%s failed", op)
            self._send(("error", number, f"{type(error).__name__}: {error}"))

    async def close(self) -> None:
        """Hang up."""
        self._loop_task.cancel()
        self._writer.close()
        await asyncio.gather(self._loop_task, *self._tasks, return_exceptions=True)
