from __future__ import annotations

import pytest

from gateway.edge.intake import Intake
from gateway.edge.limits import EdgeLimits
from gateway.errors import Refused

HEAD = (
    b"GET /x HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n"
    b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00\r\ntracestate: a=1\r\n\r\n"
)


@pytest.mark.parametrize(
    ("trusted", "client", "scheme"), [(True, "203.0.113.7", "https"), (False, "10.0.0.1", "http")]
)
def test_forwarding_headers_count_only_from_trusted_peers(trusted: bool, client: str, scheme: str):
    exchange = Intake(["10.0.0.0/8"]).exchange(HEAD, EdgeLimits(), "10.0.0.1", trusted, "http")
    assert (exchange.client, exchange.peer, exchange.scheme) == (client, "10.0.0.1", scheme)
    assert exchange.headers == []
    assert exchange.received_ns > 0


def test_a_trace_is_continued():
    exchange = Intake().exchange(HEAD, EdgeLimits(), "10.0.0.1", False, "http")
    assert (exchange.trace_id, exchange.parent_id) == ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
    assert (exchange.tracestate, exchange.sampled) == ("a=1", False)


def test_a_broken_request_has_ids_too():
    intake = Intake()
    with pytest.raises(Refused):
        intake.exchange(b"nonsense\r\n\r\n", EdgeLimits(), "10.0.0.1", False, "http")
    stand_in = intake.broken("10.0.0.1", "https")
    assert (len(stand_in.trace_id), stand_in.client, stand_in.scheme) == (32, "10.0.0.1", "https")


@pytest.mark.parametrize(
    ("trusted", "header", "told"),
    [
        (True, "client-cert", b"\0\0\0"),
        (True, "", None),
        (True, "x-other", None),
        (False, "client-cert", None),
    ],
)
def test_certificates_are_told_by_trusted_peers_only(trusted: bool, header: str, told: bytes | None):
    data = HEAD[:-2] + b"Client-Cert: :AAAA:\r\nClient_Cert: :AAAA:\r\n\r\n"
    intake = Intake(["10.0.0.0/8"], certificate_header=header)
    exchange = intake.exchange(data, EdgeLimits(), "10.0.0.1", trusted, "http")
    assert exchange.peer_certificate == told
    assert exchange.headers == []


def test_two_certificates_are_refused_from_trusted_peers_only():
    data = HEAD[:-2] + b"Client-Cert: :AAAA:\r\n" * 2 + b"\r\n"
    intake = Intake(["10.0.0.0/8"], certificate_header="client-cert")
    with pytest.raises(Refused, match="more than once"):
        intake.exchange(data, EdgeLimits(), "10.0.0.1", True, "http")
    assert intake.exchange(data, EdgeLimits(), "192.0.2.1", False, "http").peer_certificate is None
