"""Family 24: callers leave at any stage of a call; its connection ends, its place is free, no breaker moves.

There is one connection to the origin, one place under the limit, and a breaker that opens at the second
failure: whatever one caller who left keeps is missed by the next.
"""

from __future__ import annotations

import socket
import threading
import uuid
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.edge.attacks.caller import PATIENCE_SECONDS, Caller
from tests.edge.attacks.hostile import HostileOrigin, Visit, hostile_origin
from tests.scenarios.running import Gateway, eventually, gateway

pytestmark = pytest.mark.attack(24)

ORIGIN = hostile_origin
CONFIG = """
    version: 1
    upstreams:
      origin:
        targets: [{{url: "http://127.0.0.1:{port}"}}]
        timeout: {{connect: 10s, response: 20s, idle: 20s, total: 30s}}
        pool: {{max_connections: 1}}
      other: {{targets: [{{url: "http://127.0.0.1:{port}"}}]}}
    routes:
      - {{name: calls, match: {{path: /calls/*, {methods}}}, upstream: origin, policies: [guarded]}}
      - {{name: bare, match: {{path: /bare/*, {methods}}}, upstream: origin}}
      - {{name: other, match: {{path: /other/*, {methods}}}, upstream: other, policies: [guarded]}}
"""
GUARDED = """
    - concurrency: {max: 1, queue: 8, wait: 10s}
    - circuit_breaker: {failures: 2, window: 1m, reset_after: 1m}
"""
INTERIM = b"HTTP/1.1 103 Early Hints\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"
CHUNKS = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"


class Stage(NamedTuple):
    """When the caller leaves."""

    name: str
    line: bytes = b"GET TARGET HTTP/1.1\r\n"
    sends: bytes = b"host: gateway\r\n\r\n"
    says: bytes = b""
    """What the origin has said by then."""
    awaits: bytes = b""
    """What the caller has got by then."""
    reaches: bool = True
    """The call has reached the origin by then."""


POST = Stage("", b"POST TARGET HTTP/1.1\r\n")
STAGES = (
    Stage("in the request line", b"GET TARG", b"", reaches=False),
    Stage("in the head", sends=b"host: gateway\r\nx-a: ", reaches=False),
    POST._replace(name="before the body", sends=b"host: gateway\r\ncontent-length: 1000\r\n\r\n"),
    POST._replace(name="in the body", sends=b"host: gateway\r\ncontent-length: 1000\r\n\r\nhello"),
    POST._replace(
        name="in a chunk of the body", sends=b"host: gateway\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhello"
    ),
    POST._replace(
        name="when it may go on",
        sends=b"host: gateway\r\nexpect: 100-continue\r\ncontent-length: 1000\r\n\r\n",
        awaits=b"HTTP/1.1 100 Continue\r\n\r\n",
    ),
    Stage("before the answer"),
    POST._replace(
        name="before the answer to a body", sends=b"host: gateway\r\ncontent-length: 5\r\n\r\nhello"
    ),
    Stage("behind an interim answer", says=INTERIM),
    Stage("in the head of the answer", says=HEAD[:30]),
    Stage("behind the head of the answer", says=HEAD, awaits=b"\r\n\r\n"),
    Stage("in the body of the answer", says=HEAD + b"hello", awaits=b"hello"),
    Stage("in the chunks of the answer", says=CHUNKS, awaits=b"hello\r\n"),
    POST._replace(
        name="in an early answer",
        sends=b"host: gateway\r\ncontent-length: 1000\r\n\r\nhello",
        says=HEAD + b"hello",
        awaits=b"hello",
    ),
    Stage("with an answer unread", says=HEAD.replace(b"1000", b"90000000") + b"x" * 1_000_000),
)


@pytest.fixture(scope="module")
def edge(origin: HostileOrigin) -> Iterator[Gateway]:
    config = CONFIG.format(port=origin.port, methods="methods: [GET, POST]")
    with gateway(config, {"guarded": GUARDED}) as running:
        yield running


def start(caller: Caller, stage: Stage, origin: HostileOrigin) -> Visit | None:
    """Bring a call as far as the stage says; the connection it is on behind the gateway."""
    target = b"/calls/bad/" + uuid.uuid4().hex.encode()
    arrived = threading.Event()

    def play(visit: Visit) -> None:
        visit.say(stage.says[:4096])
        arrived.set()
        visit.say(stage.says[4096:])

    origin.play = play
    caller.say(stage.line.replace(b"TARGET", target) + stage.sends)
    if not stage.reaches:
        return None
    assert arrived.wait(PATIENCE_SECONDS)
    got = b""
    while not got.endswith(stage.awaits):
        got += caller.socket.recv(4096)
    return origin.visit_for(target)


@pytest.mark.parametrize("way", ["close", "reset", "half-close"])
@pytest.mark.parametrize("stage", STAGES, ids=[stage.name for stage in STAGES])
def test_leaving(stage: Stage, way: str, edge: Gateway, origin: HostileOrigin) -> None:
    for _ in range(3):  # the breaker would open at the second
        with Caller(edge.port) as caller:
            visit = start(caller, stage, origin)
            if way == "half-close":
                caller.socket.shutdown(socket.SHUT_WR)
            else:
                caller.leave(reset=way == "reset")
            if visit is not None:
                assert visit.is_gone(), "the call goes on upstream"
        ask_for_its_own(edge)
    eventually(lambda: edge.metric("gateway_requests_in_flight") == 0)
    assert edge.metric("gateway_circuit_transitions_total", upstream="origin") == 0


def ask_for_its_own(edge: Gateway) -> None:
    target = b"/calls/good/" + uuid.uuid4().hex.encode()
    with Caller(edge.port) as caller:
        caller.ask(target)
        assert caller.read().body == target


@pytest.mark.parametrize(
    ("path", "callers", "waiting"),
    [
        (b"/calls", 5, {"name": "gateway_concurrency_waiting", "owner": "calls"}),
        (b"/bare", 1, {"name": "gateway_upstream_connections", "upstream": "origin", "state": "waiting"}),
    ],
    ids=["the line for a place", "the line for a connection"],
)
def test_who_leaves_a_line_is_not_waited_for(
    path: bytes, callers: int, waiting: dict[str, str], edge: Gateway, origin: HostileOrigin
) -> None:
    target = path + b"/bad/in-line"
    with Caller(edge.port) as first:
        start(first, Stage(""), origin)
        line = [Caller(edge.port) for _ in range(callers)]
        for caller in line:
            caller.ask(target)
        eventually(lambda: edge.metric(**waiting) == callers)
        for caller in line:
            caller.leave(reset=True)
        eventually(lambda: edge.metric(**waiting) == 0)
        first.leave()
    ask_for_its_own(edge)
    assert origin.count(target) == 0


def test_the_breaker_opens_where_it_is_the_origin_that_leaves(edge: Gateway, origin: HostileOrigin) -> None:
    origin.play = lambda visit: visit.reset()
    statuses = []
    with Caller(edge.port) as caller:
        for _ in range(3):
            caller.ask(b"/other/bad/x", b"POST")
            statuses.append(caller.read().status)
    assert statuses == [502, 502, 503]
    assert edge.metric("gateway_circuit_transitions_total", upstream="other", to="open") == 1
    assert edge.metric("gateway_circuit_transitions_total", upstream="origin") == 0


def test_nothing_is_left_over(edge: Gateway) -> None:
    for state in ("active", "waiting"):
        assert edge.metric("gateway_upstream_connections", state=state) == 0
    assert [line for line in edge.lines if "Traceback" in line] == []
