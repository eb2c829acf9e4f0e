"""Introspection: asked once, remembered briefly, never guessed."""

import asyncio
import base64

import pytest

from gateway.errors import Refused
from gateway.tokens import InvalidCredential
from gateway.tokens.introspection import IntrospectionAccept, Introspector
from tests.tokens.issuer import NOW


def make(issuer, services, /, **fields):
    settings = {
        "url": issuer.url + "/introspect",
        "client_id": "gate way",
        "client_secret": "s:cret",
        **fields,
    }
    return Introspector(IntrospectionAccept.model_validate(settings), services)


async def ask(introspector, token=b"opaque"):
    return introspector.recall(token) or await introspector.ask(token, token)


async def test_an_active_token_is_asked_about_once_per_ttl(issuer, services):
    issuer.body = {"active": True, "client_id": "aurora"}
    introspector = make(issuer, services)
    for _ in range(3):
        assert (await ask(introspector))["client_id"] == "aurora"
    assert len(issuer.asked) == 1
    path, form, authorization = issuer.asked[0]
    assert path == "/introspect"
    assert form == {"token": "opaque", "token_type_hint": "access_token"}
    assert base64.b64decode(authorization.split()[1]) == b"gate+way:s%3Acret"  # RFC 6749 §2.3.1
    services.clock.advance(31)
    await ask(introspector)
    assert len(issuer.asked) == 2
    assert repr(introspector) == "<Introspector 1 known, 0 under way>"
    assert "s:cret" not in repr(introspector.settings)


async def test_we_may_prove_ourselves_in_the_form(issuer, services):
    issuer.body = {"active": True}
    await ask(make(issuer, services, client_auth="body"))
    _, form, authorization = issuer.asked[0]
    assert (form["client_id"], form["client_secret"], authorization) == ("gate way", "s:cret", "")


async def test_an_inactive_token_is_refused_and_remembered_briefly(issuer, services):
    issuer.body = {"active": False, "exp": NOW - 100}
    introspector = make(issuer, services)
    for _ in range(3):
        with pytest.raises(InvalidCredential, match="not active"):
            await ask(introspector)
    assert len(issuer.asked) == 1
    services.clock.advance(5)
    issuer.body = {"active": True}
    assert await ask(introspector)


async def test_no_memory_outlives_the_token(issuer, services):
    issuer.body = {"active": True, "exp": NOW + 10}
    introspector = make(issuer, services)
    await ask(introspector)
    services.clock.advance(10)
    with pytest.raises(InvalidCredential):
        await ask(introspector)
    assert len(issuer.asked) == 2


@pytest.mark.parametrize(
    "answer",
    [
        {"exp": NOW},
        {"nbf": NOW + 1},
        {"exp": "later"},
        {"exp": True},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"aud": "else"},
        {"aud": None},
    ],
)
async def test_active_for_another_time_or_place(issuer, services, answer):
    introspector = make(issuer, services, issuer="https://id.example", audience=["gateway"])
    issuer.body = {"active": True, "iss": "https://id.example", "aud": ["gateway"], **answer}
    with pytest.raises(InvalidCredential):
        await ask(introspector)


async def test_active_here_and_now(issuer, services):
    introspector = make(issuer, services, issuer="https://id.example", audience=["gateway"])
    issuer.body = {
        "active": True,
        "iss": "https://id.example",
        "aud": ["gateway"],
        "exp": NOW + 1,
        "nbf": NOW,
    }
    assert await ask(introspector)


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (500, {"active": True}, "UPSTREAM_UNREACHABLE"),
        (401, {"error": "invalid_client"}, "UPSTREAM_INVALID"),
        (302, {"active": True}, "UPSTREAM_INVALID"),
        (200, b"<html>", "UPSTREAM_INVALID"),
        (200, b"[" * 100_000, "UPSTREAM_INVALID"),
        (200, {"active": "true"}, "UPSTREAM_INVALID"),
        (200, {}, "UPSTREAM_INVALID"),
        (200, b"[]", "UPSTREAM_INVALID"),
    ],
)
async def test_no_answer_about_the_token_says_nothing_about_it(issuer, services, status, body, code):
    issuer.status, issuer.body = status, body
    introspector = make(issuer, services)
    with pytest.raises(Refused) as caught:
        await ask(introspector)
    assert caught.value.code == code
    issuer.status, issuer.body = 200, {"active": True}
    assert await ask(introspector)  # and nothing was remembered


async def test_a_silent_endpoint(services):
    class Nowhere:
        url = "http://127.0.0.1:1"

    with pytest.raises(Refused, match="UPSTREAM_UNREACHABLE"):
        await ask(make(Nowhere, services))


async def test_many_ask_about_one_token_and_one_goes(issuer, services):
    issuer.body = {"active": True, "sub": "a"}
    introspector = make(issuer, services)
    answers = await asyncio.gather(*(ask(introspector) for _ in range(1000)))
    assert all(answer["sub"] == "a" for answer in answers)
    assert len(issuer.asked) == 1


async def test_a_flood_of_made_up_tokens_stops_here(issuer, services):
    issuer.body = {"active": False}
    issuer.hold = asyncio.Event()
    introspector = make(issuer, services, max_in_flight=3)
    asking = [asyncio.create_task(ask(introspector, b"%d" % number)) for number in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Refused, match="BUSY"):
        await ask(introspector, b"one more")
    same = asyncio.create_task(ask(introspector, b"0"))  # shares a question that is under way
    await asyncio.sleep(0)
    issuer.hold.set()
    results = await asyncio.gather(*asking, same, return_exceptions=True)
    assert all(isinstance(result, InvalidCredential) for result in results)
    assert len(issuer.asked) == 3
