"""An origin that says exactly what a test tells it to, in threads, so that the test itself may block."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tests.edge.attacks.caller import PATIENCE_SECONDS, RESET

Play = Callable[["Visit"], None]


class Visit:
    """One connection of the gateway's, seen from the origin."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(60)  # longer than any test: nobody waits here for ever
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = connection
        self.targets: list[bytes] = []
        """What was asked for, in order."""
        self.head = b""
        """Of the request that came last."""
        self.over = threading.Event()
        """The connection has ended, from either side."""
        self._waiting = b""

    def take_head(self) -> bool:
        """Wait for a request's head. False at the end of the connection."""
        while b"\r\n\r\n" not in self._waiting:
            data = self.socket.recv(65536)
            if not data:
                return False
            self._waiting += data
        self.head, _, self._waiting = self._waiting.partition(b"\r\n\r\n")
        self.targets.append(self.head.split(b" ")[1])
        return True

    def take_body(self) -> bytes:
        """The rest of the request, framed by its length."""
        length = next(
            (int(line[16:]) for line in self.head.split(b"\r\n") if line.startswith(b"content-length: ")), 0
        )
        return self.take(length)

    def take(self, count: int) -> bytes:
        """So many bytes behind the head."""
        while len(self._waiting) < count:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError
            self._waiting += data
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken

    def say(self, data: bytes) -> None:
        self.socket.sendall(data)

    def stop(self) -> None:
        """Say no more."""
        self.socket.shutdown(socket.SHUT_WR)

    def end(self) -> None:
        """Wait until the gateway has closed as well."""
        while self.socket.recv(65536):
            pass

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.socket.close()

    def is_gone(self) -> bool:
        """Waits until the connection has ended; False where it does not."""
        return self.over.wait(PATIENCE_SECONDS)


def echo(target: bytes) -> bytes:
    """A plain answer that only this call can have got."""
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(target), target)


class HostileOrigin:
    """Does what `play` says for every request to `.../bad/...`, and echoes the target of any other."""

    def __init__(self) -> None:
        self.visits: list[Visit] = []
        self.play: Play = lambda visit: visit.reset()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()

    def visit_for(self, target: bytes) -> Visit:
        """The last connection on which this was asked for."""
        return next(visit for visit in reversed(self.visits) if target in visit.targets)

    def count(self, target: bytes) -> int:
        """How often this was asked for."""
        return sum(visit.targets.count(target) for visit in self.visits)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.visits.append(Visit(connection))
            thread = threading.Thread(target=self._serve, args=(self.visits[-1],))
            self._threads.append(thread)
            thread.start()

    def _serve(self, visit: Visit) -> None:
        with suppress(OSError, EOFError):
            while visit.take_head():
                if b"/bad/" in visit.targets[-1]:
                    self.play(visit)
                else:
                    visit.take_body()
                    visit.say(echo(visit.targets[-1]))
        visit.socket.close()
        visit.over.set()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join(PATIENCE_SECONDS)
        for visit in self.visits:
            with suppress(OSError):
                visit.socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)


@contextmanager
def hostile_origin() -> Iterator[HostileOrigin]:
    """One on a free port."""
    origin = HostileOrigin()
    try:
        yield origin
    finally:
        origin.close()
