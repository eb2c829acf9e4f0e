"""HTTP/2 ends at the load balancer in front: callers are refused it, and hostile origins are survived."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Iterator
from itertools import repeat

import pytest
import trustme

from tests.edge.attacks import frames
from tests.edge.attacks.cases import HOST, SMUGGLED, Case, get
from tests.edge.attacks.conversation import attack
from tests.edge.attacks.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    data,
    field,
    frame,
    frame_origin,
    head,
    settings,
)
from tests.edge.attacks.raw import connect, converse, outlast, parse, request, told
from tests.edge.attacks.recording import RecordingOrigin
from tests.edge.attacks.test_attacks import CONFIG
from tests.scenarios.running import Gateway, eventually, gateway, resident_bytes

MIB = 1 << 20

# From callers.

CALL = frame(
    HEADERS,
    field(b":method", b"GET") + field(b":scheme", b"http") + field(b":path", b"/smuggled")
    + field(b":authority", b"gateway"),
    stream=1,
    flags=END_HEADERS | 1,
)  # fmt: skip
RESETS = b"".join(
    CALL[:5] + number.to_bytes(4, "big") + CALL[9:] + frame(RST_STREAM, b"\0\0\0\x08", stream=number)
    for number in range(1, 2001, 2)
)
KNOWN = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
REFUSED = (400, 405, 505)
INBOUND = [
    Case(22, "preface", PREFACE, statuses=REFUSED),
    Case(22, "preface and a call", PREFACE + settings() + CALL, statuses=REFUSED),
    Case(22, "preface and a thousand calls taken back", PREFACE + settings() + RESETS, statuses=REFUSED),
    Case(
        22,
        "preface and continuations without end",
        PREFACE
        + settings()
        + CALL[:4]
        + b"\0"
        + CALL[5:]
        + frame(CONTINUATION, field(b"a", b"a") * 20, stream=1) * 2000,
        statuses=REFUSED,
    ),
    Case(22, "preface and pings", PREFACE + settings() + frame(PING, b"\0" * 8) * 5000, statuses=REFUSED),
    Case(22, "preface with a Host", b"PRI * HTTP/2.0\r\n" + HOST + b"\r\nSM\r\n\r\n", statuses=REFUSED),
    Case(22, "preface that says 1.1", PREFACE.replace(b"2.0", b"1.1") + settings() + CALL, statuses=REFUSED),
    Case(22, "frames without a preface", settings() + CALL + SMUGGLED),
    Case(22, "a call whose version is 2", get(version=b"2"), statuses=REFUSED),
    Case(22, "h2c with its settings, and frames behind", get(KNOWN) + PREFACE + settings() + CALL),
    Case(22, "settings that no upgrade goes with", get(b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n"),
         lambda request: not request.values("http2-settings")),
    Case(22, "pseudo-header over 1.1", get(b":path: /smuggled\r\n") + SMUGGLED),
]  # fmt: skip


@pytest.mark.attack(22)
@pytest.mark.parametrize("case", INBOUND, ids=[case.name for case in INBOUND])
def test_no_caller_speaks_it(case: Case, edge: Gateway, origin: RecordingOrigin) -> None:
    assert attack(edge.port, case, origin) == ""


@pytest.mark.attack(22)
def test_a_preface_behind_a_request_is_no_request(edge: Gateway, origin: RecordingOrigin) -> None:
    origin.clear()
    said = converse(edge.port, get() + PREFACE + settings() + CALL)
    assert said.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 400 " in said
    assert [arrived.target for arrived in origin.arrived] == ["/open"]


# Over TLS.


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def secure(authority: trustme.CA, origin: RecordingOrigin) -> Iterator[Gateway]:
    certificate = authority.issue_cert("localhost")
    files = {
        "cert.pem": certificate.cert_chain_pems[0].bytes(),
        "key.pem": certificate.private_key_pem.bytes(),
    }
    server = """
    server:
      tls: {certificate: cert.pem, key: key.pem}
      limits: {head_timeout: 500ms}
      drain: {delay: 0s, grace: 1s}
"""
    with gateway(CONFIG.format(port=origin.port) + server, files=files) as running:
        yield running


def context(authority: trustme.CA, *protocols: str) -> ssl.SSLContext:
    made = ssl.create_default_context()
    authority.configure_trust(made)
    if protocols:
        made.set_alpn_protocols(list(protocols))
    return made


@pytest.mark.attack(22)
@pytest.mark.parametrize(
    ("offered", "taken"),
    [(["h2"], None), (["h2", "http/1.1"], "http/1.1"), (["h2c", "http/1.1"], "http/1.1")],
)
def test_it_is_never_negotiated(
    offered: list[str], taken: str | None, authority: trustme.CA, secure: Gateway, origin: RecordingOrigin
) -> None:
    origin.clear()
    with connect(secure.port, context=context(authority, *offered)) as caller:
        assert isinstance(caller, ssl.SSLSocket)
        assert caller.selected_alpn_protocol() == taken
    said = converse(secure.port, PREFACE + settings() + CALL, context=context(authority, *offered))
    assert parse(said).status in REFUSED
    assert origin.arrived == []


@pytest.mark.attack(19)
@pytest.mark.parametrize("sent", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"])
def test_a_handshake_that_stops_is_given_up(sent: bytes, secure: Gateway) -> None:
    _, took = outlast(secure.port, sent)
    assert took < 0.5 + 1.5


# From origins.

SPOKEN = """
    version: 1
    upstreams:
      origin:
        targets: [{{url: "http://127.0.0.1:{port}"}}]
        http2: true
        pool: {{idle_timeout: 1ms}}
        timeout: {{connect: 500ms, response: 500ms, idle: 500ms, total: 1s}}
    routes:
      - {{name: all, match: {{methods: [GET, POST], path: "/*"}}, upstream: origin}}
"""
LOST = (502, 504)
START = settings()


def hpack_bomb() -> bytes:
    """One large field put into the table, and named three thousand times: 16 KiB that mean 12 MiB."""
    large = b"\x40\x01a\x7f\xa1\x1e" + b"a" * 4000  # literal with indexing, 127 + 0xf21 = 4000 bytes
    return frame(HEADERS, field(b":status", b"200") + large + b"\xbe" * 3000, stream=1, flags=END_HEADERS)


HOSTILE: dict[str, Callable[[], Iterator[bytes]]] = {
    "settings without end": lambda: repeat(settings(n4=65535) * 100),
    "settings that turn the streams down and up": lambda: repeat((settings(n3=1) + settings(n3=100)) * 50),
    "pings without end": lambda: repeat(frame(PING, b"\0" * 8) * 100),
    "priorities without end": lambda: repeat(frame(PRIORITY, b"\0\0\0\0\x10", stream=3) * 100),
    "unknown frames without end": lambda: repeat(frame(0xBB, b"a" * 100) * 50),
    "window updates without end": lambda: repeat(frame(WINDOW_UPDATE, b"\0\0\0\x01") * 100),
    "resets of unknown streams without end": lambda: repeat(frame(RST_STREAM, b"\0\0\0\x02", stream=3) * 100),
    "continuations without end": lambda: iter(
        [frame(HEADERS, field(b":status", b"200"), stream=1)]
        + [frame(CONTINUATION, field(b"a", b"a" * 100) * 20, stream=1)] * 2000
    ),
    "empty continuations without end": lambda: iter(
        [frame(HEADERS, field(b":status", b"200"), stream=1)] + [frame(CONTINUATION, stream=1) * 100] * 200
    ),
    "hints without end": lambda: repeat(head(status=b"103") * 100),
    "a list of fields that unpacks to 12 MiB": lambda: iter([START, hpack_bomb()]),
    "a reset at once": lambda: iter([START, frame(RST_STREAM, b"\0\0\0\x02", stream=1)]),
    "a goodbye at once": lambda: iter([START, frame(GOAWAY, b"\0\0\0\0\0\0\0\x0b")]),
    "a window over its limit": lambda: iter([START, frame(WINDOW_UPDATE, b"\x7f\xff\xff\xff")] * 2),
    "a window by nothing": lambda: iter([START, frame(WINDOW_UPDATE, b"\0\0\0\0", stream=1)]),
    "a first window over its limit": lambda: iter([settings(n4=0x80000000)]),
    "frames of no size": lambda: iter([settings(n5=0)]),
    "no streams at all": lambda: iter([settings(n3=0)]),
    "a push": lambda: iter(
        [START, frame(PUSH_PROMISE, b"\0\0\0\x02" + field(b":path", b"/"), stream=1, flags=END_HEADERS)]
    ),
    "a frame over its limit": lambda: iter([START, frame(DATA, b"a" * 100_000, stream=1)]),
    "a frame that ends too early": lambda: iter([START, frame(HEADERS, b"\x88", stream=1, length=9000)]),
    "settings of half a setting": lambda: iter([frame(SETTINGS, b"\0\3\0")]),
    "fields that are no HPACK": lambda: iter(
        [START, frame(HEADERS, b"\xff" * 50, stream=1, flags=END_HEADERS)]
    ),
    "a status of letters": lambda: iter([START, head(status=b"abc", end=True)]),
    "a status of 99": lambda: iter([START, head(status=b"99", end=True)]),
    "a line break in a field": lambda: iter([START, head((b"a", b"b\r\nset-cookie: c=d"), end=True)]),
    "a line break in a name": lambda: iter([START, head((b"a: b\r\nc", b"d"), end=True)]),
    "a NUL in a field": lambda: iter([START, head((b"a", b"b\0c"), end=True)]),
    "data before the head": lambda: iter([START, data(b"early", end=True)]),
    "an answer on a stream of its own": lambda: iter([START, head(end=True, stream=2)]),
    "no word": lambda: iter([START]),
    "HTTP/1.1": lambda: iter([b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"]),
}


def cut(*pieces: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: iter([START, *pieces])


TRUNCATED: dict[str, Callable[[], Iterator[bytes]]] = {
    "empty data without end": lambda: iter([START + head(), *([data() * 100] * 3000)]),
    "less than its length": cut(head((b"content-length", b"9")), data(b"four", end=True)),
    "more than its length": cut(head((b"content-length", b"2")), data(b"four", end=True)),
    "two lengths": cut(head((b"content-length", b"4"), (b"content-length", b"5")), data(b"four", end=True)),
    "a reset within": cut(head(), data(b"half"), frame(RST_STREAM, b"\0\0\0\x02", stream=1)),
    "a goodbye within": cut(head(), data(b"half"), frame(GOAWAY, b"\0\0\0\0\0\0\0\x0b")),
    "a broken frame within": cut(head(), data(b"half"), frame(WINDOW_UPDATE, b"\0\0\0\0")),
    "silence within": cut(head(), data(b"half")),
}
"""Answers that begin well. Whoever is told of them must see that they broke off."""
PASSED: dict[str, Callable[[], Iterator[bytes]]] = {
    "empty data within": cut(head(), data(b"the "), data(), data(), data(b"whole"), data(end=True)),
    "a byte at a time": cut(head(), *(data(bytes([byte])) for byte in b"the whole"), data(end=True)),
    "fields of HTTP/1.1": cut(
        head((b"connection", b"x-a"), (b"transfer-encoding", b"chunked"), (b"keep-alive", b"1")),
        data(b"the whole", end=True),
    ),
    "padding": cut(head(), frame(DATA, b"\x64the whole" + b"\0" * 100, stream=1, flags=0x8), data(end=True)),
    "a trailer": cut(
        head(),
        data(b"the whole"),
        frame(HEADERS, field(b"x-api-key", b"evil"), stream=1, flags=END_HEADERS | 1),
    ),
}


def say(path: str, stream: int) -> Iterator[bytes]:
    """What the call's path names; an answer without fault where it names nothing."""
    name = path[1:].replace("%20", " ")
    if name in HOSTILE:
        return HOSTILE[name]()
    script = TRUNCATED.get(name) or PASSED.get(name)
    if script is not None:
        return script()
    return iter([START, head(stream=stream), data(b"fine", end=True, stream=stream)])


@pytest.fixture(scope="module")
def speaking() -> Iterator[Gateway]:
    with frame_origin(say) as origin, gateway(SPOKEN.format(port=origin.port)) as running:
        assert told(running.port, request(b"GET", b"/fine")).body == b"fine"
        yield running


def ask(running: Gateway, name: str) -> bytes:
    """One call, then the proof that the next one is served, from the same origin, and nothing was kept."""
    [worker] = running.worker_pids()
    before, began = resident_bytes(worker), time.monotonic()
    target = b"/" + name.replace(" ", "%20").encode()
    said = converse(running.port, request(b"GET", target))
    assert time.monotonic() - began < 4, "the deadlines are a second at most"
    assert told(running.port, request(b"GET", b"/fine")).body == b"fine"
    assert resident_bytes(worker) - before < 24 * MIB
    eventually(lambda: running.metric("gateway_requests_in_flight") == 0)
    return said


@pytest.mark.attack(22)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_origin_is_an_error_in_time(name: str, speaking: Gateway) -> None:
    said = parse(ask(speaking, name))
    assert said.status in LOST
    assert json.loads(said.body)["code"] in ("UPSTREAM_INVALID", "UPSTREAM_TIMEOUT", "UPSTREAM_UNREACHABLE")


@pytest.mark.attack(22)
@pytest.mark.parametrize("name", TRUNCATED)
def test_an_answer_that_breaks_off_never_looks_whole(name: str, speaking: Gateway) -> None:
    said = ask(speaking, name)
    status = parse(said).status
    assert status == 502 or not said.endswith(b"0\r\n\r\n")
    if b"content-length: 9" in said.lower():
        assert len(parse(said).body) < 9


@pytest.mark.attack(22)
@pytest.mark.parametrize("name", PASSED)
def test_an_answer_that_is_only_odd_passes_whole(name: str, speaking: Gateway) -> None:
    said = parse(ask(speaking, name))
    assert (said.status, said.body) == (200, b"the whole")
    assert not {"keep-alive", "x-api-key"} & said.fields.keys()


@pytest.mark.attack(22)
@pytest.mark.parametrize("window", [0, 1])
def test_a_window_that_lets_nothing_pass_ends_with_the_deadline(window: int) -> None:
    with (
        frame_origin(lambda _path, _stream: iter([settings(n4=window)])) as origin,
        gateway(SPOKEN.format(port=origin.port)) as running,
    ):
        began = time.monotonic()
        said = told(running.port, request(b"POST", b"/upload", body=b"a" * 100_000))
        assert said.status == 504
        assert time.monotonic() - began < 4


def test_the_frames_are_what_they_say() -> None:
    """`hpack_bomb` is within the size of a frame, and so is seen by who unpacks it."""
    assert len(hpack_bomb()) < 16384 + 9
    assert frames.field(b"a", b"b") == b"\x00\x01a\x01b"
