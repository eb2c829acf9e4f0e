"""Only callers from listed networks pass."""

import pytest
from pydantic import ValidationError

from gateway.chain import chain
from gateway.consumers import Consumer
from gateway.errors import Refused
from gateway.networks import parse_network
from gateway.policies.ip_allow_list import IpAllowListConfig
from gateway.services import RouteFacts
from tests.support import Upstream, make_exchange, make_services

AURORA = Consumer("aurora", "provider", (parse_network("203.0.113.0/24"), parse_network("2001:db8::/32")))
ANYWHERE = Consumer("platform")


def config(**fields):
    return IpAllowListConfig.model_validate(fields)


def services(provider="aurora"):
    consumers = {"aurora": AURORA, "platform": ANYWHERE}
    return make_services(consumers=consumers, route=RouteFacts("wallet", "platform", provider))


async def call(policy, client, consumer=None):
    exchange, upstream = make_exchange(client=client), Upstream()
    exchange.consumer = consumer
    await policy(exchange, upstream)
    assert upstream.calls == 1


@pytest.mark.parametrize(
    ("client", "passes"),
    [
        ("10.1.2.3", True),
        ("11.1.2.3", False),
        ("2001:db8::7", True),
        ("2001:db9::7", False),
        ("::ffff:10.1.2.3", True),
        ("", False),
    ],
)
async def test_listed_networks_pass(client, passes):
    policy = config(networks=["10.0.0.0/8", "2001:db8::/32"]).build(services())
    if passes:
        await call(policy, client)
    else:
        with pytest.raises(Refused) as caught:
            await call(policy, client)
        assert caught.value.code == "IP_NOT_ALLOWED"


async def test_no_header_says_where_a_call_comes_from():
    policy = config(networks=["10.0.0.0/8"]).build(services())
    exchange = make_exchange(
        client="192.0.2.1", headers=[(b"x-forwarded-for", b"10.0.0.1"), (b"x-real-ip", b"10.0.0.1")]
    )
    with pytest.raises(Refused, match=r"192\.0\.2\.1"):
        policy(exchange, Upstream())


async def test_networks_of_the_routes_provider():
    policy = config(**{"from": "provider"}).build(services())
    await call(policy, "203.0.113.9")
    with pytest.raises(Refused):
        await call(policy, "203.0.114.9")


@pytest.mark.parametrize(
    ("provider", "message"), [("", "give route .* a provider"), ("borealis", "give route .* a provider")]
)
def test_a_route_without_provider_cannot_be_built(provider, message):
    with pytest.raises(ValueError, match=message):
        config(**{"from": "provider"}).build(services(provider))


def test_a_provider_without_networks_cannot_be_built():
    with pytest.raises(ValueError, match="has no networks"):
        config(**{"from": "provider"}).build(services("platform"))


async def test_networks_of_the_consumer():
    policy = config(**{"from": "consumer"}).build(services())
    await call(policy, "203.0.113.9", AURORA)
    await call(policy, "198.51.100.1", ANYWHERE)
    with pytest.raises(Refused, match=r"198\.51\.100\.1"):
        await call(policy, "198.51.100.1", AURORA)
    with pytest.raises(Refused, match="unknown"):
        await call(policy, "203.0.113.9")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"networks": []},
        {"networks": ["10.0.0.0/8"], "from": "provider"},
        {"from": "header"},
        {"networks": ["x"]},
    ],
)
def test_what_makes_no_sense_is_refused(fields):
    with pytest.raises(ValidationError):
        config(**fields)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"networks": ["10.0.0.0/8"]}, "lets in callers from 10.0.0.0/8"),
        ({"networks": ["10.0.0.0/8", "::1"]}, "lets in callers from 10.0.0.0/8 and ::1/128"),
        ({"networks": [f"10.0.{i}.0/24" for i in range(200)]}, "lets in callers from 200 networks"),
        ({"from": "provider"}, "lets in callers from the networks of the route's provider"),
        ({"from": "consumer"}, "lets in callers from the networks of the consumer they proved to be"),
    ],
)
def test_it_says_what_it_does(fields, sentence):
    assert config(**fields).describe() == sentence


async def test_explain_foresees_it():
    allow = config(networks=["10.0.0.0/8"])
    assert await allow.foresee(make_exchange(client="10.0.0.1"), services()) == "passes 10.0.0.1"
    with pytest.raises(Refused):
        await allow.foresee(make_exchange(client="11.0.0.1"), services())


async def test_in_shadow_it_records_and_lets_pass():
    shadow = config(networks=["10.0.0.0/8"], mode="shadow")
    upstream, built = Upstream(), services()
    exchange = make_exchange(client="11.0.0.1")
    await chain([(shadow, shadow.build(built))], upstream)(exchange)
    assert upstream.calls == 1
    assert exchange.decisions == [("ip_allow_list", "would_refuse", "IP_NOT_ALLOWED")]
    assert built.metrics.counter("gateway_ip_refused_total", "", ()).values == {("wallet", "shadow"): 1}
