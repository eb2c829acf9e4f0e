"""Calls at a fixed rate: each is due at its own moment, whatever became of those before it.

python -m bench.open_loop PORT RATE SECONDS CONNECTIONS PATIENCE < REQUEST

The request's bytes come on standard input; what is printed is a `bench.load.Latency` as JSON.

A timer of the kernel's wakes the client for each call; it goes out on the connection that has been free the
longest. When none is free it waits for one, and its time runs all the same: from when it was due. One thread,
one epoll and no event loop: a call costs some 30 microseconds of a core that origin and sink need too.
"""

from __future__ import annotations

import array
import ctypes
import gc
import json
import math
import os
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

HEAD_START_NS = 50_000_000
BATCH = 8
"""Events handled before the schedule is looked at again."""
ABSOLUTE = 1
NANOSECONDS = 1_000_000_000


class TimerSpec(ctypes.Structure):
    """`struct itimerspec`."""

    _fields_ = (
        ("interval_seconds", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("first_seconds", ctypes.c_long),
        ("first_ns", ctypes.c_long),
    )


def timer(first_ns: int, interval_ns: int) -> int:
    """A file, readable from `first_ns` on the monotonic clock, and again after every interval; OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    number = int(libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC))
    spec = TimerSpec(*divmod(interval_ns, NANOSECONDS), *divmod(first_ns, NANOSECONDS))
    if number < 0 or libc.timerfd_settime(number, ABSOLUTE, ctypes.byref(spec), None) != 0:
        raise OSError(ctypes.get_errno(), "no timer")
    return number


class Connection:
    """One connection, with at most one call under way."""

    __slots__ = ("closes", "due_ns", "good", "head", "missing", "socket", "unsent")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.due_ns = 0
        self.begin(0)

    def begin(self, due_ns: int) -> None:
        """A call that was due then goes out now."""
        self.due_ns = due_ns
        self.head: bytes | None = b""
        self.unsent = b""
        self.missing = 0
        self.good = self.closes = False

    def feed(self, data: bytes) -> bool:
        """Take what came; true when the answer is complete.

        An answer in chunks ends where a read ends with the last chunk, since nothing can follow it.
        """
        if self.head is None:
            if self.missing < 0:
                return data.endswith(b"0\r\n\r\n")
            self.missing -= len(data)
            return self.missing <= 0
        data = self.head + data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self.head = data
            return False
        self.head = None
        self.good = data.startswith(b"HTTP/1.1 2")
        head = data[: end + 2].lower()
        self.closes = b"\r\nconnection: close\r\n" in head
        at = head.find(b"\r\ncontent-length:")
        if at < 0:
            self.missing = -1
            return data.endswith(b"0\r\n\r\n")
        self.missing = int(head[at + 17 : head.index(b"\r", at + 17)]) - (len(data) - end - 4)
        return self.missing <= 0


class OpenLoop:
    """One run."""

    def __init__(self, port: int, request: bytes, connections: int) -> None:
        self.port = port
        self.request = request
        self.epoll = select.epoll()
        self.busy: dict[int, Connection] = {}
        self.free = deque(self._connect() for _ in range(connections))
        self.took_ns = array.array("q")
        self.lag_ns = array.array("q")
        self.errors = 0

    def run(self, rate: float, seconds: float, patience: float) -> dict[str, Any]:
        """The figures of `bench.load.Latency`; a call without an answer took as long as it was waited for."""
        interval_ns = round(NANOSECONDS / rate)
        total = max(1, round(seconds * rate))
        begin_ns = time.monotonic_ns() + HEAD_START_NS
        late_ns = begin_ns + total * interval_ns + round(patience * NANOSECONDS)
        ticks = timer(begin_ns, interval_ns)
        self.epoll.register(ticks, select.EPOLLIN)
        due = sent = 0
        while len(self.took_ns) < total and time.monotonic_ns() < late_ns:
            for number, _ in self.epoll.poll(0.1, BATCH):
                if number == ticks:
                    due = min(total, due + int.from_bytes(os.read(ticks, 8), sys.byteorder))
                    now = time.monotonic_ns()
                    for call in range(sent, min(due, sent + len(self.free))):
                        self.lag_ns.append(now - (begin_ns + call * interval_ns))
                else:
                    self._ready(number)
            while sent < due and self.free:
                self._send(self.free.popleft(), begin_ns + sent * interval_ns)
                sent += 1
        ended_ns = time.monotonic_ns()
        os.close(ticks)
        self._give_up(ended_ns, [begin_ns + call * interval_ns for call in range(sent, total)])
        return figures(self.took_ns, self.lag_ns, self.errors, (ended_ns - begin_ns) / NANOSECONDS)

    def _connect(self) -> Connection:
        connection = Connection(self.port)
        self.epoll.register(connection.socket, select.EPOLLIN)
        return connection

    def _send(self, connection: Connection, due_ns: int) -> None:
        connection.begin(due_ns)
        self.busy[connection.socket.fileno()] = connection
        self._write(connection, self.request)

    def _write(self, connection: Connection, data: bytes) -> None:
        try:
            connection.unsent = data[connection.socket.send(data) :]
        except BlockingIOError:
            connection.unsent = data
        except OSError:
            self._finish(connection, broken=True)
            return
        if connection.unsent or len(data) < len(self.request):
            mask = select.EPOLLIN | (select.EPOLLOUT if connection.unsent else 0)
            self.epoll.modify(connection.socket, mask)

    def _ready(self, number: int) -> None:
        connection = self.busy.get(number)
        if connection is None:
            self._replace_idle(number)
            return
        if connection.unsent:
            self._write(connection, connection.unsent)
            if number not in self.busy:
                return
        try:
            data = connection.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data or connection.feed(data):
            self._finish(connection, broken=not data)

    def _finish(self, connection: Connection, *, broken: bool) -> None:
        """A call is over."""
        self.took_ns.append(time.monotonic_ns() - connection.due_ns)
        if broken or not connection.good:
            self.errors += 1
        del self.busy[connection.socket.fileno()]
        if broken or connection.closes:
            connection.socket.close()
            connection = self._connect()
        self.free.append(connection)

    def _replace_idle(self, number: int) -> None:
        """The proxy closed a connection that had no call under way: that is its right, and no error."""
        for connection in self.free:
            if connection.socket.fileno() == number:
                self.free.remove(connection)
                connection.socket.close()
                self.free.append(self._connect())
                return

    def _give_up(self, now_ns: int, unsent_ns: Sequence[int]) -> None:
        """Calls without an answer, and those that were never sent, are errors."""
        for due_ns in [*(connection.due_ns for connection in self.busy.values()), *unsent_ns]:
            self.took_ns.append(now_ns - due_ns)
            self.errors += 1
        for connection in [*self.busy.values(), *self.free]:
            connection.socket.close()
        self.epoll.close()


def figures(took_ns: Sequence[int], lag_ns: Sequence[int], errors: int, seconds: float) -> dict[str, Any]:
    """What `bench.load.Latency` holds."""
    took = sorted(took_ns)
    return {
        "calls": len(took),
        "errors": errors,
        "rate": len(took) / seconds,
        "p50_us": percentile(took, 50) / 1000,
        "p99_us": percentile(took, 99) / 1000,
        "p999_us": percentile(took, 99.9) / 1000,
        "lag_us": percentile(sorted(lag_ns), 99) / 1000,
    }


def percentile(ordered: Sequence[int], percent: float) -> int:
    """The smallest value that `percent` of all do not exceed; 0 of none."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else 0


def main(arguments: Sequence[str]) -> None:
    port, rate, seconds, connections, patience = arguments
    loop = OpenLoop(int(port), sys.stdin.buffer.read(), int(connections))
    gc.disable()
    print(json.dumps(loop.run(float(rate), float(seconds), float(patience))))


if __name__ == "__main__":
    main(sys.argv[1:])
