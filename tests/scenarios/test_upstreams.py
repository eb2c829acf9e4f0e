"""What stands behind the gateway: HTTP/2 servers, private certificates, targets that go and come back."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trustme

from tests.scenarios.running import Gateway, gateway
from tests.upstream.origins import Visit, ok, origin
from tests.upstream.test_http2 import App, http2
from tests.upstream.test_tls import server_context

CONFIG = """
    version: 1
    upstreams:
      origin:
        targets: {targets}
        {more}
    routes:
      - name: games
        match: {{methods: [GET, POST], path: /games}}
        upstream: origin
        policies: [{{timeout: {{total: 10s}}}}]
"""


def config(*urls: str, more: str = "") -> str:
    return CONFIG.format(targets=[{"url": url} for url in urls], more=more)


def client_of(running: Gateway) -> httpx.AsyncClient:
    return httpx.AsyncClient(trust_env=False, base_url=running.url, timeout=30)


@asynccontextmanager
async def calling(running: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    async with asyncio.timeout(60), client_of(running) as client:
        yield client


@pytest.mark.parametrize("secure", [False, True], ids=["with prior knowledge", "negotiated"])
async def test_http2(secure: bool, tmp_path: Path) -> None:
    authority, app = trustme.CA(), App()
    certificate = authority.issue_cert("127.0.0.1") if secure else None
    files = {"tls/ca.pem": authority.cert_pem.bytes()}
    tls = "tls: {ca: tls/ca.pem}" if secure else ""
    async with http2(app, certificate=certificate, path=tmp_path) as url:
        with gateway(config(url, more=f"http2: true\n        {tls}"), files=files) as running:
            async with calling(running) as client:
                calls = [client.post("/games", content=b"%d" % number) for number in range(50)]
                answers = await asyncio.gather(*calls)
            assert [(a.status_code, a.text) for a in answers] == [(200, str(n)) for n in range(50)]
            assert {scope["http_version"] for scope in app.scopes} == {"2"}
            assert len({scope["client"] for scope in app.scopes}) < 5, "calls share connections"


async def test_a_private_authority_is_the_only_one_trusted() -> None:
    ours, strangers = trustme.CA(), trustme.CA()
    files = {"tls/ca.pem": ours.cert_pem.bytes()}
    async with (
        origin(ok(b"ours"), context=server_context(ours, "127.0.0.1")) as good,
        origin(ok(b"evil"), context=server_context(strangers, "127.0.0.1")) as bad,
    ):
        for place, expected in ((good, 200), (bad, 502)):
            with gateway(config(place.url, more="tls: {ca: tls/ca.pem}"), files=files) as running:
                async with calling(running) as client:
                    answer = await client.get("/games")
                assert answer.status_code == expected
        assert answer.json()["code"] == "UPSTREAM_UNREACHABLE"
        assert bad.heads == []


class Target:
    """Answers calls with its name, probes with its state."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.well = True

    async def __call__(self, visit: Visit) -> None:
        while True:
            await visit.request()
            if b" /health " not in visit.origin.heads[-1]:
                await visit.say(ok(self.name))
            else:
                await visit.say(ok(status=b"200 OK" if self.well else b"503 Service Unavailable"))


HEALTH = "health: {path: /health, every: 50ms, timeout: 5s, unhealthy_after: 2}"


async def answered_by(client: httpx.AsyncClient, calls: int = 20) -> Counter[str]:
    answers = [await client.get("/games") for _ in range(calls)]
    assert all(answer.status_code == 200 for answer in answers)
    return Counter(answer.text for answer in answers)


async def wait_for_line(running: Gateway, wanted: str) -> None:
    """Beside the origins, which answer probes meanwhile."""
    await asyncio.to_thread(running.wait_for_line, wanted)


async def test_a_target_that_says_it_is_ill_is_left_alone_until_it_is_well() -> None:
    first, second = Target(b"first"), Target(b"second")
    async with origin(first) as one, origin(second) as two:
        with gateway(config(one.url, two.url, more=HEALTH)) as running:
            async with calling(running) as client:
                assert await answered_by(client) == {"first": 10, "second": 10}
                first.well = False
                await wait_for_line(running, f"target {one.url} is unhealthy")
                assert await answered_by(client) == {"second": 20}
                first.well = True
                await wait_for_line(running, f"target {one.url} is healthy")
                assert await answered_by(client) == {"first": 10, "second": 10}


async def test_a_target_that_is_gone_comes_back_at_its_old_address() -> None:
    async with origin(Target(b"second")) as two:
        async with origin(Target(b"first")) as one:
            port, url = one.port, one.url
            with_running = gateway(config(url, two.url, more=HEALTH))
            running = with_running.__enter__()
        try:
            await wait_for_line(running, f"target {url} is unhealthy")
            async with calling(running) as client:
                assert await answered_by(client) == {"second": 20}
                async with origin(Target(b"first again"), port=port):
                    await wait_for_line(running, f"target {url} is healthy")
                    assert await answered_by(client) == {"second": 10, "first again": 10}
        finally:
            with_running.__exit__(None, None, None)


async def test_a_retry_goes_to_another_target() -> None:
    """Nothing probes here: the calls themselves find out, and none of them fails."""
    retry = "policies: [{retry: {attempts: 1, budget: 100%}}, {timeout: {total: 10s}}]"
    async with origin(ok(b"second")) as two:
        async with origin(ok(b"first")) as one:
            dead = one.url
        text = config(dead, two.url, more="passive_health: {failures: 3, eject_for: 1h}")
        text = text.replace("policies: [{timeout: {total: 10s}}]", retry)
        with gateway(text) as running:
            async with calling(running) as client:
                assert await answered_by(client) == {"second": 20}
            refused = running.metric("gateway_upstream_attempts_total", target=dead.removeprefix("http://"))
            assert refused in {0, 3}, "after three failures in a row it is left alone"
