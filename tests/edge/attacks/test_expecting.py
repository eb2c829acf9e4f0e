"""Family 11: `Expect: 100-continue`, and origins that answer before they have read the body.

An early answer is relayed; neither connection carries another call while a body is in doubt. What is left
of the body is shaped like a request: nobody may take it for one.
"""

from __future__ import annotations

import threading
import uuid
from contextlib import suppress
from typing import NamedTuple

import pytest

from tests.edge.attacks.caller import PATIENCE_SECONDS, Caller
from tests.edge.attacks.cases import SMUGGLED
from tests.edge.attacks.hostile import HostileOrigin, Visit, echo, hostile_origin
from tests.scenarios.running import Gateway

pytestmark = pytest.mark.attack(11)

ORIGIN = hostile_origin
CONFIG = """
    version: 1
    upstreams:
      origin:
        targets: [{{url: "http://127.0.0.1:{port}"}}]
        timeout: {{connect: 10s, response: 20s, idle: 20s, total: 30s}}
        pool: {{max_connections: 1}}
    routes:
      - {{name: calls, match: {{methods: [GET, POST], path: /calls/*}}, upstream: origin}}
      - {{name: smuggled, match: {{methods: [GET], path: /smuggled}}, upstream: origin}}
"""
EXPECT = b"expect: 100-continue\r\n"
TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
FAILED = b"HTTP/1.1 417 Expectation Failed\r\ncontent-length: 3\r\n\r\nbig"


class Early(NamedTuple):
    """A call that is answered before its body is all sent, or all read."""

    name: str
    fields: bytes = EXPECT
    sends: bytes = b""
    """Of the body, at once."""
    announces: int = 1000
    """Bytes of body; 0 for chunks."""
    says: bytes = TOO_LARGE
    """The origin, as soon as it has the head and what is sent at once."""
    then: str = "stays"
    """stays | ends | resets: what the origin does then."""
    status: int = 413
    body: bytes = b"big"
    closes: bool = False
    """The caller's connection ends: too much is left of the body, or nobody knows how much."""


HALF = Early("", fields=b"", sends=b"x" * 500)
CASES = (
    Early("413 before the body"),
    Early("413 before the body, and the end", then="ends"),
    Early("413 before the body, and a reset", then="resets"),
    Early("413 before a body of 1 MB", announces=1_000_000, closes=True),
    Early("413 with half a body", sends=b"x" * 500),
    HALF._replace(name="413 in the body"),
    HALF._replace(name="413 in the body, and the end", then="ends"),
    HALF._replace(name="413 in the body, and a reset", then="resets"),
    HALF._replace(name="413 in a body of 1 MB", announces=1_000_000, closes=True),
    Early(
        "413 in chunks",
        fields=b"transfer-encoding: chunked\r\n",
        sends=b"9\r\nhello",
        announces=0,
        closes=True,
    ),
    Early("417", says=FAILED, status=417),
    Early("417 behind an interim answer", says=CONTINUE + FAILED, status=417),
    Early("200 before the body", says=TOO_LARGE.replace(b"413", b"200"), status=200),
    Early("redirected before the body", says=TOO_LARGE.replace(b"413", b"307"), status=307),
    Early("204 with an answer behind", says=b"HTTP/1.1 204 X\r\n\r\n" + TOO_LARGE, status=204, body=b""),
    Early("a reset before the body", says=b"", then="resets", status=502, body=b"UPSTREAM_UNREACHABLE"),
    Early("the end before the body", says=b"", then="ends", status=502, body=b"UPSTREAM_UNREACHABLE"),
    Early("noise before the body", says=b"noise", status=502, body=b"UPSTREAM_INVALID"),
    HALF._replace(name="noise in the body", says=b"noise", status=502, body=b"UPSTREAM_INVALID"),
)


def play(case: Early, visit: Visit) -> None:
    if case.announces:  # else the gateway frames it
        visit.take(len(case.sends))
    visit.say(case.says)
    if case.then == "resets":
        visit.reset()
    elif case.then == "ends":
        visit.stop()
        visit.end()
    else:  # read on, and take nothing for a request
        while visit.socket.recv(65536):
            pass


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_early(case: Early, edge: Gateway, origin: HostileOrigin) -> None:
    target = b"/calls/bad/" + uuid.uuid4().hex.encode()
    origin.play = lambda visit: play(case, visit)
    framing = b"content-length: %d\r\n" % case.announces if case.announces else b""
    with Caller(edge.port) as caller:
        caller.say(b"POST %b HTTP/1.1\r\nhost: gateway\r\n%b%b\r\n" % (target, framing, case.fields))
        caller.say(case.sends)
        told = caller.read()
        invited = told.status == 100
        if invited:
            assert case.fields == EXPECT, "nobody asked"
            told = caller.read()
        # Who was not told to go on may never send the body: an answer can be that early. Who began all the
        # same will send the rest, too, if that was seen before the answer.
        closes = case.closes or (case.fields == EXPECT and not invited)
        if closes and case.sends and not case.closes:
            closes = caller.over
        assert (told.status, told.whole, caller.over) == (case.status, True, closes)
        assert case.body in told.body
        rest = (SMUGGLED * 30_000)[: case.announces - len(case.sends)]
        with suppress(ConnectionError):  # so many are not read
            caller.say(rest)
        if closes:
            assert caller.ended(), "something answered what was left of the body"
        else:
            ask_for_its_own(caller)
    assert origin.visit_for(target).is_gone()
    with Caller(edge.port) as caller:
        ask_for_its_own(caller)
    assert origin.count(target) == 1, "sent again"
    assert origin.count(b"/smuggled") == 0


def ask_for_its_own(caller: Caller) -> None:
    target = b"/calls/good/" + uuid.uuid4().hex.encode()
    caller.ask(target)
    assert caller.read().body == target


@pytest.mark.parametrize("own", [b"", CONTINUE, CONTINUE * 3], ids=["none", "one", "three"])
def test_the_body_comes_when_it_is_asked_for(own: bytes, edge: Gateway, origin: HostileOrigin) -> None:
    """The gateway asks for it, once; what the origin says to that stays between the two."""
    target = b"/calls/bad/" + uuid.uuid4().hex.encode()
    got: list[bytes] = []

    def play(visit: Visit) -> None:
        visit.say(own)
        got.append(visit.take_body())
        visit.say(echo(target))

    origin.play = play
    with Caller(edge.port) as caller:
        head = b"POST %b HTTP/1.1\r\nhost: gateway\r\ncontent-length: 5\r\n%b\r\n"
        caller.say(head % (target, EXPECT))
        assert caller.read().status == 100
        caller.say(b"hello")
        assert caller.read().body == target
        ask_for_its_own(caller)
    assert got == [b"hello"]
    assert b"expect" not in origin.visit_for(target).head


def test_it_means_nothing_in_http_1_0_and_what_else_is_expected_is_refused(
    edge: Gateway, origin: HostileOrigin
) -> None:
    arrived = threading.Event()

    def play(visit: Visit) -> None:
        arrived.set()
        visit.take_body()
        visit.say(echo(b"ten"))

    origin.play = play
    head = b"POST /calls/bad/x HTTP/%b\r\nhost: gateway\r\ncontent-length: 5\r\nexpect: %b\r\n\r\n"
    with Caller(edge.port) as caller:
        caller.say(head % (b"1.0", b"100-continue"))
        assert arrived.wait(PATIENCE_SECONDS)
        caller.say(b"hello")
        assert caller.read().body == b"ten"
    before = origin.count(b"/calls/bad/x")
    for expectation in (b"200-ok", b"100-continue, 200-ok", b""):
        with Caller(edge.port) as caller:
            caller.say(head % (b"1.1", expectation) + SMUGGLED)
            assert caller.read().status == 400
            assert caller.ended()
    assert origin.count(b"/calls/bad/x") == before
    assert origin.count(b"/smuggled") == 0


def test_nothing_is_left_over(edge: Gateway) -> None:
    assert edge.metric("gateway_requests_in_flight") == 0
    assert edge.metric("gateway_upstream_connections", state="active") == 0
    assert [line for line in edge.lines if "Traceback" in line] == []
