"""Which spans a call becomes, and what they say."""

from __future__ import annotations

import pytest

from gateway.observer import spans as spans_module
from gateway.observer.masking import Masking, MaskSettings
from gateway.observer.spans import Kind, Span, SpanMaker
from gateway.record import NO_ROUTE
from tests.observer.support import ANCHOR_NS, MS, ROUTE, SPAN_ID, TRACE_ID, make_attempt, make_call


def make(**more: object) -> list[Span]:
    return SpanMaker().spans(make_call(**more))


def test_a_plain_call_is_a_server_and_a_client_span() -> None:
    # retry hands on to the upstream at 1 ms: the only policy that took long
    server, client = make(marks=[0, 10_000, 1, 20_000], attempts=[tuple(make_attempt(0.05, 5))])
    assert (server.kind, server.name, server.span_id, server.parent_id) == (
        Kind.SERVER,
        "GET /aurora/games",
        SPAN_ID,
        "",
    )
    assert (server.start_ns, server.end_ns) == (ANCHOR_NS, ANCHOR_NS + 6 * MS)
    assert server.attributes == {
        "http.request.method": "GET",
        "url.path": "/aurora/games",
        "url.scheme": "http",
        "client.address": "203.0.113.9",
        "network.peer.address": "127.0.0.1",
        "network.protocol.version": "1.1",
        "server.address": "gateway.example",
        "server.port": 8080,
        "user_agent.original": "platform/1",
        "http.response.status_code": 200,
        "http.route": "/aurora/games",
        "gateway.route": "aurora-games",
        "gateway.upstream": "aurora",
        "gateway.provider": "aurora",
        "gateway.consumer": "platform",
        "gateway.credential": "api_key",
        "gateway.target": "http://127.0.0.1:9201",
        "gateway.upstream_ms": 4.95,
        "gateway.outcome": "complete",
        "gateway.request.bytes": 0,
        "gateway.response.bytes": 270,
        "gateway.worker": 0,
    }
    assert not server.error
    assert (client.kind, client.name, client.parent_id, client.trace_id) == (
        Kind.CLIENT,
        "GET",
        SPAN_ID,
        TRACE_ID,
    )
    assert client.attributes == {
        "http.request.method": "GET",
        "url.full": "http://127.0.0.1:9201/v1/games",
        "server.address": "127.0.0.1",
        "server.port": 9201,
        "gateway.target": "http://127.0.0.1:9201",
        "gateway.sent": "yes",
        "gateway.connection.reused": True,
        "gateway.request.bytes": 0,
        "gateway.response.bytes": 270,
        "gateway.upstream": "aurora",
        "gateway.connect_ms": 0.02,
        "gateway.first_byte_ms": 4.9,
        "http.response.status_code": 200,
    }


def test_every_attempt_is_a_client_span_and_tells_what_went_wrong() -> None:
    _, *clients = make(
        marks=[],
        attempts=[
            tuple(make_attempt(1, 2, 0, error="refused", connected_ns=0, head_ns=0, sent="no")),
            tuple(make_attempt(3, 4, 404, target="https://b.example")),
        ],
    )
    first, second = clients
    assert first.error
    assert first.attributes["error.type"] == "refused"
    assert "http.response.status_code" not in first.attributes
    assert "http.request.resend_count" not in first.attributes
    assert second.error
    assert second.attributes["error.type"] == "404"
    assert second.attributes["http.request.resend_count"] == 1
    assert second.attributes["server.port"] == 443


def test_policies_get_a_span_where_they_decided_or_took_long() -> None:
    marks = [0, 0, 1, 200_000, 2, 210_000, 3, 220_000, 3, 3_000_000]
    attempts = [tuple(make_attempt(0.3, 1)), tuple(make_attempt(3.05, 5, span_id="c" * 16))]
    found = make(
        marks=marks,
        attempts=attempts,
        decisions=[("retry", "retried", "503"), ("retry", "gave_up", ""), ("balancing", "skipped", "b")],
    )
    server, *policies = [span for span in found if span.kind is not Kind.CLIENT]
    assert server.name == "GET /aurora/games"
    assert [
        (span.name, span.start_ns - ANCHOR_NS, span.end_ns - ANCHOR_NS, span.attributes) for span in policies
    ] == [
        ("policy rate_limit", 0, 200_000, {"gateway.policy": "rate_limit"}),
        (
            "policy retry",
            220_000,
            300_000,
            {"gateway.policy": "retry", "gateway.decision": "retried, gave_up", "gateway.detail": "503"},
        ),
        (
            "policy balancing",
            0,
            0,
            {"gateway.policy": "balancing", "gateway.decision": "skipped", "gateway.detail": "b"},
        ),
    ]
    assert {span.kind for span in policies} == {Kind.INTERNAL}
    ids = [span.span_id for span in found]
    assert len(set(ids)) == len(ids)


def test_a_policy_that_answers_itself_lasts_to_the_end() -> None:
    _, policy = make(marks=[0, 10_000], attempts=[], decisions=[("rate_limit", "refused", "")], status=429)
    assert policy.end_ns == ANCHOR_NS + 6 * MS
    assert "gateway.detail" not in policy.attributes


def test_a_mark_beyond_the_known_policies_still_gets_a_span() -> None:
    _, policy = make(marks=[9, 10_000], attempts=[])
    assert policy.name == "policy 9"


@pytest.mark.parametrize(
    ("fields", "error", "kind"),
    [
        ({"status": 404, "code": "ROUTE_NOT_FOUND"}, False, None),
        ({"status": 502, "code": "UPSTREAM_INVALID"}, True, "UPSTREAM_INVALID"),
        ({"status": 500}, True, "500"),
        ({"status": 200, "outcome": "failed"}, True, "failed"),
        ({"status": 0, "outcome": "cancelled"}, False, "cancelled"),
    ],
)
def test_a_server_span_is_an_error_where_the_gateway_or_upstream_failed(
    fields: dict[str, object], error: bool, kind: str | None
) -> None:
    server = make(**fields)[0]
    assert server.error is error
    assert server.attributes.get("error.type") == kind


def test_what_nobody_knows_is_left_out() -> None:
    (server,) = SpanMaker().spans(
        make_call(
            NO_ROUTE, method="BREW", authority="", user_agent="", status=0, consumer="", attempts=[], marks=[]
        )
    )
    assert server.name == "HTTP"
    assert server.attributes["http.request.method"] == "_OTHER"
    assert server.attributes["http.request.method_original"] == "BREW"
    for missing in ("server.address", "user_agent.original", "http.response.status_code", "http.route"):
        assert missing not in server.attributes


def test_details_of_a_call_are_attributes() -> None:
    server = make(
        query="page=1&authToken=s3cret",
        cache="hit",
        code="FINAL",
        native_code="E7",
        native_status=400,
        parent_id="aaaaaaaaaaaaaaaa",
        attempts=[tuple(make_attempt()), tuple(make_attempt())],
        attributes={"breaker": "closed", "gateway.limit": 3, "route": "forged"},
    )[0]
    said = server.attributes
    assert said["url.query"] == "page=1&authToken=REDACTED"
    assert (said["gateway.cache"], said["gateway.error.code"]) == ("hit", "FINAL")
    assert (said["gateway.native.code"], said["gateway.native.status"]) == ("E7", 400)
    assert (said["gateway.breaker"], said["gateway.limit"], said["gateway.retries"]) == ("closed", 3, 1)
    assert said["gateway.route"] == "aurora-games"
    assert server.remote_parent


def test_queries_are_redacted_on_the_way_out_too() -> None:
    client = make(marks=[], target="/v1/games?hash=abc&page=1")[1]
    assert client.attributes["url.full"] == "http://127.0.0.1:9201/v1/games?hash=REDACTED&page=1"


def test_addresses_are_split_once_and_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans_module, "MEMO_LIMIT", 2)
    maker = SpanMaker()
    for authority, host, port in [("[::1]:8080", "::1", 8080), ("a", "a", 80), ("b:99999", "b:99999", None)]:
        said = maker.spans(make_call(authority=authority, attempts=[]))[0].attributes
        assert (said["server.address"], said.get("server.port")) == (host, port)
    assert len(maker._authorities) <= 2


def test_a_call_in_a_route_without_upstream_says_so_by_silence() -> None:
    call = make_call(make_call().route._replace(upstream="", provider=""), method="BREW", marks=[], attempts=[
        tuple(make_attempt(target="other:", status=0, head_ns=0))
    ])  # fmt: skip
    server, client = SpanMaker().spans(call)
    assert "gateway.upstream" not in server.attributes
    assert "gateway.upstream" not in client.attributes
    assert "server.port" not in client.attributes
    assert client.name == "HTTP"


def test_no_attribute_holds_a_secret_or_a_persons_data() -> None:
    route = ROUTE._replace(template="/p/:nickname/:sid")
    mail = "bob@x.example"
    spans = SpanMaker(Masking(MaskSettings(attributes=("client.address", "server.address")))).spans(
        make_call(
            route,
            path="/p/bob/s3cret",
            query=f"to={mail}&hash=s3cret",
            target=f"/v1/s3cret/x/bob?to={mail}",
            user_agent=f"bot/1 (+mailto:{mail}) 4111 1111 1111 1111",
            native_code=f"no such player {mail}",
            attributes={"note": f"of {mail}", "count": 3},
            decisions=[("error_codes", "mapped", f"{mail} is PLAYER_NOT_FOUND")],
        )
    )
    said = str(spans)
    assert "bob" not in said
    assert "s3cret" not in said
    assert "4111" not in said
    assert "203.0.113.9" not in said
    assert "gateway.example" not in said
    server = spans[0].attributes
    assert server["url.path"] == "/p/MASKED/REDACTED"
    assert server["url.query"] == "to=MASKED&hash=REDACTED"
    assert server["user_agent.original"] == "bot/1 (+mailto:MASKED) MASKED"
    assert (server["gateway.note"], server["gateway.count"]) == ("of MASKED", 3)
    assert spans[-1].attributes["url.full"] == "http://127.0.0.1:9201/v1/REDACTED/x/MASKED?to=MASKED"
