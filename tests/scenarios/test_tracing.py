"""Every call is one complete trace at the collector, also with failures, retries and a stop right behind."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.observer.support import Receiver
from tests.scenarios.running import Gateway, gateway
from tests.scenarios.scripted import Request, ScriptedOrigin, answer, call_all

CALLS = 10_000
CONNECTIONS = 32
PLATFORM_KEY, WRONG_KEY = "canary-platform-key", "canary-wrong-key"
CANARY = b"canary"
"""Part of every secret that callers and origin send: no exported byte may hold it."""
STATE = "aurora@casino=t61rcWkgMzE,other=1"

CONFIG = """
    version: 1
    consumers:
      platform: {credentials: [{api_key: canary-platform-key}]}
    providers:
      aurora: {upstream: aurora}
    upstreams:
      aurora: {targets: [{url: ORIGIN}]}
    routes:
      - {name: plain, match: {methods: [GET, POST], path: /plain/*}, upstream: aurora, policies: [known]}
      - {name: keyed, match: {methods: [GET], path: /keyed/*}, upstream: aurora, policies: [keyed]}
      - {name: flaky, match: {methods: [GET], path: /flaky/*}, upstream: aurora, policies: [known, again]}
      - {name: reset, match: {methods: [POST], path: /reset/*}, upstream: aurora, policies: [known, again]}
      - name: mapped
        match: {methods: [GET], path: /mapped/*}
        provider: aurora
        upstream: aurora
        policies: [known, {error_codes: {codes: {G404: GAME_UNAVAILABLE}}}]
      - name: cached
        match: {methods: [GET], path: /cached}
        upstream: aurora
        policies: [known, {cache: {}}]
    telemetry: {traces: {endpoint: RECEIVER}}
"""
LISTS = {
    "known": "- authentication: {accept: [api_key]}",
    "keyed": "- authentication: {accept: [{api_key: {query: k}}]}",
    "again": "- retry: {attempts: 2, budget: 100%, backoff: {base: 1ms, max: 1ms}}",
}


class Kind(NamedTuple):
    """One sort of call, and what its trace must say."""

    method: str
    path: str
    status: int
    attempts: tuple[int, ...]
    """Statuses of the attempts; 0 for one without an answer."""
    route: str
    code: str = ""
    key: str = PLATFORM_KEY


KINDS = (
    Kind("GET", "/plain/{n}?token=canary-token&page=2", 200, (200,), "plain"),
    Kind("POST", "/plain/{n}", 200, (200,), "plain"),
    Kind("GET", "/keyed/{n}?k=canary-platform-key", 200, (200,), "keyed"),
    Kind("GET", "/keyed/{n}?k=canary-wrong-key", 401, (), "keyed", "UNAUTHENTICATED"),
    Kind("GET", "/flaky/{n}", 200, (503, 200), "flaky"),
    Kind("POST", "/reset/{n}", 502, (0,), "reset", "UPSTREAM_UNREACHABLE"),
    Kind("GET", "/mapped/{n}", 404, (404,), "mapped", "GAME_UNAVAILABLE"),
    Kind("GET", "/plain/{n}", 401, (), "plain", "UNAUTHENTICATED", WRONG_KEY),
    Kind("GET", "/nowhere/{n}", 404, (), "", "ROUTE_NOT_FOUND"),
    Kind("GET", "/cached", 200, (), "cached"),
)


def trace_id_of(number: int) -> str:
    return f"{number + 1:032x}"


def parent_of(number: int) -> str:
    return f"{number + 7_000_000:016x}"


def is_continued(number: int) -> bool:
    """Every other ten calls come with a trace of their own, so that each kind does both."""
    return number // len(KINDS) % 2 == 1


def request(number: int) -> bytes:
    kind = KINDS[number % len(KINDS)]
    lines = [
        f"{kind.method} {kind.path.format(n=number)} HTTP/1.1",
        "host: gateway.example",
        f"user-agent: call-{number}",
        "authorization: Bearer canary-bearer",
        "cookie: session=canary-cookie",
    ]
    if "?k=" not in kind.path:
        lines.append(f"x-api-key: {kind.key}")
    if is_continued(number):
        lines += [f"traceparent: 00-{trace_id_of(number)}-{parent_of(number)}-01", f"tracestate: {STATE}"]
    body = b""
    if kind.method == "POST":
        body = b'{"pin": "canary-pin"}'
        lines += ["content-type: application/json", f"content-length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Script:
    """What the origin answers, by the path it is asked for."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    def __call__(self, request: Request) -> bytes:
        path = request.line.split()[1]
        if path.startswith("/reset/"):
            return b""
        if path.startswith("/mapped/"):
            return answer(404, b'{"code": "G404", "message": "no such game"}')
        if path == "/cached":
            return answer(200, b"[]", "cache-control: max-age=600")
        self.asked[path] += 1
        if path.startswith("/flaky/") and self.asked[path] == 1:
            return answer(503)
        return answer(200, b'{"secret": "canary-answer"}', "set-cookie: session=canary-cookie")


class Run(NamedTuple):
    """Everything that is left of 10,000 calls."""

    answers: dict[int, tuple[int, bytes]]
    seen: list[Request]
    receiver: Receiver
    running: Gateway
    metrics: str
    dropped: float


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    with Receiver() as receiver, ScriptedOrigin(Script()) as origin:
        config = CONFIG.replace("ORIGIN", origin.url).replace("RECEIVER", receiver.endpoint)
        with gateway(config, LISTS) as running:
            warm = call_all(
                running.port, [request(len(KINDS) - 1)], 1
            )  # the cached answer is fetched by one call
            assert warm[0][0] == 200
            answers = call_all(running.port, [request(number) for number in range(CALLS)], CONNECTIONS)
            metrics = running.ask("/metrics").text
            dropped = running.metric("gateway_records_dropped_total")
            # The gateway is stopped right behind the last answer: what is still on its way must arrive.
        yield Run(answers, origin.seen, receiver, running, metrics, dropped)


class Trace:
    """The spans of one call."""

    def __init__(self, spans: list[Span]) -> None:
        (self.server,) = [span for span in spans if span.kind == Span.SPAN_KIND_SERVER]
        self.clients = sorted(
            (span for span in spans if span.kind == Span.SPAN_KIND_CLIENT),
            key=lambda span: span.start_time_unix_nano,
        )
        self.policies = [span for span in spans if span.kind == Span.SPAN_KIND_INTERNAL]
        assert 1 + len(self.clients) + len(self.policies) == len(spans)
        self.about = attributes(self.server)


def attributes(span: Span) -> dict[str, Any]:
    return {item.key: getattr(item.value, str(item.value.WhichOneof("value"))) for item in span.attributes}


@pytest.fixture(scope="module")
def traces(run: Run) -> dict[int, Trace]:
    """Number of the call → its trace. The one that filled the cache is -1."""
    spans: dict[bytes, list[Span]] = {}
    for span in run.receiver.spans:
        spans.setdefault(span.trace_id, []).append(span)
    found: dict[int, Trace] = {}
    filler = min(spans.values(), key=lambda group: min(span.start_time_unix_nano for span in group))
    for group in spans.values():
        trace = Trace(group)
        number = -1 if group is filler else int(trace.about["user_agent.original"].removeprefix("call-"))
        assert number not in found
        found[number] = trace
    return found


def test_every_call_is_answered_as_its_kind_is(run: Run) -> None:
    assert sorted(run.answers) == list(range(CALLS))
    wrong = {n: a for n, a in run.answers.items() if a[0] != KINDS[n % len(KINDS)].status}
    assert not wrong
    assert run.dropped == 0


def test_exactly_one_complete_trace_for_each_call(run: Run, traces: dict[int, Trace]) -> None:
    assert sorted(traces) == list(range(-1, CALLS))
    ids = [span.span_id for span in run.receiver.spans]
    assert len(set(ids)) == len(ids)
    for number in range(CALLS):
        kind, trace = KINDS[number % len(KINDS)], traces[number]
        assert len(trace.clients) == len(kind.attempts), (number, trace.clients)
        statuses = [attributes(span).get("http.response.status_code", 0) for span in trace.clients]
        assert tuple(statuses) == kind.attempts
        for span in (*trace.clients, *trace.policies):
            assert span.parent_span_id == trace.server.span_id
            assert span.trace_id == trace.server.trace_id
            assert trace.server.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        resends = [attributes(span).get("http.request.resend_count", 0) for span in trace.clients]
        assert resends == list(range(len(trace.clients)))


def test_each_says_who_called_what_and_how_it_went(traces: dict[int, Trace]) -> None:
    for number in range(CALLS):
        kind, about = KINDS[number % len(KINDS)], traces[number].about
        assert about["http.request.method"] == kind.method
        assert about["http.response.status_code"] == kind.status
        assert about["url.path"] == kind.path.partition("?")[0].format(n=number)
        assert about.get("gateway.route", "") == kind.route
        assert about.get("gateway.error.code", "") == kind.code
        assert about["gateway.outcome"] == "complete"
        if kind.route:
            assert about["gateway.upstream"] == "aurora"
        assert about.get("gateway.consumer") == ("platform" if kind.status != 401 and kind.route else None)
        assert about.get("gateway.retries", 0) == max(0, len(kind.attempts) - 1)
        assert about.get("gateway.cache") == ("hit" if kind.route == "cached" else None)
        assert about.get("gateway.native.code") == ("G404" if kind.route == "mapped" else None)
        assert (traces[number].server.status.code == 2) == (kind.status >= 500)


def test_traces_are_continued_and_carried_on(run: Run, traces: dict[int, Trace]) -> None:
    received: dict[str, list[str]] = {}
    for seen in run.seen:
        version, trace_id, span_id, flags = seen.headers["traceparent"].split("-")
        assert (version, flags) == ("00", "01")
        received.setdefault(trace_id, []).append(span_id)
        continued = int(trace_id, 16) <= CALLS
        assert seen.headers.get("tracestate") == (STATE if continued else None)
        assert "x-api-key" not in seen.headers
        assert "?k=" not in seen.line
    for number, trace in traces.items():
        server = trace.server
        if number >= 0 and is_continued(number):
            assert (server.trace_id.hex(), server.parent_span_id.hex()) == (
                trace_id_of(number),
                parent_of(number),
            )
            assert server.trace_state == STATE
        else:
            assert server.parent_span_id == b""
            assert server.trace_state == ""
        assert all(span.trace_state == server.trace_state for span in trace.clients)
        # What the origin was told is the CLIENT span's own id: a trace goes on below it.
        assert received.get(server.trace_id.hex(), []) == [span.span_id.hex() for span in trace.clients]


def test_the_problem_tells_the_trace(run: Run, traces: dict[int, Trace]) -> None:
    for number, (status, body) in run.answers.items():
        if status >= 400:
            assert json.loads(body)["trace_id"] == traces[number].server.trace_id.hex()


def test_no_secret_leaves(run: Run) -> None:
    for exported in run.receiver.requests:
        assert CANARY not in exported.SerializeToString()
    log = [line for line in run.running.lines if '"trace_id"' in line]
    assert len(log) == CALLS + 1, "the access log has a line for each call"
    assert not [line for line in run.running.lines if CANARY.decode() in line]
    assert CANARY.decode() not in run.metrics
