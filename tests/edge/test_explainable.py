from __future__ import annotations

import pytest

from gateway.edge.explainable import explainable
from gateway.edge.limits import EdgeLimits
from gateway.errors import Refused


def test_the_edges_rules_hold():
    headers = [
        (b"X-Api-Key", b"k"),
        (b"connection", b"x-gone"),
        (b"x-gone", b"1"),
        (b"x-forwarded-for", b"192.0.2.1"),
    ]
    exchange = explainable("GET", "/a/./%62?q=1", headers, client="203.0.113.7", https=True)
    assert (exchange.path, exchange.query, exchange.scheme) == ("/a/b", "q=1", "https")
    assert (exchange.client, exchange.authority) == ("203.0.113.7", "localhost")
    assert exchange.headers == [(b"x-api-key", b"k")]


@pytest.mark.parametrize(
    ("target", "headers", "authority"),
    [
        ("http://eu.example:8080/a", [], "eu.example:8080"),
        ("/a", [(b"Host", b"EU.example")], "eu.example"),
        ("http://eu.example", [(b"host", b"eu.example")], "eu.example"),
    ],
)
def test_the_host_is_the_one_given(target: str, headers: list[tuple[bytes, bytes]], authority: str):
    assert explainable("GET", target, headers, client="::1").authority == authority


def test_a_trusted_proxy_is_believed():
    told = [(b"x-forwarded-for", b"192.0.2.1"), (b"x-forwarded-proto", b"https")]
    exchange = explainable("GET", "/", told, client="10.0.0.1", trusted_proxies=["10.0.0.0/8"])
    assert (exchange.client, exchange.peer, exchange.scheme) == ("192.0.2.1", "10.0.0.1", "https")


def test_a_trusted_proxy_tells_certificates():
    told = [(b"client-cert", b":AAAA:")]
    more = {"trusted_proxies": ["10.0.0.0/8"], "certificate_header": "client-cert"}
    for client, certificate in (("10.0.0.1", b"\0\0\0"), ("192.0.2.1", None)):
        assert explainable("GET", "/", told, client=client, **more).peer_certificate == certificate


@pytest.mark.parametrize(
    ("method", "target", "headers", "code"),
    [
        ("GET", "/a%2fb", [], "BAD_REQUEST"),
        ("GET", "a", [], "BAD_REQUEST"),
        ("GET", "/a b", [], "BAD_REQUEST"),
        ("TRACE", "/a", [], "METHOD_NOT_ALLOWED"),
        ("GET", "/a", [(b"x", b"1\r\nhost: b")], "BAD_REQUEST"),
        ("GET", "/" + "a" * 100, [], "URI_TOO_LONG"),
    ],
)
def test_what_the_edge_refuses_is_refused(
    method: str, target: str, headers: list[tuple[bytes, bytes]], code: str
):
    with pytest.raises(Refused) as refusal:
        explainable(method, target, headers, client="127.0.0.1", limits=EdgeLimits(target=64))
    assert refusal.value.code == code


def test_a_client_that_is_no_address():
    with pytest.raises(ValueError, match="does not appear to be"):
        explainable("GET", "/", [], client="here")
