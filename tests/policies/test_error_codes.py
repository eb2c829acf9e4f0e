from __future__ import annotations

import gzip
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.errors import CODES, Native
from gateway.exchange import Outcome, Response
from gateway.policies.error_codes import ErrorCodesConfig, kind_of
from gateway.services import RouteFacts
from gateway.stream import Stream
from tests.support import Upstream, make_exchange, make_services

RULES = {
    "code": "/error/code",
    "message": "/error/text",
    "statuses": {404: "GAME_UNAVAILABLE"},
    "codes": {"NO_SUCH_GAME": "GAME_UNAVAILABLE", 1001: "INSUFFICIENT_FUNDS", "AGAIN": "DUPLICATE_OK"},
    "both": [{"status": 400, "code": "X", "as": "MAINTENANCE"}],
}


def answer(status, document, headers=(), *, stream=False):
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    body = data
    if stream:
        body = Stream()
        body.feed(data)
        body.end()
    return Response(status, [(b"content-type", b"application/json"), *headers], body)


async def run(rules, response, method="GET", services=None):
    exchange = make_exchange(method)
    exchange.trace_id = "ab" * 16
    services = services or make_services(route=RouteFacts(provider="aurora"))
    policy = ErrorCodesConfig.model_validate(rules).build(services)
    return await policy(exchange, Upstream(response)), exchange


def error(code, text="says why"):
    return {"error": {"code": code, "text": text}}


@pytest.mark.parametrize(
    ("status", "native", "code", "kind", "retryable"),
    [
        (404, "NO_SUCH_GAME", "GAME_UNAVAILABLE", "business", False),
        (200, "NO_SUCH_GAME", "GAME_UNAVAILABLE", "business", False),
        (200, 1001, "INSUFFICIENT_FUNDS", "business", False),
        (404, "OTHER", "GAME_UNAVAILABLE", "business", False),
        (400, "X", "MAINTENANCE", "temporary", True),
        (401, "X", "FINAL", "final", False),
        (200, "X", "FINAL", "final", False),
        (500, "X", "TEMPORARY", "temporary", True),
        (429, "X", "TEMPORARY", "temporary", True),
        (408, "X", "TEMPORARY", "temporary", True),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_errors_are_told_in_canonical_codes(status, native, code, kind, retryable, stream):  # noqa: PLR0917
    original = answer(status, error(native), stream=stream)
    response, exchange = await run(RULES, original)
    problem = json.loads(response.body)
    assert response.header(b"content-type") == b"application/problem+json"
    assert response.status == problem["status"] == CODES[code].status
    assert (problem["code"], problem["retryable"], problem["provider"]) == (code, retryable, "aurora")
    assert problem["native"] == {"code": str(native), "message": "says why", "status": status}
    assert (problem["detail"], problem["trace_id"]) == ("says why", "ab" * 16)
    assert (response.kind, response.code, exchange.code) == (kind, code, code)
    assert exchange.native == Native(str(native), "says why", status)
    assert original.ended is Outcome.DISCARDED
    assert exchange.decisions == [("error_codes", "mapped", f"{native} is {code}")]


@pytest.mark.parametrize("native", ["0", 0, "OK", "", None])
async def test_success_passes_with_the_same_bytes(native):
    original = answer(200, error(native))
    body = original.body
    response, exchange = await run(RULES, original)
    assert response is original
    assert response.body is body
    assert (response.kind, response.code, exchange.code, exchange.decisions) == ("ok", "", "", [])


async def test_a_code_may_mean_that_it_was_done_before():
    response, _ = await run(RULES, answer(409, error("AGAIN")))
    assert (response.status, response.kind, response.code) == (409, "ok", "DUPLICATE_OK")


async def test_success_forgets_what_an_attempt_before_said():
    for rules in (RULES, {}):
        exchange = make_exchange()
        exchange.code, exchange.native = "TEMPORARY", Native("1", "", 500)
        await ErrorCodesConfig.model_validate(rules).build(make_services())(
            exchange, Upstream(answer(200, {}))
        )
        assert (exchange.code, exchange.native) == ("", None)


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, [(b"content-type", b"text/event-stream")]),
        (200, [(b"content-type", b"application/octet-stream")]),
        (204, []),
        (304, []),
        (302, []),
    ],
)
async def test_what_cannot_hold_a_code_is_not_read(status, headers):
    body = Stream()
    response, _ = await run(RULES, Response(status, headers, body))
    assert response.body is body
    assert response.kind == "ok"


@pytest.mark.parametrize("media", [b"text/html", b"application/hal+json", None])
async def test_json_is_read_under_any_textual_name(media):
    headers = [] if media is None else [(b"content-type", media)]
    response, _ = await run(RULES, Response(200, headers, json.dumps(error("NO_SUCH_GAME")).encode()))
    assert response.code == "GAME_UNAVAILABLE"


async def test_an_upgraded_connection_is_not_read():
    class Tunnel:
        received = Stream()

        def close(self): ...

    response = answer(200, error("NO_SUCH_GAME"))
    response.tunnel = Tunnel()
    assert (await run(RULES, response))[0] is response


async def test_without_rules_error_bodies_are_read_at_the_usual_places():
    for document, native in [
        ({"error": {"code": "A", "message": "m"}}, Native("A", "m", 500)),
        ({"code": 7, "message": "m"}, Native("7", "m", 500)),
        ({"error": "oops"}, Native("oops", "oops", 500)),
        ({"errorCode": 1.5, "detail": "d"}, Native("1.5", "d", 500)),
        ({"error": True}, Native("", "", 500)),
        ([1], Native("", "", 500)),
    ]:
        response, exchange = await run({}, answer(500, document))
        assert (response.code, exchange.native) == ("TEMPORARY", native)
    response, _ = await run({}, answer(200, {"code": "A"}))
    assert (response.status, response.kind) == (200, "ok")


async def test_pointers_reach_into_lists_and_odd_names():
    document = {"a/b": [{"~c": "E1"}]}
    for pointer, found in [("/a~1b/0/~0c", "E1"), ("/a~1b/1/~0c", ""), ("/a~1b/x", ""), ("", "")]:
        _, exchange = await run({"code": pointer}, answer(500, document))
        assert exchange.native.code == found


@pytest.mark.parametrize(
    ("body", "encoding", "found"),
    [
        (gzip.compress(json.dumps(error("E")).encode(), mtime=0), b"gzip", "E"),
        (zlib.compress(json.dumps(error("E")).encode()), b"deflate", "E"),
        (json.dumps(error("E")).encode(), b"identity", "E"),
        (json.dumps(error("E")).encode(), b"br", ""),
        (gzip.compress(json.dumps(error("E", "x" * 10_000_000)).encode(), mtime=0), b"gzip", ""),  # a bomb
        (b"not gzip", b"gzip", ""),
        (b"<html>", b"", ""),
        (b"", b"", ""),
        (b"[" * 60_000, b"", ""),
        (json.dumps(error("E", "x" * 70_000)).encode(), b"", ""),
    ],
)
async def test_bodies_that_cannot_be_read_leave_the_status(body, encoding, found):
    headers = [(b"content-encoding", encoding)] if encoding else []
    response, exchange = await run({"code": "/error/code"}, answer(502, body, headers))
    assert (response.code, exchange.native.code) == ("TEMPORARY", found)


async def test_a_large_success_passes_whole():
    document = error("NO_SUCH_GAME", "x" * 70_000)
    response, _ = await run(RULES, answer(200, document, stream=True))
    assert response.kind == "ok"
    data, complete = await response.body.read_up_to(1 << 20)
    assert (json.loads(data), complete) == (document, True)


async def test_the_head_of_an_error_is_enough():
    response, _ = await run(RULES, Response(404, [(b"content-length", b"99")]), "HEAD")
    assert response.code == "GAME_UNAVAILABLE"


async def test_half_a_surrogate_pair_can_be_told():
    response, _ = await run(RULES, answer(400, b'{"error": {"code": "\\ud800", "text": "\\udfff"}}'))
    assert json.loads(response.body)["native"]["code"] == "?"


@pytest.mark.parametrize(
    ("method", "status", "retryable"), [("GET", 500, True), ("POST", 500, False), ("POST", 429, True)]
)
async def test_repeating_is_advised_only_where_it_cannot_apply_twice(method, status, retryable):
    response, _ = await run({}, answer(status, {}), method)
    assert json.loads(response.body)["retryable"] is retryable


async def test_without_a_provider_none_is_named():
    services = make_services(route=RouteFacts(upstream="backend"))
    response, exchange = await run(
        {"codes": {"E": "SESSION_INVALID"}}, answer(404, {"code": "E"}), services=services
    )
    told = json.loads(response.body)
    assert "provider" not in told
    assert told["native"] == {"code": "E", "message": "", "status": 404}
    assert exchange.native is not None
    assert response.header(b"www-authenticate") == b'Provider realm="gateway"'
    assert b"backend" not in response.body


@pytest.mark.parametrize(("wait", "told"), [(b"7", b"7"), (b"soon", None), (b"9" * 20, None)])
async def test_the_provider_says_how_long_to_wait(wait, told):
    response, _ = await run({}, answer(500, {}, [(b"retry-after", wait)]))
    assert response.header(b"retry-after") == told


async def test_gaps_are_counted_in_a_bounded_set():
    services = make_services(route=RouteFacts(upstream="aurora"))
    for number in range(250):
        await run({}, answer(500, {"code": f"E{number}"}), services=services)
    await run({}, answer(500, {"code": "E0"}), services=services)
    await run({}, answer(500, {}), services=services)
    [(name, _, _, labels, values)] = services.metrics.snapshot()
    assert (name, labels) == ("gateway_unmapped_errors_total", ("provider", "native_code"))
    counts = dict(values)
    assert counts["aurora", "E0"] == 2
    assert counts["aurora", "other"] == 51
    assert len(counts) == 201


async def test_a_code_that_would_steer_a_terminal_is_counted_escaped():
    services = make_services(route=RouteFacts(upstream="aurora"))
    await run({}, answer(500, {"code": "\x1b[2J\nforged \u202e"}), services=services)
    [(_, _, _, _, values)] = services.metrics.snapshot()
    assert [labels[1] for labels, _ in values] == [r"\x1b[2J\nforged \u202e"]


async def test_a_code_that_names_somebody_is_masked_where_it_is_counted():
    services = make_services(route=RouteFacts(upstream="aurora"))
    await run({}, answer(500, {"code": "no such player: jon@x.example"}), services=services)
    [(*_, values)] = services.metrics.snapshot()
    assert dict(values) == {("aurora", "no such player: MASKED"): 1}


async def test_shadow_says_what_it_would_answer():
    original = answer(404, error("NO_SUCH_GAME"))
    response, exchange = await run({**RULES, "mode": "shadow"}, original)
    assert response is original
    assert exchange.decisions == [("error_codes", "would_answer", "GAME_UNAVAILABLE")]
    assert (exchange.code, response.kind) == ("", "final")
    for success in (answer(200, error("0")), answer(304, b"")):
        response, exchange = await run({**RULES, "mode": "shadow"}, success)
        assert exchange.decisions == []


def test_every_code_has_a_kind():
    assert {kind_of(code) for code in CODES} == {"ok", "business", "temporary", "final"}
    assert kind_of("DUPLICATE_OK") == "ok"
    assert kind_of("LIMIT_LOSS") == "business"
    assert kind_of("SIGNATURE_INVALID") == "final"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"code": "error/code"}, "not a JSON pointer"),
        ({"message": "/a~2"}, "not a JSON pointer"),
        ({"codes": {"1": "NO_SUCH"}}, "not a canonical code"),
        ({"codes": 5}, "valid dictionary"),
        ({"statuses": {99: "FINAL"}}, "greater than or equal to 100"),
        ({"ok": [True]}, "valid string"),
    ],
)
def test_what_yaml_must_not_say(fields, message):
    with pytest.raises(ValidationError, match=message):
        ErrorCodesConfig.model_validate(fields)


@given(st.integers(100, 599), st.text(max_size=5))
async def test_every_status_and_code_gets_exactly_one_meaning(status, native):
    response, exchange = await run(RULES, answer(status, error(native)))
    if response.kind == "ok":
        assert exchange.code == ""
    else:
        assert response.code in CODES
        assert response.kind == kind_of(response.code)


async def test_it_says_itself():
    sentence = (
        "tells the provider's errors in canonical codes, by 5 rules over status and /error/code of the body"
    )
    assert ErrorCodesConfig.model_validate(RULES).describe() == sentence
    assert "the usual places" in ErrorCodesConfig().describe()
    foreseen = await ErrorCodesConfig().foresee(make_exchange(), make_services())
    assert foreseen.startswith("passes it on, and reads")
