from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Refused
from gateway.exchange import Exchange
from gateway.stream import Stream
from gateway.upstream.request import announced_length, httpx_headers, request_head, target_of


def make(method: str = "GET", **more: object) -> Exchange:
    return Exchange(method=method, path="/games", authority="gateway.example", **more)  # type: ignore[arg-type]


def head(exchange: Exchange, *, length: int | None = 0, host: str = "a") -> list[str]:
    return (
        request_head(exchange, "0" * 16, prefix="", host=host, length=length).decode("latin-1").split("\r\n")
    )


def test_only_methods_with_a_body_announce_an_empty_one() -> None:
    assert "content-length: 0" in head(make("POST"))
    assert "content-length: 0" not in head(make("GET"))
    assert "content-length: 2" in head(make("DELETE"), length=2)
    assert "transfer-encoding: chunked" in head(make("GET"), length=None)


def test_an_upgrade_is_asked_for_anew() -> None:
    exchange = make(headers=[(b"connection", b"upgrade"), (b"upgrade", b"h2c"), (b"sec-websocket-key", b"x")])
    exchange.upgrade = True
    lines = head(exchange)
    assert "connection: Upgrade" in lines
    assert "upgrade: websocket" in lines
    assert "upgrade: h2c" not in lines
    assert "sec-websocket-key: x" in lines


def test_tracing_says_what_was_not_sampled() -> None:
    exchange = make(headers=[(b"tracestate", b"evil=1")])
    exchange.trace_id, exchange.sampled = "ab" * 16, False
    lines = head(exchange)
    assert f"traceparent: 00-{'ab' * 16}-{'0' * 16}-00" in lines
    assert not any("evil" in line for line in lines)


def test_where_it_goes() -> None:
    exchange = make(query="page=1")
    assert target_of(exchange, "/v1") == "/v1/games?page=1"
    exchange.query = ""
    assert target_of(exchange, "/v1") == "/v1/games"
    exchange.target = "/other?x"
    assert target_of(exchange, "/v1") == "/v1/other?x"


def test_how_long_the_body_is() -> None:
    assert announced_length(make(body=b"abc")) == 3
    assert announced_length(make(body=Stream())) is None
    assert announced_length(make(body=Stream(), headers=[(b"content-length", b"7")])) == 7
    assert announced_length(make(body=Stream(), headers=[(b"content-length", b"+7")])) is None


@pytest.mark.parametrize("evil", ["\r\n", "\n", "\r", "\0", "\r\n\r\nGET / HTTP/1.1\r\n"])
def test_nothing_ends_a_line_early(evil: str) -> None:
    for spoil in (
        make(headers=[(b"x", b"a" + evil.encode())]),
        make(headers=[(b"x" + evil.encode(), b"a")]),
        make(client="1" + evil),
        make(scheme="http" + evil),
    ):
        with pytest.raises(Refused):
            head(spoil)
    exchange = make()
    exchange.target = "/a" + evil
    with pytest.raises(Refused):
        head(exchange)
    exchange.target = "/a b"
    with pytest.raises(Refused):
        head(exchange)
    exchange = make("GE T")
    with pytest.raises(Refused):
        head(exchange)


@given(st.lists(st.tuples(st.binary(max_size=5), st.binary(max_size=5)), max_size=5), st.text(max_size=5))
def test_whatever_is_sent_is_one_request(headers: list[tuple[bytes, bytes]], target: str) -> None:
    exchange = make(headers=headers)
    exchange.target = "/" + target
    try:
        raw = request_head(exchange, "0" * 16, prefix="", host="a", length=0)
    except Refused:
        return
    assert raw.endswith(b"\r\n\r\n")
    assert raw.count(b"\r\n\r\n") == 1


@given(
    method=st.sampled_from(["GET", "POST"]),
    authority=st.sampled_from(["", "a.example:81"]),
    trace_id=st.sampled_from(["", "ab" * 16]),
    state=st.sampled_from(["", "vendor=1"]),
    host=st.sampled_from(["", "b.example"]),
    sampled=st.booleans(),
    length=st.sampled_from([None, 0, 7]),
)
def test_both_versions_tell_the_same(
    *, method: str, authority: str, trace_id: str, state: str, host: str, sampled: bool, length: int | None
) -> None:
    exchange = make(method, headers=[(b"x-a", b"1"), (b"cookie", b"a=b"), (b"te", b"x"), (b"x-a", b"2")])
    exchange.authority, exchange.trace_id, exchange.tracestate = authority, trace_id, state
    exchange.sampled = sampled
    first, *lines = request_head(exchange, "1" * 16, prefix="/v1", host=host, length=length).split(b"\r\n")
    assert first == f"{method} /v1/games HTTP/1.1".encode()
    assert lines[-2:] == [b"", b""]
    told = httpx_headers(exchange, "1" * 16, host=host, length=length)
    assert lines[:-2] == [b"%b: %b" % item for item in told]


def test_the_same_for_http2() -> None:
    exchange = make("POST", headers=[(b"x-a", b"1"), (b"te", b"trailers"), (b"host", b"evil")])
    exchange.trace_id = "ab" * 16
    headers = httpx_headers(exchange, "0" * 16, host="", length=3)
    assert headers == [
        (b"host", b"gateway.example"),
        (b"x-a", b"1"),
        (b"x-forwarded-for", b"127.0.0.1"),
        (b"x-forwarded-proto", b"http"),
        (b"x-forwarded-host", b"gateway.example"),
        (b"traceparent", b"00-%b-%b-01" % (b"ab" * 16, b"0" * 16)),
        (b"content-length", b"3"),
    ]
    assert (b"transfer-encoding", b"chunked") in httpx_headers(exchange, "0" * 16, host="a", length=None)
    assert not any(
        name == b"content-length" for name, _ in httpx_headers(make(), "0" * 16, host="a", length=0)
    )
