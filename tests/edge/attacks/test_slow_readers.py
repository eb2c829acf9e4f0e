"""Callers who ask for much and read little: what waits for them is bounded, and so is the wait."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

import pytest

from tests.edge.attacks.raw import get, told
from tests.scenarios.running import Gateway, gateway, resident_bytes
from tests.scenarios.scripted import ScriptedOrigin, answer

CONFIG = """
    version: 1
    upstreams:
      origin: {{targets: [{{url: "{url}"}}], timeout: {{idle: 20s}}}}
    routes:
      - {{name: all, match: {{methods: [GET], path: "/*"}}, upstream: origin}}
      - name: kept
        match: {{methods: [GET], path: /kept}}
        upstream: origin
        policies: [{{cache: {{max_entry: 8MiB}}}}]
    server:
      drain: {{delay: 0s, grace: 1s}}
      limits: {{write_timeout: 1s}}
"""
GONE_SECONDS = 15.0
"""The deadline of 1 s, a sweep that comes 0.25 s late, and a machine with other things to do."""
MIB = 1 << 20
LARGE = b"x" * (16 * MIB)
ASK = b"GET /large HTTP/1.1\r\nHost: gateway\r\n\r\n"

pytestmark = pytest.mark.attack(23)


class Reader(NamedTuple):
    """Asks, and takes `bite` bytes of the answer every 0.1 s."""

    name: str
    sent: bytes
    bite: int = 0


READERS = [
    Reader("nothing", ASK),
    Reader("a byte at a time", ASK, 1),
    Reader("a little at a time", ASK, 512),
    Reader("nothing, having asked a hundred times", ASK * 100),
    Reader("nothing of a chunked answer", ASK.replace(b"large", b"chunked")),
    Reader("nothing of an answer that ends with its connection", ASK.replace(b"large", b"endless")),
]


@pytest.fixture(scope="module")
def generous() -> Iterator[Gateway]:
    large = answer(200, LARGE)
    others = {
        "/chunked": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
        % (len(LARGE), LARGE),
        "/endless": b"HTTP/1.1 200 OK\r\n\r\n" + LARGE,
        "/kept": answer(200, LARGE[: 6 * MIB], "cache-control: max-age=60"),
    }
    with (
        ScriptedOrigin(lambda asked: others.get(asked.line.split()[1], large)) as origin,
        gateway(CONFIG.format(url=origin.url)) as running,
    ):
        for path in (b"/large", b"/kept"):
            assert told(running.port, get(path)).status == 200
        yield running


def ask_and_wait(port: int, sent: bytes) -> socket.socket:
    """Ask with a small buffer; the connection is the caller's to close."""
    caller = socket.socket()
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    caller.connect(("127.0.0.1", port))
    caller.sendall(sent)
    return caller


def ended(running: Gateway) -> float:
    return running.metric("gateway_requests_total")


def watch(running: Gateway, calls: int, step: Callable[[], object] = lambda: None) -> int:
    """Until so many more calls ended, each at its deadline: the most memory the worker held."""
    [worker] = running.worker_pids()
    began, before, most = time.monotonic(), ended(running), 0
    while ended(running) < before + calls:
        most = max(most, resident_bytes(worker))
        step()
        time.sleep(0.1)
        assert time.monotonic() - began < GONE_SECONDS, "they are served for ever"
    return most


@pytest.mark.parametrize("reader", READERS, ids=[reader.name for reader in READERS])
def test_a_caller_who_reads(reader: Reader, generous: Gateway) -> None:
    [worker] = generous.worker_pids()
    before = resident_bytes(worker)
    with ask_and_wait(generous.port, reader.sent) as caller:

        def bite() -> None:
            with suppress(ConnectionError):
                caller.recv(reader.bite)

        most = watch(generous, 1, bite if reader.bite else lambda: None)
    assert most - before < 6 * MIB, "what nobody reads is kept in memory"


@pytest.mark.parametrize("path", [b"large", b"kept"])
def test_forty_at_once_who_read_nothing(path: bytes, generous: Gateway) -> None:
    [worker] = generous.worker_pids()
    before, count = resident_bytes(worker), 40
    callers = [ask_and_wait(generous.port, ASK.replace(b"large", path)) for _ in range(count)]
    try:
        most = watch(generous, count)
    finally:
        for caller in callers:
            caller.close()
    assert most - before < count * MIB
    assert told(generous.port, get(b"/large")).status == 200
