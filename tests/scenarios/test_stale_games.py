"""A provider goes down and comes back: fallback, cache, timeout and error codes in one chain."""

from __future__ import annotations

import json

import pytest

from gateway.chain import chain
from gateway.errors import Sent, UpstreamError
from gateway.exchange import Response
from gateway.policies import POLICIES
from gateway.services import RouteFacts
from tests.support import make_exchange, make_services


class Provider:
    """Answers, fails, or is not there."""

    def __init__(self) -> None:
        self.state, self.calls = "up", 0

    async def __call__(self, exchange):
        self.calls += 1
        if self.state == "gone":
            raise UpstreamError("UPSTREAM_UNREACHABLE", "refused", sent=Sent.NO, reason="refused")
        if self.state == "broken":
            return Response(200, [(b"content-type", b"application/json")], b'{"code": "E_DB", "text": "db"}')
        return Response(200, [(b"content-type", b"application/json")], b'{"games": [1]}')


@pytest.fixture
def provider():
    return Provider()


@pytest.fixture
def services():
    return make_services(route=RouteFacts("games", "aurora", "aurora"))


@pytest.fixture
def call(provider, services):
    policies = [
        {"fallback": {"stale": "1d", "respond": {"json": {"games": []}}}},
        {"cache": {"ttl": "1m"}},
        {"timeout": {"total": "3s"}},
        {"error_codes": {"code": "/code", "message": "/text", "codes": {"E_DB": "TEMPORARY"}}},
    ]
    configs = [
        POLICIES[name].model_validate(fields) for policy in policies for name, fields in policy.items()
    ]
    forward = chain([(config, config.build(services)) for config in configs], provider)

    async def call(target="/games"):
        exchange = make_exchange()
        exchange.target = target
        return await forward(exchange), exchange

    return call


@pytest.mark.parametrize("outage", ["gone", "broken"])
async def test_stale_games_are_served_until_the_provider_is_back(call, provider, services, outage):
    response, exchange = await call()
    assert (response.body, exchange.cache_status) == (b'{"games": [1]}', "miss")
    provider.state = outage
    _, exchange = await call()
    assert exchange.cache_status == "hit"
    services.clock.advance(3600)
    response, exchange = await call()
    assert (response.status, response.body, exchange.cache_status) == (200, b'{"games": [1]}', "stale")
    assert response.header(b"x-gateway-fallback") == b"stale"
    assert (exchange.code, exchange.native) == ("", None)
    response, _ = await call("/never-seen")
    assert json.loads(response.body) == {"games": []}
    assert response.header(b"x-gateway-fallback") == b"static"
    provider.state = "up"
    response, exchange = await call()
    assert exchange.cache_status == "miss"
    assert response.header(b"x-gateway-fallback") is None
    services.clock.advance(2 * 86400)
    provider.state = outage
    response, _ = await call()
    assert response.header(b"x-gateway-fallback") == b"static"
