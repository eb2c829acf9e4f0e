"""One line per call, whatever is in it."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from gateway.observer.access_log import entry, json_line, text_line
from gateway.observer.masking import Masking, MaskSettings
from gateway.record import NO_ROUTE
from tests.observer.support import ROUTE, TRACE_ID, make_attempt, make_call


def test_a_call_as_json() -> None:
    line = json_line(
        make_call(
            query="page=2&token=s3cret", attempts=[tuple(make_attempt(1, 2, 503)), tuple(make_attempt(3, 5))]
        )
    )
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.000Z",
        "trace_id": TRACE_ID,
        "method": "GET",
        "path": "/aurora/games?page=2&token=REDACTED",
        "route": "aurora-games",
        "consumer": "platform",
        "client": "203.0.113.9",
        "status": 200,
        "upstream": "aurora",
        "target": "http://127.0.0.1:9201",
        "duration_ms": 6.0,
        "upstream_ms": 3.0,
        "request_bytes": 0,
        "response_bytes": 270,
        "retries": 1,
        "outcome": "complete",
    }


def test_the_written_line_is_the_entry() -> None:
    for call in (
        make_call(cache="hit", attempts=[]),
        make_call(NO_ROUTE, status=404, code="ROUTE_NOT_FOUND"),
    ):
        assert json.loads(json_line(call)) == entry(call)


def test_a_call_as_text() -> None:
    assert text_line(make_call(cache="miss")) == (
        "2023-11-14T22:13:20.000Z 203.0.113.9 GET /aurora/games 200 6.0ms (upstream 4.0ms) "
        f"route=aurora-games consumer=platform target=http://127.0.0.1:9201 cache=miss trace={TRACE_ID}\n"
    )
    left = make_call(NO_ROUTE, status=0, outcome="cancelled", attempts=[tuple(make_attempt())] * 2)
    assert " 0 cancelled 6.0ms " in text_line(left)
    assert " retries=1 trace=" in text_line(left)


HOSTILE = '/a\r\n{"status":200}\x1b]0;owned\x07\x9b31m\x7f\u202e\u2028'


@given(st.text() | st.just(HOSTILE), st.text())
def test_nothing_forges_a_line_or_steers_a_terminal(path: str, agent: str) -> None:
    call = make_call(path=path, client=agent, consumer=agent)
    for line in (json_line(call), text_line(call)):
        assert line.endswith("\n")
        assert line[:-1].isprintable()
    assert json.loads(json_line(call)).get("path", "") == path


def test_no_line_holds_a_secret() -> None:
    call = make_call(query="hash=s3cret&a=1", target="/x?api_key=s3cret")
    assert "s3cret" not in json_line(call) + text_line(call)


def test_no_line_holds_a_persons_data() -> None:
    route = ROUTE._replace(template="/players/:nickname/:token")
    call = make_call(route, path="/players/bob/s3cret", query="email=bob@x.example&to=bob%40x.example&page=2")
    masking = Masking(MaskSettings(attributes=("client.address",)))
    shown = "/players/MASKED/REDACTED?email=MASKED&to=MASKED&page=2"
    assert json.loads(json_line(call, masking)) == entry(call, masking)
    assert entry(call)["path"] == entry(call, masking)["path"] == shown
    assert entry(call, masking)["client"] == "MASKED"
    assert f" MASKED GET {shown} 200" in text_line(call, masking)


def test_calls_of_a_kind_differ_in_what_is_their_own() -> None:
    first, second = (
        make_call(),
        make_call(trace_id="c" * 32, path="/x", client="192.0.2.1", ended_ns=9_123_456),
    )
    for call in (first, second, first):
        assert json.loads(json_line(call)) == entry(call)
