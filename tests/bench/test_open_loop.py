"""Calls are due when they are due: what is late, broken or slow shows in the figures."""

from __future__ import annotations

import itertools
import os
import select
import socket
import threading
import time

import pytest

from bench.open_loop import Connection, OpenLoop, figures, percentile, timer
from tests.bench.serving import Received, Served, serving

REQUEST = b"GET /games HTTP/1.1\r\nHost: a\r\n\r\n"


def test_every_call_is_made_once() -> None:
    seen: list[float] = []

    def answering(call: Received) -> Served:
        seen.append(time.monotonic())
        return Served(chunks=len(seen) % 2 == 0, body=b"x" * 200_000)

    with serving(answering) as port:
        found = OpenLoop(port, REQUEST, 8).run(rate=100, seconds=0.5, patience=20)
    assert (found["calls"], found["errors"], len(seen)) == (50, 0, 50)
    assert seen[-1] - seen[0] > 0.4, "evenly, not in a burst"


def test_a_stall_is_felt_by_all_calls_that_were_due() -> None:
    """One connection, every call takes 20 ms, one is due each 10 ms: the last waits for half of all."""
    with serving(lambda call: time.sleep(0.02) or Served()) as port:  # type: ignore[func-returns-value]
        found = OpenLoop(port, REQUEST, 1).run(rate=100, seconds=0.4, patience=20)
    assert (found["calls"], found["errors"]) == (40, 0)
    assert found["p50_us"] >= 200_000
    assert found["p999_us"] >= 400_000
    assert found["rate"] < 60


def test_who_closes_gets_a_new_connection() -> None:
    with serving(lambda call: Served(headers={"Connection": "close"})) as port:
        found = OpenLoop(port, REQUEST, 2).run(rate=50, seconds=0.4, patience=20)
    assert (found["calls"], found["errors"]) == (20, 0)


def test_who_closes_without_a_word_between_calls() -> None:
    """The server closes each connection after its second call, unannounced: no call is lost for it."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            connection, _ = listener.accept()
            with connection:
                for _ in range(2):
                    if connection.recv(4096):
                        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        found = OpenLoop(listener.getsockname()[1], REQUEST, 1).run(rate=20, seconds=0.5, patience=20)
    finally:
        ended.set()
        socket.create_connection(listener.getsockname()).close()
        thread.join()
        listener.close()
    assert (found["calls"], found["errors"]) == (10, 0)


def test_errors_are_counted() -> None:
    numbers = itertools.count()
    with serving(lambda call: Served(status=503 if next(numbers) % 4 == 0 else 204)) as port:
        found = OpenLoop(port, REQUEST, 1).run(rate=100, seconds=0.2, patience=20)
    assert (found["calls"], found["errors"]) == (20, 5)


def test_calls_without_an_answer() -> None:
    """One is under way, the others were never sent: errors all, that took as long as they were waited for."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = OpenLoop(silent.getsockname()[1], REQUEST, 1).run(rate=50, seconds=0.1, patience=0.3)
    assert (found["calls"], found["errors"]) == (5, 5)
    assert found["p50_us"] >= 300_000


def test_a_connection_that_breaks() -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for _ in range(6):
            connection, _ = listener.accept()
            connection.recv(4096)
            connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    found = OpenLoop(listener.getsockname()[1], REQUEST, 1).run(rate=50, seconds=0.1, patience=20)
    thread.join(0.2)
    if thread.is_alive():
        socket.create_connection(listener.getsockname()).close()
        thread.join()
    listener.close()
    assert (found["calls"], found["errors"]) == (5, 5)


def test_a_body_larger_than_the_socket_takes() -> None:
    body = b"x" * 20_000_000
    request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    lengths: list[int] = []
    with serving(lambda call: lengths.append(len(call.body)) or Served()) as port:  # type: ignore[func-returns-value]
        found = OpenLoop(port, request, 2).run(rate=10, seconds=0.3, patience=30)
    assert (found["errors"], lengths) == (0, [len(body)] * 3)


def test_the_timer_keeps_absolute_time() -> None:
    begin = time.monotonic_ns() + 20_000_000
    number = timer(begin, 5_000_000)
    epoll = select.epoll()
    epoll.register(number, select.EPOLLIN)
    assert epoll.poll(5)
    assert time.monotonic_ns() >= begin
    time.sleep(0.05)
    assert int.from_bytes(os.read(number, 8), "little") >= 10
    epoll.close()
    os.close(number)


@pytest.mark.parametrize(
    ("parts", "good"),
    [
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"], True),
        ([b"HTTP/1.1 404 No\r\nCONTENT-LENGTH:3\r\n\r\n", b"a", b"bc"], False),
        ([b"HTTP/1.1 200", b" OK\r\nContent-Length: 0\r\n\r", b"\n"], True),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n", b"0\r\n\r\n"], True),
    ],
)
def test_answers_in_parts(parts: list[bytes], good: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        connection = Connection(server.getsockname()[1])
        for _ in range(2):  # a connection is used again
            connection.begin(0)
            assert [connection.feed(part) for part in parts] == [False] * (len(parts) - 1) + [True]
            assert connection.good is good
        connection.socket.close()


def test_percentiles() -> None:
    assert [percentile(range(1, 1001), percent) for percent in (50, 99, 99.9, 100)] == [500, 990, 999, 1000]
    assert percentile([7], 99.9) == 7
    assert percentile([], 50) == 0
    told = figures([3000, 1000, 2000], [500], 1, 2.0)
    assert told == {
        "calls": 3, "errors": 1, "rate": 1.5, "p50_us": 2.0, "p99_us": 3.0, "p999_us": 3.0, "lag_us": 0.5
    }  # fmt: skip
