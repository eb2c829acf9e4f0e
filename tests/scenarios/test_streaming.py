"""Bodies of any size pass through constant memory; who dawdles is felt at the other end."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.scenarios.running import Gateway, eventually, gateway, resident_bytes

GIB, MIB = 1 << 30, 1 << 20
CHUNK = bytes(MIB)
CONFIG = """
    version: 1
    upstreams:
      origin: {{targets: [{{url: "{url}"}}], timeout: {{response: 60s, total: 120s}}}}
    routes:
      - name: files
        match: {{methods: [GET, PUT], path: /files/*}}
        upstream: origin
        limits: {{body: 2GiB}}
        stream: true
        policies: []
"""


@contextmanager
def file_server(play: Callable[[socket.socket, bytes], None]) -> Iterator[str]:
    """An origin that plays one call per connection in a thread, for bulk beyond what asyncio carries."""

    def serve(connection: socket.socket) -> None:
        with connection:
            head = read_head(connection)
            play(connection, head)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=serve, args=(connection,))
            threads.append(thread)
            thread.start()

    threads: list[threading.Thread] = []
    listener = socket.create_server(("127.0.0.1", 0))
    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join(10)
        for thread in threads:
            thread.join(10)


def read_head(connection: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        assert byte, head
        head += byte
    return head


def send_file(connection: socket.socket, size: int) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % size)
    for _ in range(size // MIB):
        connection.sendall(CHUNK)


def take_file(connection: socket.socket, head: bytes) -> None:
    (length,) = (int(line[16:]) for line in head.lower().split(b"\r\n") if line[:16] == b"content-length: ")
    taken = b"%d" % receive(connection, length)
    connection.sendall(
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(taken) + taken
    )


def receive(connection: socket.socket, size: int, seen: Callable[[], None] = lambda: None) -> int:
    """How many of `size` bytes came before the end."""
    buffer, got = bytearray(MIB), 0
    while got < size and (more := connection.recv_into(buffer, min(MIB, size - got))):
        got += more
        seen()
    return got


def play_files(connection: socket.socket, head: bytes) -> None:
    if head.startswith(b"GET"):
        send_file(connection, int(head.split()[1].rpartition(b"/")[2]))
    else:
        take_file(connection, head)


class Memory:
    """The memory of the only worker: how much more than at first."""

    def __init__(self, running: Gateway) -> None:
        (self.pid,) = running.worker_pids()
        self.first = self.most = resident_bytes(self.pid)

    def look(self) -> None:
        self.most = max(self.most, resident_bytes(self.pid))

    @property
    def growth(self) -> int:
        return self.most - self.first


def download(port: int, size: int, look: Callable[[], None] = lambda: None) -> int:
    with socket.create_connection(("127.0.0.1", port), 60) as caller:
        caller.sendall(b"GET /files/%d HTTP/1.1\r\nhost: gateway\r\n\r\n" % size)
        assert read_head(caller).startswith(b"HTTP/1.1 200 ")
        return receive(caller, size, look)


def upload(port: int, size: int, look: Callable[[], None] = lambda: None) -> int:
    with socket.create_connection(("127.0.0.1", port), 60) as caller:
        caller.sendall(b"PUT /files/new HTTP/1.1\r\nhost: gateway\r\ncontent-length: %d\r\n\r\n" % size)
        for _ in range(size // MIB):
            caller.sendall(CHUNK)
            look()
        assert read_head(caller).startswith(b"HTTP/1.1 200 ")
        return int(caller.recv(20))


@pytest.mark.parametrize("transfer", [download, upload])
def test_a_gibibyte_passes_through_constant_memory(transfer: Callable[..., int]) -> None:
    with file_server(play_files) as url, gateway(CONFIG.format(url=url)) as running:
        assert transfer(running.port, 4 * MIB) == 4 * MIB  # whatever is allocated once, is
        memory = Memory(running)
        assert transfer(running.port, GIB, memory.look) == GIB
        assert memory.growth < 32 * MIB, f"grew by {memory.growth / MIB:.1f} MiB"


class Progress:
    """Counts bytes, and tells when there are no more of them for a while."""

    def __init__(self) -> None:
        self.bytes = 0
        self._seen, self._since = -1, 0.0

    def rests(self) -> bool:
        now = time.monotonic()
        if self.bytes != self._seen:
            self._seen, self._since = self.bytes, now
        return self.bytes > 0 and now - self._since > 0.5


def test_a_slow_reader_holds_the_origin_back() -> None:
    size, sent = 256 * MIB, Progress()

    def play(connection: socket.socket, _head: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % size)
        while sent.bytes < size:
            sent.bytes += connection.send(CHUNK[: size - sent.bytes])

    with file_server(play) as url, gateway(CONFIG.format(url=url)) as running:
        memory = Memory(running)
        with socket.create_connection(("127.0.0.1", running.port), 60) as caller:
            caller.sendall(b"GET /files/big HTTP/1.1\r\nhost: gateway\r\n\r\n")
            read_head(caller)
            eventually(sent.rests)
            memory.look()
            assert sent.bytes < 64 * MIB, "more than all sockets' buffers hold: somebody keeps it in memory"
            assert memory.growth < 32 * MIB
            assert receive(caller, size) == size


def test_a_slow_origin_holds_the_caller_back() -> None:
    size, sent = 256 * MIB, Progress()
    go_on = threading.Event()

    def play(connection: socket.socket, head: bytes) -> None:
        go_on.wait(30)
        take_file(connection, head)

    def push() -> None:
        while sent.bytes < size:
            sent.bytes += caller.send(CHUNK[: size - sent.bytes])

    with file_server(play) as url, gateway(CONFIG.format(url=url)) as running:
        memory = Memory(running)
        with socket.create_connection(("127.0.0.1", running.port), 60) as caller:
            caller.sendall(b"PUT /files/new HTTP/1.1\r\nhost: gateway\r\ncontent-length: %d\r\n\r\n" % size)
            pusher = threading.Thread(target=push)
            pusher.start()
            eventually(sent.rests)
            memory.look()
            stopped_at = sent.bytes
            go_on.set()
            pusher.join(30)
            assert stopped_at < 64 * MIB
            assert memory.growth < 32 * MIB
            assert read_head(caller).startswith(b"HTTP/1.1 200 ")
            assert int(caller.recv(20)) == size
