"""Tokens issued to us: one fetch for everybody, early refreshes beside the calls."""

import asyncio
import base64

import pytest

from gateway.errors import Sent, UpstreamError
from gateway.tokens.client_credentials import ClientCredentials, TokenSource


def make(issuer, services, /, **fields):
    settings = {
        "token_url": issuer.url + "/token",
        "client_id": "gateway",
        "client_secret": "s3cret",
        **fields,
    }
    return TokenSource(ClientCredentials.model_validate(settings), services)


def issue(issuer, token, **more):
    issuer.body = {"access_token": token, "token_type": "Bearer", **more}


async def settle(source):
    while source._flights:
        await asyncio.sleep(0.002)


async def test_one_token_serves_until_it_ends(issuer, services):
    issue(issuer, "t1", expires_in=100)
    source = make(issuer, services, scope="games wallet", audience="aurora")
    assert source.current() is None
    assert repr(source) == "<TokenSource no token>"
    assert await source.fetch() == b"t1"
    assert source.current() == await source.fetch() == b"t1"
    assert repr(source) == "<TokenSource token for 100 s more>"
    ((path, form, authorization),) = issuer.asked
    assert path == "/token"
    assert form == {"grant_type": "client_credentials", "scope": "games wallet", "audience": "aurora"}
    assert base64.b64decode(authorization.split()[1]) == b"gateway:s3cret"
    issue(issuer, "t2", expires_in="100")
    services.clock.advance(100)
    assert source.current() is None
    assert await source.fetch() == b"t2"


async def test_an_ended_token_is_one_request_for_a_thousand_calls(issuer, services):
    issue(issuer, "t1", expires_in=60)
    source = make(issuer, services)
    await source.fetch()
    services.clock.advance(60)
    issue(issuer, "t2", expires_in=60)
    tokens = await asyncio.gather(*(source.fetch() for _ in range(1000)))
    assert set(tokens) == {b"t2"}
    assert len(issuer.asked) == 2


@pytest.mark.parametrize(("lifetime", "refreshed_at"), [(3600, 2880), (100, 70), (40, 20)])
async def test_it_is_refreshed_early_and_nobody_waits(issuer, services, lifetime, refreshed_at):
    issue(issuer, "t1", expires_in=lifetime)
    source = make(issuer, services)
    await source.fetch()
    services.clock.advance(refreshed_at - 1)
    assert source.current() == b"t1"
    assert not source._flights
    issue(issuer, "t2", expires_in=lifetime)
    services.clock.advance(1)
    assert source.current() == b"t1"
    await settle(source)
    assert source.current() == b"t2"
    assert len(issuer.asked) == 2


async def test_a_failed_refresh_leaves_the_old_token_and_is_tried_again_later(issuer, services):
    issue(issuer, "t1", expires_in=100)
    source = make(issuer, services)
    await source.fetch()
    issuer.status = 500
    services.clock.advance(70)
    for _ in range(5):
        assert source.current() == b"t1"
        await settle(source)
    assert len(issuer.asked) == 2
    issuer.status = 200
    issue(issuer, "t2")
    services.clock.advance(1)
    assert source.current() == b"t1"
    await settle(source)
    assert source.current() == b"t2"


async def test_we_may_prove_ourselves_in_the_form(issuer, services):
    issue(issuer, "t1")
    await make(issuer, services, client_auth="body").fetch()
    _, form, authorization = issuer.asked[0]
    assert (form["client_id"], form["client_secret"], authorization) == ("gateway", "s3cret", "")


@pytest.mark.parametrize("told", [None, "soon", 0, -5, "nan", "inf", [], "1e999"])
async def test_a_lifetime_that_makes_no_sense(issuer, services, told):
    issue(issuer, "t1", expires_in=told)
    source = make(issuer, services, lifetime="50s")
    await source.fetch()
    services.clock.advance(49)
    assert source.current() == b"t1"
    services.clock.advance(1)
    await settle(source)
    services.clock.advance(50)
    assert source.current() is None


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (400, {"error": "invalid_client"}, "it answered invalid_client"),
        (400, {"error": "bad\r\nthing"}, "it answered status 400"),
        (400, {"error": 7}, "it answered status 400"),
        (302, b"", "it answered status 302"),
        (200, b"oops", "no usable access_token"),
        (200, b"[" * 100_000, "no usable access_token"),
        (200, b"[]", "no usable access_token"),
        (200, {"access_token": "a\r\nx: y"}, "no usable access_token"),
        (200, {"access_token": ""}, "no usable access_token"),
        (200, {"access_token": "a", "token_type": "mac"}, "not of the type bearer"),
        (200, {"access_token": "a", "token_type": None}, "not of the type bearer"),
    ],
)
async def test_an_endpoint_that_issues_nothing(issuer, services, status, body, message):
    issuer.status, issuer.body = status, body
    source = make(issuer, services)
    with pytest.raises(UpstreamError, match=message) as caught:
        await source.fetch()
    assert (caught.value.code, caught.value.sent, caught.value.reason) == (
        "UPSTREAM_UNREACHABLE",
        Sent.NO,
        "token",
    )
    assert "s3cret" not in str(caught.value)
    with pytest.raises(UpstreamError, match="in vain"):
        await source.fetch()
    assert len(issuer.asked) == 1
    issuer.status = 200
    issue(issuer, "t1")
    services.clock.advance(1)
    assert await source.fetch() == b"t1"


async def test_a_refused_token_is_replaced_once_for_everybody(issuer, services):
    issue(issuer, "t1")
    source = make(issuer, services)
    refused = await source.fetch()
    issue(issuer, "t2")
    assert set(await asyncio.gather(*(source.replace(refused) for _ in range(100)))) == {b"t2"}
    assert await source.replace(refused) == b"t2"  # somebody was slow to notice
    assert len(issuer.asked) == 2


async def test_an_upstream_that_refuses_every_token_costs_one(issuer, services):
    issue(issuer, "t1")
    source = make(issuer, services)
    fresh = await source.replace(await source.fetch())
    assert fresh is None  # the endpoint issued the same one again
    issue(issuer, "t2")
    services.clock.advance(10)
    assert await source.replace(b"t1") == b"t2"
    for _ in range(5):
        assert await source.replace(b"t2") is None
    assert len(issuer.asked) == 3
    services.clock.advance(10)
    issue(issuer, "t3")
    assert await source.replace(b"t2") == b"t3"


async def test_no_fresh_token_is_no_reason_to_fail_differently(issuer, services):
    issue(issuer, "t1")
    source = make(issuer, services)
    await source.fetch()
    issuer.status = 500
    assert await source.replace(b"t1") is None


async def test_a_silent_endpoint(services):
    class Nowhere:
        url = "http://127.0.0.1:1"

    with pytest.raises(UpstreamError):
        await make(Nowhere, services).fetch()
