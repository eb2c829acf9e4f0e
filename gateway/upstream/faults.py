"""The one door where foreign errors become ours: sockets, TLS, DNS and httpx."""

from __future__ import annotations

import socket
import ssl

import httpx

from gateway.errors import Sent, UpstreamError
from gateway.upstream.pins import UnpinnedKeyError

_UNREACHABLE, _INVALID, _TIMEOUT = "UPSTREAM_UNREACHABLE", "UPSTREAM_INVALID", "UPSTREAM_TIMEOUT"

HTTPX_FAULTS: dict[type[Exception], tuple[str, Sent, str]] = {
    httpx.ConnectTimeout: (_UNREACHABLE, Sent.NO, "connect_timeout"),
    httpx.PoolTimeout: (_UNREACHABLE, Sent.NO, "pool_timeout"),
    httpx.ReadTimeout: (_TIMEOUT, Sent.UNKNOWN, "timeout"),
    httpx.WriteTimeout: (_TIMEOUT, Sent.UNKNOWN, "timeout"),
    httpx.ConnectError: (_UNREACHABLE, Sent.NO, "refused"),
    httpx.ReadError: (_UNREACHABLE, Sent.UNKNOWN, "reset"),
    httpx.WriteError: (_UNREACHABLE, Sent.UNKNOWN, "reset"),
    httpx.CloseError: (_UNREACHABLE, Sent.UNKNOWN, "reset"),
    httpx.RemoteProtocolError: (_INVALID, Sent.UNKNOWN, "invalid"),
    httpx.LocalProtocolError: (_INVALID, Sent.UNKNOWN, "invalid"),
    httpx.DecodingError: (_INVALID, Sent.YES, "invalid"),
    httpx.UnsupportedProtocol: (_UNREACHABLE, Sent.NO, "unsupported"),
    httpx.ProxyError: (_UNREACHABLE, Sent.UNKNOWN, "proxy"),
    httpx.TooManyRedirects: (_INVALID, Sent.YES, "redirects"),
    # The branches of the tree, for leaves a later httpx may grow.
    httpx.TimeoutException: (_TIMEOUT, Sent.UNKNOWN, "timeout"),
    httpx.NetworkError: (_UNREACHABLE, Sent.UNKNOWN, "reset"),
    httpx.ProtocolError: (_INVALID, Sent.UNKNOWN, "invalid"),
    httpx.TransportError: (_UNREACHABLE, Sent.UNKNOWN, "reset"),
    httpx.RequestError: (_UNREACHABLE, Sent.UNKNOWN, "reset"),
    httpx.HTTPStatusError: (_INVALID, Sent.YES, "invalid"),
    httpx.HTTPError: (_UNREACHABLE, Sent.UNKNOWN, "reset"),
}
"""httpx's whole error tree → (code, sent, reason)."""


TOO_LATE = {
    "response": "The upstream did not begin to answer in time",
    "idle": "The upstream fell silent in the middle of a body",
    "total": "The call took longer than it may",
}
"""Which deadline passed → what the caller is told."""


def translate(error: httpx.HTTPError) -> UpstreamError:
    """An httpx error as ours; the nearest ancestor in the table decides."""
    for kind in type(error).__mro__:
        if kind in HTTPX_FAULTS:
            code, sent, reason = HTTPX_FAULTS[kind]
            break
    detail = ""
    if isinstance(error, httpx.ConnectError):
        reason, detail = _cause(error)
    detail = detail or _DETAILS.get(reason, "The upstream broke off the call")
    return UpstreamError(code, detail, sent=sent, reason=reason)


def lost(reason: str, *, sent: Sent) -> UpstreamError:
    """A connection ended under its call.

    Reasons: `reset` or `stale` without an answer, `truncated` within one, `cancelled` by ourselves.
    """
    code = _INVALID if reason == "truncated" else _UNREACHABLE
    return UpstreamError(code, _DETAILS[reason], sent=sent, reason=reason)


def invalid() -> UpstreamError:
    """An answer came that is no HTTP; whether the call took effect it does not tell."""
    return UpstreamError(_INVALID, _DETAILS["invalid"], sent=Sent.UNKNOWN, reason="invalid")


def connect_fault(error: OSError | UnicodeError) -> UpstreamError:
    """Why no connection came about. Nothing was sent."""
    reason = _reason(error)
    return UpstreamError(_UNREACHABLE, _unpinned(error) or _DETAILS[reason], sent=Sent.NO, reason=reason)


_DETAILS = {
    "refused": "The upstream refuses connections",
    "reset": "The upstream broke off the connection",
    "dns": "The upstream's name cannot be resolved",
    "tls": "No trusted TLS connection to the upstream came about",
    "connect_timeout": "No connection to the upstream came about in time",
    "pool_timeout": "No connection to the upstream became free in time",
    "timeout": "The upstream did not answer in time",
    "unreachable": "The upstream's network cannot be reached",
    "stale": "The upstream closed a kept connection without an answer",
    "truncated": "The upstream broke off its answer",
    "cancelled": "The call was given up",
    "invalid": "The upstream's answer is not valid HTTP",
}


def _reason(error: BaseException) -> str:
    if isinstance(error, ssl.SSLError):
        return "tls"
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return "dns"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, TimeoutError):
        return "connect_timeout"
    if isinstance(error, ConnectionError):
        return "reset"
    return "unreachable"


def _unpinned(error: BaseException) -> str:
    """What to say of a key that is not pinned; empty for all else. No secret is told: everybody sees it."""
    if isinstance(error, UnpinnedKeyError):
        return f"The upstream showed the key {error.pin}, which is not pinned"
    return ""


def _cause(error: BaseException) -> tuple[str, str]:
    """(reason, detail) of the socket's own error, which httpx wraps several deep: the deepest says most."""
    reason, detail = "refused", ""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError | UnicodeError):
            reason, detail = _reason(cause), _unpinned(cause)
        elif isinstance(cause, BaseExceptionGroup):  # one per address that was tried
            cause = cause.exceptions[-1]
            continue
        cause = cause.__cause__ or cause.__context__
    return reason, detail
