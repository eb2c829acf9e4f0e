from __future__ import annotations

import gc
import socket
import ssl

import httpx
import pytest

from gateway.errors import UPSTREAM_CODES, Sent
from gateway.upstream.faults import HTTPX_FAULTS, connect_fault, translate


def every(kind: type[Exception]) -> set[type[Exception]]:
    return {kind}.union(*(every(child) for child in kind.__subclasses__()))


def test_every_error_of_httpx_has_its_translation() -> None:
    assert every(httpx.HTTPError) == set(HTTPX_FAULTS)
    assert {code for code, _, _ in HTTPX_FAULTS.values()} <= UPSTREAM_CODES


@pytest.mark.parametrize("kind", sorted(HTTPX_FAULTS, key=lambda kind: kind.__name__))
def test_translations(kind: type[httpx.HTTPError]) -> None:
    error = kind.__new__(kind)
    Exception.__init__(error, "internal detail")
    fault = translate(error)
    assert (fault.code, fault.sent) == HTTPX_FAULTS[kind][:2]
    assert fault.reason == HTTPX_FAULTS[kind][2]
    assert "internal" not in fault.detail


def test_an_error_httpx_may_grow() -> None:
    class NewError(httpx.NetworkError):
        pass

    assert translate(NewError("")).reason == "reset"
    del NewError
    gc.collect()  # leaves httpx's tree as it was


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionRefusedError(), "refused"),
        (ConnectionResetError(), "reset"),
        (socket.gaierror(-2, "x"), "dns"),
        (UnicodeError(), "dns"),
        (ssl.SSLCertVerificationError(), "tls"),
        (TimeoutError(), "connect_timeout"),
        (OSError(101, "Network is unreachable"), "unreachable"),
    ],
)
def test_why_no_connection_came_about(error: OSError, reason: str) -> None:
    fault = connect_fault(error)
    assert (fault.code, fault.sent, fault.reason) == ("UPSTREAM_UNREACHABLE", Sent.NO, reason)
    wrapped = httpx.ConnectError("x")
    wrapped.__cause__ = RuntimeError()
    wrapped.__cause__.__context__ = error
    assert translate(wrapped).reason == reason
    wrapped.__cause__ = ExceptionGroup("every address", [RuntimeError(), error])
    assert translate(wrapped).reason == reason
