"""Connections that never become calls: heads and bodies of which a byte comes now and then, and silence.

`with Flood(port, 500) as flood:` opens them beside whatever else the test does, and notes how each ended.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections import deque
from types import TracebackType
from typing import NamedTuple, Self

FIRST = {
    "head": b"GET /games HTTP/1.1\r\nHost: gateway\r\nX-Slow: ",
    "body": b"POST /games HTTP/1.1\r\nHost: gateway\r\nContent-Length: 100000\r\n\r\n",
    "silence": b"",
}
"""Kind → what is sent at once; a byte follows every so often, but of silence."""
OPENED_AT_ONCE = 25
"""New connections per turn of 20 ms: a queue that is full tells nothing about deadlines."""


class Ended(NamedTuple):
    """One connection, and how it was got rid of."""

    kind: str
    seconds: float
    """From its opening to its end."""
    said: bytes


class _Slow:
    def __init__(self, port: int, kind: str) -> None:
        self.kind = kind
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.socket.setblocking(False)
        self.opened = time.monotonic()
        self.said = b""
        if FIRST[kind]:
            self.socket.send(FIRST[kind])


class Flood:
    """`count` connections, a third of each kind; with `replace` a new one for each that ended."""

    def __init__(self, port: int, count: int, *, every: float = 1.0, replace: bool = False) -> None:
        self.port, self.count, self.every, self.replace = port, count, every, replace
        self.ended: list[Ended] = []
        self.opened = 0
        self._open: dict[int, _Slow] = {}
        self._due: deque[tuple[float, _Slow]] = deque()
        self._poll = select.epoll()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    @property
    def open(self) -> int:
        """Connections that the gateway has not ended."""
        return len(self._open)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        for slow in self._open.values():
            slow.socket.close()
        self._poll.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            wanted = self.count - len(self._open) if self.replace else self.count - self.opened
            for _ in range(min(wanted, OPENED_AT_ONCE)):
                self._add()
            for number, _ in self._poll.poll(0.02):
                self._hear(self._open[number])
            now = time.monotonic()
            while self._due and self._due[0][0] <= now:
                _, slow = self._due.popleft()
                self._drip(slow, now)

    def _add(self) -> None:
        slow = _Slow(self.port, list(FIRST)[self.opened % len(FIRST)])
        self.opened += 1
        self._open[slow.socket.fileno()] = slow
        self._poll.register(slow.socket, select.EPOLLIN)
        if FIRST[slow.kind]:
            self._due.append((slow.opened + self.every, slow))

    def _drip(self, slow: _Slow, now: float) -> None:
        if slow.socket.fileno() < 0:
            return
        try:
            slow.socket.send(b"a")
        except OSError:
            return  # its end is about to be read
        self._due.append((now + self.every, slow))

    def _hear(self, slow: _Slow) -> None:
        try:
            data = slow.socket.recv(4096)
        except ConnectionError:
            data = b""
        slow.said += data
        if not data:
            self._poll.unregister(slow.socket)
            del self._open[slow.socket.fileno()]
            slow.socket.close()
            self.ended.append(Ended(slow.kind, time.monotonic() - slow.opened, slow.said))
