"""The vocabulary of errors is complete and consistent."""

from __future__ import annotations

import pickle

import pytest

from gateway.errors import CODES, UPSTREAM_CODES, GatewayError, Refused, Sent, UpstreamError

OWN = """BAD_REQUEST 400, UNAUTHENTICATED 401, REPLAYED 401, FORBIDDEN 403, IP_NOT_ALLOWED 403,
    HTTPS_REQUIRED 403, ROUTE_NOT_FOUND 404, METHOD_NOT_ALLOWED 405, REQUEST_TIMEOUT 408, BODY_TOO_LARGE 413,
    URI_TOO_LONG 414,
    RATE_LIMITED 429, HEADERS_TOO_LARGE 431, INTERNAL 500, NOT_IMPLEMENTED 501, UPSTREAM_UNREACHABLE 502,
    UPSTREAM_INVALID 502, BUSY 503, CIRCUIT_OPEN 503, UPSTREAM_TIMEOUT 504"""


@pytest.mark.parametrize("promised", OWN.replace("\n", " ").split(","))
def test_the_gateways_own_codes_have_the_promised_status(promised: str) -> None:
    code, status = promised.split()
    assert CODES[code].status == int(status)


def test_every_code_has_a_status_and_a_title() -> None:
    for code, meaning in CODES.items():
        assert code == code.upper()
        assert 200 <= meaning.status <= 599
        assert meaning.title[0].isupper()
        assert not meaning.title.endswith(".")
    assert len({meaning.title for meaning in CODES.values()}) == len(CODES)


def test_waiting_helps_where_the_status_says_so() -> None:
    for code, meaning in CODES.items():
        if meaning.status in (408, 429, 503, 504):
            assert meaning.temporary, code
        if meaning.temporary:
            assert meaning.status in (408, 429, 502, 503, 504), code


def test_upstream_codes_are_codes() -> None:
    assert CODES.keys() >= UPSTREAM_CODES


def test_errors_carry_facts() -> None:
    refusal = Refused("BUSY", "full", headers=((b"x-a", b"1"),), retry_after=2)
    assert (refusal.code, refusal.detail, refusal.headers, refusal.retry_after) == (
        "BUSY",
        "full",
        ((b"x-a", b"1"),),
        2,
    )
    failure = UpstreamError("UPSTREAM_TIMEOUT", "late", sent=Sent.UNKNOWN, reason="response_timeout")
    assert (failure.code, failure.sent, failure.reason) == ("UPSTREAM_TIMEOUT", "unknown", "response_timeout")
    assert isinstance(refusal, GatewayError)
    assert isinstance(failure, GatewayError)
    assert not isinstance(failure, Refused)
    assert pickle.loads(pickle.dumps(Refused("BUSY", "full"))).code == "BUSY"


def test_as_text_an_error_is_its_code_and_what_happened() -> None:
    assert str(Refused("BUSY")) == "BUSY"
    assert str(Refused("BUSY", "too many connections")) == "BUSY: too many connections"
    error = UpstreamError("UPSTREAM_INVALID", "The upstream broke off its answer", sent=Sent.YES)
    assert str(error) == "UPSTREAM_INVALID: The upstream broke off its answer"
