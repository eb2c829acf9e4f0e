"""Callers that are slow on purpose: every wait for them has an end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, repeat
from typing import NamedTuple

import pytest

from tests.edge.attacks.raw import get, outlast, told
from tests.edge.attacks.recording import RecordingOrigin
from tests.scenarios.running import Gateway, gateway

CONFIG = """
    version: 1
    upstreams:
      origin: {{targets: [{{url: "http://127.0.0.1:{port}"}}], timeout: {{idle: 20s}}}}
    routes:
      - {{name: all, match: {{methods: [GET, POST], path: "/open/*"}}, upstream: origin}}
    server:
      drain: {{delay: 0s, grace: 1s}}
      limits: {{head_timeout: 400ms, body_timeout: 400ms, idle_timeout: 400ms}}
"""
DEADLINE_SECONDS = 0.4
LATE_SECONDS = 2.5
"""A sweep may come 0.25 s late, and this machine has other things to do."""
HEAD = b"GET /open/slow HTTP/1.1\r\nHost: gateway\r\n"
POST = b"POST /open/slow HTTP/1.1\r\nHost: gateway\r\n"
WHOLE = HEAD + b"\r\n"


class Slow(NamedTuple):
    """`first` at once, a piece of `then` every 0.1 s; what the gateway says to that before it closes."""

    name: str
    first: bytes
    then: Iterable[bytes]
    said: tuple[int, ...]
    """The statuses of its answers."""
    deadlines: int = 1
    """So many run one after the other."""


def each(text: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in text]


SLOW = [
    Slow("silence", b"", (), ()),
    Slow("head of which a byte comes at a time", b"", chain(each(HEAD), repeat(b"X")), (408,)),
    Slow("head that stops", HEAD, (), (408,)),
    Slow("head without its last byte", WHOLE[:-1], (), (408,)),
    Slow("head that gets a field each time", HEAD, (b"X-%d: a\r\n" % n for n in range(1000)), (408,)),
    Slow("field that grows", HEAD + b"X-A: ", repeat(b"a"), (408,)),
    Slow("first line that grows", b"GET /", repeat(b"a"), (408,)),
    Slow("empty lines for ever", b"", repeat(b"\r\n"), ()),
    Slow("silence after an answer", WHOLE, (), (200,)),
    Slow("empty lines after an answer", WHOLE, repeat(b"\r\n"), (200,)),
    Slow("second head that stops", WHOLE + HEAD, (), (200, 408)),
    Slow("second head of which a byte comes at a time", WHOLE, repeat(b"G"), (200, 408), 2),
    Slow("body that never begins", POST + b"Content-Length: 10\r\n\r\n", (), (408,)),
    Slow("body without its last byte", POST + b"Content-Length: 5\r\n\r\nhell", (), (408,)),
    Slow("body of which a byte comes at a time", POST + b"Content-Length: 999\r\n\r\n", repeat(b"a"), (408,)),
    Slow(
        "chunk of a byte at a time",
        POST + b"Transfer-Encoding: chunked\r\n\r\n",
        repeat(b"1\r\na\r\n"),
        (408,),
    ),
    Slow("chunk extension that grows", POST + b"Transfer-Encoding: chunked\r\n\r\n5;", repeat(b"a"), (408,)),
    Slow("trailers for ever", POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", repeat(b"X: a\r\n"), (408,)),
    Slow("chunks without the last", POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n", (), (408,)),
    Slow(
        "body announced, and silence at 100 Continue",
        POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        (),
        (100, 408),
    ),
    Slow(
        "slow body of a call that no route takes",
        POST.replace(b"open", b"nowhere") + b"Content-Length: 999\r\n\r\n",
        repeat(b"a"),
        (404,),
        2,
    ),
]


@pytest.fixture(scope="module")
def edge(origin: RecordingOrigin) -> Iterator[Gateway]:
    with gateway(CONFIG.format(port=origin.port)) as running:
        yield running
        assert told(running.port, get(b"/open/after")).body == b"/open/after"
        assert running.metric("gateway_requests_in_flight") == 0


@pytest.mark.attack(19)
@pytest.mark.parametrize("slow", SLOW, ids=[slow.name for slow in SLOW])
def test_slow(slow: Slow, edge: Gateway, origin: RecordingOrigin) -> None:
    origin.clear()
    said, took = outlast(edge.port, slow.first, slow.then)
    statuses = tuple(int(part[:3]) for part in said.split(b"HTTP/1.1 ")[1:])
    assert statuses == slow.said, said
    assert took < slow.deadlines * DEADLINE_SECONDS + LATE_SECONDS
    assert took > DEADLINE_SECONDS * 0.5, "nobody was given any time"
    whole = [arrived for arrived in origin.arrived if slow.first.startswith(arrived.method.encode())]
    assert len(whole) == statuses.count(200), "half a request arrived at the origin as a whole one"
