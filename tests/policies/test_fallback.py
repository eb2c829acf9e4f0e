from __future__ import annotations

import asyncio
import json

import pytest
from pydantic import ValidationError

from gateway.errors import Native, Refused, Sent, UpstreamError
from gateway.exchange import Attempt, Outcome, Response
from gateway.policies.fallback import FallbackConfig
from gateway.services import RouteFacts
from gateway.stream import Stream
from tests.support import Upstream, make_exchange, make_services

STATIC = {"respond": {"status": 200, "json": {"games": []}}}


def unreachable(sent: Sent = Sent.NO) -> UpstreamError:
    return UpstreamError("UPSTREAM_UNREACHABLE", "refused", sent=sent, reason="refused")


def build(services=None, **fields):
    return FallbackConfig.model_validate(fields).build(services or make_services())


async def test_a_static_answer_stands_in_and_says_so():
    exchange, services = make_exchange(), make_services()
    exchange.code, exchange.native = "TEMPORARY", Native("1", "", 500)
    response = await build(services, **STATIC)(exchange, Upstream(unreachable()))
    assert (response.status, json.loads(response.body)) == (200, {"games": []})
    assert response.headers == [(b"content-type", b"application/json"), (b"x-gateway-fallback", b"static")]
    assert exchange.decisions == [("fallback", "static", "UPSTREAM_UNREACHABLE")]
    assert exchange.attributes == {
        "gateway.fallback": "static",
        "gateway.fallback.reason": "UPSTREAM_UNREACHABLE",
    }
    assert (exchange.code, exchange.native) == ("", None)
    [sample] = services.metrics.snapshot()
    assert sample[4] == [(("route", "unreachable", "static"), 1)]


@pytest.mark.parametrize(
    ("failure", "when"),
    [
        (unreachable(), "unreachable"),
        (UpstreamError("UPSTREAM_TIMEOUT", "", sent=Sent.YES), "timeout"),
        (UpstreamError("UPSTREAM_INVALID", "", sent=Sent.YES), "invalid"),
        (Refused("CIRCUIT_OPEN"), "circuit_open"),
        (Refused("BUSY"), "busy"),
        (Response(503), "server_error"),
    ],
)
async def test_only_the_failures_named_count(failure, when):
    response = await build(when=[when], **STATIC)(make_exchange(), Upstream(failure))
    assert response.status == 200
    other = "busy" if when != "busy" else "timeout"
    if isinstance(failure, Response):
        same = Response(503)
        assert await build(when=[other], **STATIC)(make_exchange(), Upstream(same)) is same
    else:
        with pytest.raises(type(failure)) as caught:
            await build(when=[other], **STATIC)(make_exchange(), Upstream(failure))
        assert caught.value is failure


@pytest.mark.parametrize("code", ["UNAUTHENTICATED", "RATE_LIMITED", "IP_NOT_ALLOWED"])
async def test_refusals_of_the_caller_stand(code):
    with pytest.raises(Refused, match=code):
        await build(when=["busy", "circuit_open", "timeout"], **STATIC)(
            make_exchange(), Upstream(Refused(code))
        )


async def test_a_failed_answer_that_is_replaced_is_given_up():
    failed = Response(502, [], Stream())
    response = await build(**STATIC)(make_exchange(), Upstream(failed))
    assert response.status == 200
    assert failed.ended is Outcome.DISCARDED


async def test_answers_that_are_no_failures_pass():
    for answer in (Response(404), Response(200)):
        assert await build(**STATIC)(make_exchange(), Upstream(answer)) is answer
    final = Response(502)
    final.kind = "final"  # the provider meant it
    assert await build(**STATIC)(make_exchange(), Upstream(final)) is final


async def test_a_stale_answer_comes_first():
    def failing(exchange):
        assert exchange.stale_seconds == 86400
        exchange.stale = Response(200, [], b"old")
        raise unreachable()

    exchange = make_exchange()
    response = await build(stale="1d", **STATIC)(exchange, Upstream(failing))
    assert response.body == b"old"
    assert response.header(b"x-gateway-fallback") == b"stale"
    assert exchange.cache_status == "stale"


async def test_the_longest_stale_time_around_a_cache_stands():
    exchange = make_exchange()
    exchange.stale_seconds = 10.0
    with pytest.raises(UpstreamError):
        await build(stale="5s")(exchange, Upstream(unreachable()))
    assert exchange.stale_seconds == 10.0


async def test_the_other_upstream_gets_the_call_as_it_was_here():
    other = Upstream(Response(200, [], b"other"))

    def failing(exchange):
        exchange.set_header(b"authorization", b"the first provider's")
        exchange.headers.append((b"x-more", b"1"))
        exchange.target, exchange.body = "/rewritten", b""
        exchange.admit_target = lambda _: False
        raise unreachable(Sent.UNKNOWN)

    exchange = make_exchange(headers=[(b"accept", b"*/*")], body=b"x")
    exchange.target = "/games"
    response = await build(make_services(upstreams={"spare": other}), upstream="spare")(
        exchange, Upstream(failing)
    )
    assert response.body == b"other"
    assert response.header(b"x-gateway-fallback") == b"upstream"
    [seen] = other.seen
    assert (seen.headers, seen.target, seen.body, seen.admit_target) == (
        [(b"accept", b"*/*")],
        "/games",
        b"x",
        None,
    )


@pytest.mark.parametrize(
    ("sent", "before", "asked"),
    [
        (Sent.NO, None, True),
        (Sent.NO, Sent.NO, True),
        (Sent.NO, Sent.UNKNOWN, False),
        (Sent.UNKNOWN, None, False),
    ],
)
async def test_an_unsafe_call_goes_elsewhere_only_if_nothing_was_sent(sent, before, asked):
    other = Upstream()
    exchange = make_exchange("POST", body=b"bet")
    if before is not None:
        exchange.attempts.append(Attempt("http://127.0.0.1:1", "1", 1))
        exchange.attempts[0].sent = before
    policy = build(make_services(upstreams={"spare": other}), upstream="spare")
    if asked:
        assert (await policy(exchange, Upstream(unreachable(sent)))).body == b"ok"
    else:
        with pytest.raises(UpstreamError):
            await policy(exchange, Upstream(unreachable(sent)))
    assert other.calls == asked


async def test_a_body_too_large_to_keep_is_not_replayed():
    body = Stream()
    body.feed(bytes(70_000))
    body.end()
    other = Upstream()
    policy = build(make_services(upstreams={"spare": other}), upstream="spare")
    with pytest.raises(UpstreamError):
        await policy(make_exchange("PUT", body=body), Upstream(unreachable()))
    assert other.calls == 0


async def test_a_caller_that_leaves_while_the_other_upstream_thinks_frees_the_first_answer():
    async def never(_exchange):
        await asyncio.Event().wait()

    failed = Response(500, [], Stream())
    policy = build(make_services(upstreams={"spare": never}), upstream="spare")
    call = asyncio.ensure_future(policy(make_exchange(), Upstream(failed)))
    await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert failed.ended is Outcome.DISCARDED
    assert failed.body.closed


@pytest.mark.parametrize("second", [unreachable(), Refused("BUSY"), Response(500)])
async def test_where_the_other_upstream_fails_too_the_static_answer_is_left(second):
    services = make_services(upstreams={"spare": Upstream(second)})
    response = await build(services, upstream="spare", **STATIC)(make_exchange(), Upstream(unreachable()))
    assert response.header(b"x-gateway-fallback") == b"static"
    with pytest.raises(UpstreamError, match="refused"):
        await build(services, upstream="spare")(make_exchange(), Upstream(unreachable()))


@pytest.mark.parametrize("failure", [unreachable(), Refused("CIRCUIT_OPEN"), Response(503)])
async def test_shadow_says_it_would_answer_and_does_not(failure):
    exchange = make_exchange()
    services = make_services(upstreams={"spare": Upstream()})
    policy = build(services, mode="shadow", stale="1d", upstream="spare", **STATIC)
    if isinstance(failure, Response):
        assert await policy(exchange, Upstream(failure)) is failure
    else:
        with pytest.raises(type(failure)):
            await policy(exchange, Upstream(failure))
    assert [decision[:2] for decision in exchange.decisions] == [("fallback", "would_answer")]
    assert exchange.stale_seconds == 0


async def test_what_static_answers_may_hold():
    def encoded(**respond):
        return FallbackConfig.model_validate({"respond": respond}).respond.encode()

    assert encoded(text="hi") == ([(b"content-type", b"text/plain; charset=utf-8")], b"hi")
    assert encoded(json=None) == ([(b"content-type", b"application/json")], b"null")
    assert encoded(status=204) == ([], b"")
    assert encoded(text="<a/>", headers={"Content-Type": "text/xml", "X-A": "1"}) == (
        [(b"content-type", b"text/xml"), (b"x-a", b"1")],
        b"<a/>",
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "nothing to fall back to"),
        ({"respond": {"json": 1, "text": "a"}}, "keep one of them"),
        ({"respond": {"status": 204, "text": "a"}}, "has no body"),
        ({"respond": {"status": 100}}, "greater than or equal to 200"),
        ({"respond": {"headers": {"x a": "1"}}}, "not a header name"),
        ({"respond": {"headers": {"ä": "1"}}}, "not a header name"),
        ({"respond": {"headers": {"Content-Length": "1"}}}, "written by the gateway"),
        ({"respond": {"headers": {"x-a": "1\r\nx: y"}}}, "printable ASCII"),
        ({"when": [], **STATIC}, "at least 1"),
        ({"when": ["sometimes"], **STATIC}, "Input should be"),
    ],
)
def test_what_yaml_must_not_say(fields, message):
    with pytest.raises(ValidationError, match=message):
        FallbackConfig.model_validate(fields)


def test_the_routes_own_upstream_is_no_fallback():
    upstream = Upstream()
    services = make_services(route=RouteFacts("games", "aurora"), upstreams={"aurora": upstream})
    with pytest.raises(ValueError, match="route's own upstream"):
        FallbackConfig.model_validate({"upstream": "aurora"}).build(services)


@pytest.mark.parametrize(
    ("respond", "wanted"),
    [
        ({"status": 503}, b"1"),
        ({"status": 429}, b"1"),
        ({"status": 503, "headers": {"Retry-After": "30"}}, b"30"),
        ({"status": 200}, None),
    ],
)
def test_a_static_answer_that_asks_to_wait_says_how_long(respond, wanted):
    headers, _ = FallbackConfig.model_validate({"respond": respond}).respond.encode()
    assert dict(headers).get(b"retry-after") == wanted


def test_an_unknown_upstream_is_refused_at_load():
    with pytest.raises(ValueError, match="no upstream is named 'spar': did you mean 'spare'"):
        build(make_services(upstreams={"spare": Upstream()}), upstream="spar")


async def test_it_says_itself():
    assert FallbackConfig.model_validate({"when": ["busy"], **STATIC}).describe() == (
        "on busy answers with a static 200"
    )
    assert FallbackConfig.model_validate({"when": ["busy"], "stale": "1h"}).describe() == (
        "on busy answers with a cached answer up to 1h stale"
    )
    config = FallbackConfig.model_validate(
        {"when": ["timeout"], "stale": "1d", "upstream": "spare", **STATIC}
    )
    sentence = (
        "on timeout answers with a cached answer up to 1d stale, else from upstream spare,"
        " else with a static 200"
    )
    assert config.describe() == sentence
    assert await config.foresee(make_exchange(), make_services()) == f"passes it on, and {sentence}"
