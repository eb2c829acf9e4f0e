"""HTTPS only: who is refused, who is sent on and where to, and what answers bear."""

from __future__ import annotations

import pytest

from gateway.errors import Refused, Sent, UpstreamError
from gateway.exchange import Exchange, Response
from gateway.https import hsts, https_only, https_url, with_hsts
from tests.support import Upstream, make_exchange

FIELD = (b"strict-transport-security", b"max-age=60")


def location(exchange: Exchange, *, redirect: bool = True, port: int = 443) -> str:
    refusal = https_only(exchange, "games", redirect=redirect, port=port)
    assert (refusal.code, refusal.detail) == ("HTTPS_REQUIRED", "route games takes HTTPS only")
    assert (refusal.status == 308) == bool(refusal.headers)
    return dict(refusal.headers).get(b"location", b"").decode()


@pytest.mark.parametrize(
    ("authority", "port", "url"),
    [
        ("games.example", 443, "https://games.example/a%20b?x=1"),
        ("games.example:8080", 443, "https://games.example/a%20b?x=1"),
        ("games.example:8080", 8443, "https://games.example:8443/a%20b?x=1"),
        ("[::1]", 443, "https://[::1]/a%20b?x=1"),
        ("[::1]:80", 8443, "https://[::1]:8443/a%20b?x=1"),
    ],
)
def test_the_same_place_over_https(authority: str, port: int, url: str) -> None:
    asked = make_exchange(path="/a%20b", query="x=1", authority=authority)
    assert location(asked, port=port) == https_url(asked, port) == url


def test_without_a_query() -> None:
    assert location(make_exchange("HEAD", "/", authority="a")) == "https://a/"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_what_may_carry_a_body_is_refused(method: str) -> None:
    assert location(make_exchange(method, authority="a")) == ""


def test_who_is_not_redirected() -> None:
    assert location(make_exchange(authority="a"), redirect=False) == ""
    assert location(make_exchange()) == "", "there is no host to redirect to"
    upgrade = make_exchange(authority="a")
    upgrade.upgrade = True
    assert location(upgrade) == ""


def test_how_it_is_written() -> None:
    assert hsts(31_536_000.0, include_subdomains=False) == b"max-age=31536000"
    assert hsts(0.0, include_subdomains=True) == b"max-age=0; includeSubDomains"


async def test_answers_bear_it_once() -> None:
    upstream = Upstream(Response(200, [(FIELD[0], b"max-age=1"), (b"x", b"y")], b"ok"))
    answer = await with_hsts(upstream, FIELD[1])(make_exchange())
    assert answer.headers == [(b"x", b"y"), FIELD]


@pytest.mark.parametrize(
    "error",
    [
        Refused("RATE_LIMITED", headers=((b"a", b"b"),)),
        UpstreamError("UPSTREAM_TIMEOUT", "late", sent=Sent.YES),
    ],
)
async def test_refusals_bear_it_once(error: Refused | UpstreamError) -> None:
    before = error.headers
    for _ in range(2):  # a fetch that several calls share fails with one error
        with pytest.raises(type(error)):
            await with_hsts(Upstream(error), FIELD[1])(make_exchange())
        assert error.headers == (*before, FIELD)


async def test_a_gate_that_refuses_at_once_is_no_exception() -> None:
    def gate(exchange: Exchange) -> Response:
        raise Refused("FORBIDDEN")

    with pytest.raises(Refused) as caught:
        await with_hsts(gate, FIELD[1])(make_exchange())  # type: ignore[arg-type]
    assert caught.value.headers == (FIELD,)
