"""The form of every error is pinned."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from gateway.errors import CODES, UPSTREAM_CODES, Native, Refused, Sent, UpstreamError
from gateway.problem import problem, problem_of
from tests.support import make_exchange

FIELDS = ["type", "title", "status", "detail", "code", "retryable", "trace_id"]


def exchange(method: str = "GET"):
    made = make_exchange(method)
    made.trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    return made


@pytest.mark.parametrize("code", CODES)
def test_the_form(code: str) -> None:
    call = exchange()
    response = problem(call, code, retryable=True)
    told = json.loads(response.body)
    assert list(told) == FIELDS
    assert told == {
        "type": f"urn:provider-gateway:error:{code}",
        "title": CODES[code].title,
        "status": CODES[code].status,
        "detail": CODES[code].title,
        "code": code,
        "retryable": True,
        "trace_id": call.trace_id,
    }
    assert response.status == CODES[code].status
    assert response.header(b"content-type") == b"application/problem+json"
    assert (response.header(b"retry-after") is not None) == (response.status in (429, 503))
    assert (call.code, response.code) == (code, code)
    assert response.kind == ("temporary" if CODES[code].temporary else "final")


def test_a_providers_own_words_are_kept() -> None:
    call, native = exchange(), Native("G404", "kein Spiel „x“", 404)
    response = problem(call, "GAME_UNAVAILABLE", "no", retryable=False, provider="aurora", native=native)
    told = json.loads(response.body)
    assert list(told) == [*FIELDS, "provider", "native"]
    assert told["provider"] == "aurora"
    assert told["native"] == {"code": "G404", "message": "kein Spiel „x“", "status": 404}
    assert call.native is native
    nameless = problem(call, "GAME_UNAVAILABLE", "no", retryable=False, native=native)
    assert list(json.loads(nameless.body)) == [*FIELDS, "native"]


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.0, b"1"), (0.2, b"1"), (1.0, b"1"), (1.01, b"2"), (29.5, b"30")]
)
def test_retry_after_is_whole_seconds_rounded_up(seconds: float, told: bytes) -> None:
    response = problem_of(exchange(), Refused("CIRCUIT_OPEN", retry_after=seconds))
    assert response.header(b"retry-after") == told


def test_a_refusal_brings_its_headers() -> None:
    response = problem_of(
        exchange("POST"), Refused("METHOD_NOT_ALLOWED", "GET only", headers=((b"allow", b"GET"),))
    )
    assert response.header(b"allow") == b"GET"
    assert json.loads(response.body)["detail"] == "GET only"


def test_a_providers_401_and_405_carry_what_their_status_asks_for() -> None:
    call = exchange()
    said = Native("BAD_SESSION", "no such session", 200)
    response = problem(call, "SESSION_INVALID", retryable=False, provider="aurora", native=said)
    assert response.header(b"www-authenticate") == b'Provider realm="aurora"'
    assert problem(call, "METHOD_NOT_ALLOWED", retryable=False, native=said).header(b"allow") == b""
    call.route = SimpleNamespace(methods={"POST", "GET"})
    assert problem(call, "METHOD_NOT_ALLOWED", retryable=False, native=said).header(b"allow") == b"GET, POST"
    owed = ((b"www-authenticate", b"Basic"),)
    told = problem(call, "UNAUTHENTICATED", retryable=False, headers=owed).headers
    assert [value for name, value in told if name == b"www-authenticate"] == [b"Basic"]


@pytest.mark.parametrize("code", CODES)
def test_a_refused_call_may_be_repeated_where_waiting_helps(code: str) -> None:
    told = json.loads(problem_of(exchange("POST"), Refused(code)).body)
    assert told["retryable"] is CODES[code].temporary


@pytest.mark.parametrize("code", sorted(UPSTREAM_CODES))
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("sent", Sent)
def test_a_sent_bet_is_never_called_retryable(code: str, method: str, sent: Sent) -> None:
    told = json.loads(problem_of(exchange(method), UpstreamError(code, "x", sent=sent)).body)
    assert told["retryable"] is (method == "GET" or sent is Sent.NO)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_bug_is_told_without_its_words(method: str) -> None:
    response = problem_of(exchange(method), ZeroDivisionError("hunter2"))
    told = json.loads(response.body)
    assert (response.status, told["code"]) == (500, "INTERNAL")
    assert told["retryable"] is (method == "GET")
    assert b"hunter2" not in response.body


def test_a_refusal_may_say_where_to_ask_instead() -> None:
    there = Refused("HTTPS_REQUIRED", headers=((b"location", b"https://a/"),), status=308)
    response = problem_of(exchange(), there)
    told = json.loads(response.body)
    assert (response.status, told["status"], told["code"]) == (308, 308, "HTTPS_REQUIRED")
    assert response.header(b"location") == b"https://a/"
