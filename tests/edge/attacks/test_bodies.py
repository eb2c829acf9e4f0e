"""Bodies without end, and bodies that unpack to far more than they are: bounded memory, whatever comes."""

from __future__ import annotations

import gzip
import json
import socket
import time
import zlib
from collections.abc import Iterator
from select import select

import pytest

from tests.edge.attacks.conversation import origin_in_a_thread
from tests.edge.attacks.raw import Told, connect, converse, get, parse, read_all, request, told
from tests.edge.attacks.recording import RecordingOrigin
from tests.scenarios.running import Gateway, eventually, gateway, resident_bytes
from tests.scenarios.scripted import Request, ScriptedOrigin, answer

LIMIT = 64 * 1024
MIB = 1 << 20
CONFIG = """
    version: 1
    upstreams:
      origin: {{targets: [{{url: "http://127.0.0.1:{port}"}}]}}
      stalled: {{targets: [{{url: "http://127.0.0.1:{stalled}"}}], timeout: {{response: 1s, total: 2s}}}}
    routes:
      - {{name: open, match: {{methods: [GET, POST], path: "/open/*"}}, upstream: origin}}
      - name: large
        match: {{methods: [POST], path: /large}}
        upstream: stalled
        limits: {{body: 256MiB}}
    server:
      drain: {{delay: 0s, grace: 1s}}
      limits: {{body: 64KiB, body_timeout: 1s}}
"""
CHUNKED = b"POST /open/body HTTP/1.1\r\nHost: gateway\r\nTransfer-Encoding: chunked\r\n\r\n"

pytestmark = pytest.mark.attack(21)


@pytest.fixture(scope="module")
def origin() -> Iterator[RecordingOrigin]:
    with origin_in_a_thread() as recording:
        yield recording


@pytest.fixture(scope="module")
def stalled() -> Iterator[int]:
    """Where connections wait in the queue of a socket that nobody accepts from."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield listener.getsockname()[1]


@pytest.fixture(scope="module")
def edge(origin: RecordingOrigin, stalled: int) -> Iterator[Gateway]:
    with gateway(CONFIG.format(port=origin.port, stalled=stalled)) as running:
        assert told(running.port, get(b"/open/body")).status == 200
        yield running


def pour(port: int, head: bytes, piece: bytes, *, most: int = 64 * MIB) -> tuple[Told, int]:
    """Send pieces without end until the gateway has had enough: its answer, and how many bytes it took."""
    sent = 0
    with connect(port) as caller:
        caller.sendall(head)
        try:
            while sent < most and not select([caller], [], [], 0)[0]:
                sent += caller.send(piece)
        except ConnectionError:
            pass
        return parse(read_all(caller)), sent


ENDLESS = [
    ("chunks of 16 KiB", CHUNKED, b"4000\r\n%b\r\n" % (b"a" * 0x4000)),
    ("chunks of a byte", CHUNKED, b"1\r\na\r\n" * 1000),
    ("one chunk of a petabyte", CHUNKED + b"fffffffffffff\r\n", b"a" * 0x4000),
    (
        "a length of a petabyte",
        b"POST /open/body HTTP/1.1\r\nHost: gateway\r\nContent-Length: 999999999999999\r\n\r\n",
        b"a" * 0x4000,
    ),
    (
        "a length just over the limit",
        b"POST /open/body HTTP/1.1\r\nHost: gateway\r\nContent-Length: %d\r\n\r\n" % (LIMIT + 1),
        b"a" * 0x4000,
    ),
    (
        "chunks by GET",
        CHUNKED.replace(b"POST", b"GET"),
        b"4000\r\n%b\r\n" % (b"a" * 0x4000),
    ),
]


@pytest.mark.parametrize(("head", "piece"), [case[1:] for case in ENDLESS], ids=[case[0] for case in ENDLESS])
def test_a_body_over_the_limit_is_cut_while_it_streams(
    head: bytes, piece: bytes, edge: Gateway, origin: RecordingOrigin
) -> None:
    [worker] = edge.worker_pids()
    before = resident_bytes(worker)
    origin.clear()
    began = time.monotonic()
    said, _ = pour(edge.port, head, piece)
    assert (said.status, json.loads(said.body)["code"]) == (413, "BODY_TOO_LARGE")
    assert said.fields["connection"] == "close"
    assert time.monotonic() - began < 8
    assert origin.arrived == [], "half a body arrived as a whole one"
    assert resident_bytes(worker) - before < 8 * MIB


@pytest.mark.parametrize("length", [20, 4000])
def test_extensions_without_end_are_no_body(length: int, edge: Gateway, origin: RecordingOrigin) -> None:
    """Chunks of a byte, each with much that is dropped: within its limit such a body could be endless."""
    origin.clear()
    said, sent = pour(edge.port, CHUNKED, b"1;%b\r\na\r\n" % (b"e" * length))
    assert (said.status, json.loads(said.body)["code"]) == (400, "BAD_REQUEST")
    assert sent < 16 * MIB
    assert origin.arrived == []


def test_the_last_byte_that_passes_and_the_first_that_does_not(edge: Gateway) -> None:
    for size, status in ((LIMIT, 200), (LIMIT + 1, 413)):
        for body, fields in (
            (b"a" * size, ()),
            (b"%x\r\n%b\r\n0\r\n\r\n" % (size, b"a" * size), (b"Transfer-Encoding: chunked",)),
        ):
            assert told(edge.port, request(b"POST", b"/open/body", *fields, body=body)).status == status


def test_uploads_to_an_origin_that_does_not_read_wait_in_bounded_memory(edge: Gateway) -> None:
    """Ten of up to 256 MiB each, as fast as they are taken."""
    [worker] = edge.worker_pids()
    before, count = resident_bytes(worker), 10
    head = b"POST /large HTTP/1.1\r\nHost: gateway\r\nContent-Length: %d\r\n\r\n" % (200 * MIB)
    callers = [connect(edge.port) for _ in range(count)]
    piece, taken = b"a" * MIB, 0
    try:
        for caller in callers:
            caller.sendall(head)
            caller.setblocking(False)
        until = time.monotonic() + 0.7
        while time.monotonic() < until:
            for caller in callers:
                try:
                    taken += caller.send(piece)
                except BlockingIOError:
                    time.sleep(0.005)
        grown = resident_bytes(worker) - before
        for caller in callers:
            assert parse(read_all(caller)).status in (502, 504)
    finally:
        for caller in callers:
            caller.close()
    assert taken > count * MIB // 2
    assert grown < count * 2 * MIB
    eventually(lambda: edge.metric("gateway_requests_in_flight") == 0)


BOMB = gzip.compress(b"\0" * (30 * MIB))
"""30 KiB that unpack to 30 MiB."""


@pytest.mark.parametrize("coding", [b"gzip", b"x-gzip", b"deflate", b"gzip, gzip", b"br"])
def test_a_packed_request_passes_as_it_is(coding: bytes, edge: Gateway, origin: RecordingOrigin) -> None:
    """Nobody unpacks it here, whatever it is."""
    [worker] = edge.worker_pids()
    before = resident_bytes(worker)
    origin.clear()
    sent = request(b"POST", b"/open/body", b"Content-Encoding: " + coding, body=BOMB)
    assert told(edge.port, sent).status == 200
    [arrived] = origin.arrived
    assert arrived.body == BOMB
    assert arrived.values("content-encoding") == [coding.decode()]
    assert resident_bytes(worker) - before < 4 * MIB


# What the gateway itself unpacks or parses: error bodies of providers, for `error_codes`.

MAPPED = """
    version: 1
    upstreams: {{origin: {{targets: [{{url: "{url}"}}]}}}}
    routes:
      - name: all
        match: {{methods: [GET], path: "/*"}}
        upstream: origin
        policies: [{{error_codes: {{codes: {{"7": INSUFFICIENT_FUNDS}}}}}}]
"""
_DEFLATED = zlib.compress(b" " * (30 * MIB))
ERRORS = {
    "gzip": (BOMB, "content-encoding: gzip"),
    "deflate": (_DEFLATED, "content-encoding: deflate"),
    "gzip within gzip": (gzip.compress(BOMB), "content-encoding: gzip"),
    "two codings": (gzip.compress(BOMB), "content-encoding: gzip, gzip"),
    "gzip that is none": (b"\0" * 1000, "content-encoding: gzip"),
    "half a gzip": (gzip.compress(b'{"code": 7}')[:-9], "content-encoding: gzip"),
    "brackets 60,000 deep": (b"[" * 60_000, "x-a: a"),
    "objects 10,000 deep": (b'{"a":' * 10_000, "x-a: a"),
    "a number of 60,000 digits": (b'{"code": %b}' % (b"9" * 60_000), "x-a: a"),
    "8 MiB of an error": (b'{"code": "%b"}' % (b"a" * 8 * MIB), "x-a: a"),
    "not a number": (b'{"code": NaN, "message": Infinity}', "x-a: a"),
    "halves of surrogate pairs": (rb'{"code": "\ud800", "message": "\udfff"}', "x-a: a"),
}


@pytest.fixture(scope="module")
def mapping() -> Iterator[Gateway]:
    def script(asked: Request) -> bytes:
        body, field = ERRORS.get(asked.headers.get("x-case", ""), (b'{"code": 7}', "x-a: a"))
        return answer(422, body, field)

    with ScriptedOrigin(script) as origin, gateway(MAPPED.format(url=origin.url)) as running:
        said = told(running.port, get(b"/mapped"))
        assert json.loads(said.body)["code"] == "INSUFFICIENT_FUNDS", "or nothing is read at all"
        yield running


@pytest.mark.parametrize("case", ERRORS)
def test_an_answer_that_unpacks_to_too_much_is_not_read(case: str, mapping: Gateway) -> None:
    [worker] = mapping.worker_pids()
    before = resident_bytes(worker)
    said = told(mapping.port, get(b"/bomb", b"X-Case: " + case.encode()))
    assert (said.status, json.loads(said.body)["code"]) == (502, "FINAL")
    assert resident_bytes(worker) - before < 8 * MIB


def test_pipelined_requests_without_end_wait_for_their_turn(edge: Gateway) -> None:
    """32 MiB of them while the first is under way: read only as far as 64 KiB ahead."""
    [worker] = edge.worker_pids()
    before = resident_bytes(worker)
    first = b"POST /large HTTP/1.1\r\nHost: gateway\r\nContent-Length: 1\r\n\r\na"
    flood = b"GET /open/a HTTP/1.1\r\nHost: gateway\r\n\r\n" * 10_000
    with connect(edge.port) as caller:
        caller.sendall(first)
        caller.setblocking(False)
        until, sent = time.monotonic() + 0.5, 0
        while time.monotonic() < until and sent < 32 * MIB:
            try:
                sent += caller.send(flood)
            except BlockingIOError:
                time.sleep(0.005)
        assert resident_bytes(worker) - before < 8 * MIB
    eventually(lambda: edge.metric("gateway_requests_in_flight") == 0)
    assert converse(edge.port, get(b"/open/after")).endswith(b"/open/after")
