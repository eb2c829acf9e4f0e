"""Family 28: redirects are passed on, never followed; no proxy is taken from the environment."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import pytest

from tests.edge.attacks.caller import Caller
from tests.edge.attacks.hostile import HostileOrigin, Visit, hostile_origin
from tests.scenarios.running import Gateway, eventually, gateway

pytestmark = pytest.mark.attack(28)

ORIGIN = hostile_origin
CONFIG = """
    version: 1
    upstreams:
      origin:
        targets: [{{url: "http://127.0.0.1:{port}"}}]
        health: {{path: /health, every: 50ms, timeout: 5s}}
    routes:
      - {{name: calls, match: {{methods: [GET, POST], path: /calls/*}}, upstream: origin}}
      - name: tokens
        match: {{methods: [GET], path: /tokens/*}}
        upstream: origin
        policies:
          - upstream_auth:
              oauth2_client_credentials:
                token_url: "http://127.0.0.1:{port}/bad/token"
                client_id: gateway
                client_secret: secret
    telemetry: {{traces: {{endpoint: "http://127.0.0.1:{port}/bad/traces"}}}}
"""
LOCATIONS = (
    b"http://127.0.0.1:TRAP/",
    b"//127.0.0.1:TRAP/",
    b"http://user:pass@127.0.0.1:TRAP/",
    b"http://localhost:TRAP/",
    b"http://169.254.169.254/latest/meta-data/",
    b"http://[::ffff:127.0.0.1]:TRAP/",
    b"http://127.1:TRAP/",
    b"http://2130706433:TRAP/",
    b"file:///etc/passwd",
    b"gopher://127.0.0.1:TRAP/_",
    b"/calls/bad/again",
    b"",
)


@pytest.fixture(scope="module")
def trap() -> Iterator[HostileOrigin]:
    """Where nobody may ever connect to."""
    with hostile_origin() as trap:
        yield trap


@pytest.fixture(scope="module")
def edge(origin: HostileOrigin, trap: HostileOrigin) -> Iterator[Gateway]:
    proxy = f"http://127.0.0.1:{trap.port}"
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "FTP_PROXY")
    environ = {name: proxy for upper in names for name in (upper, upper.lower())}
    environ |= {"NO_PROXY": "", "no_proxy": "", "OTEL_BSP_SCHEDULE_DELAY": "50"}
    with gateway(CONFIG.format(port=origin.port), environ=environ) as running:
        yield running


@pytest.mark.parametrize("location", LOCATIONS, ids=[location.decode() or "none" for location in LOCATIONS])
@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_a_redirect_is_passed_on(
    location: bytes, method: bytes, edge: Gateway, origin: HostileOrigin, trap: HostileOrigin
) -> None:
    location = location.replace(b"TRAP", b"%d" % trap.port)
    field = b"location: %b\r\n" % location if location else b""
    with Caller(edge.port) as caller:
        for status in (301, 302, 303, 305, 307, 308):
            answer = b"HTTP/1.1 %d X\r\n%brefresh: 0; url=%b\r\ncontent-length: 2\r\n\r\nno"
            said = answer % (status, field, location)

            def play(visit: Visit, said: bytes = said) -> None:
                visit.take_body()
                visit.say(said)

            origin.play = play
            target = b"/calls/bad/" + uuid.uuid4().hex.encode()
            caller.ask(target, method, body=b"x" if method == b"POST" else b"")
            told = caller.read()
            assert (told.status, told.value(b"location"), told.body) == (status, location, b"no")
            assert origin.count(target) == 1
    assert trap.visits == []
    assert origin.count(b"/calls/bad/again") == 0


def test_no_proxy_is_taken_from_the_environment(
    edge: Gateway, origin: HostileOrigin, trap: HostileOrigin
) -> None:
    """Not for calls, nor for what the gateway asks on its own account: probes, tokens, the collector."""

    def play(visit: Visit) -> None:
        body = b""
        if visit.targets[-1] == b"/bad/token":
            body = json.dumps({"access_token": "t0ken", "token_type": "Bearer", "expires_in": 3600}).encode()
        visit.say(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        visit.stop()

    origin.play = play
    with Caller(edge.port) as caller:
        for target in (b"/calls/good/" + uuid.uuid4().hex.encode(), b"/tokens/good"):
            caller.ask(target)
            told = caller.read()
            assert (told.status, told.body) == (200, target)
    assert origin.count(b"/bad/token") == 1
    eventually(lambda: origin.count(b"/health") > 1)
    eventually(lambda: origin.count(b"/bad/traces") > 0)
    assert trap.visits == []
