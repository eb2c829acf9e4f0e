"""The head of a forwarded request: what the gateway says itself is written last, and cannot be stripped."""

from __future__ import annotations

from gateway.errors import Refused
from gateway.exchange import Exchange, Headers
from gateway.stream import Stream
from gateway.upstream.answer import HOP_BY_HOP

DROPPED = HOP_BY_HOP | {
    b"content-length",
    b"expect",
    b"forwarded",
    b"host",
    b"http2-settings",
    b"proxy-authorization",
    b"traceparent",
    b"tracestate",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
}
"""Never taken over from the caller: hop-by-hop, or written anew."""

_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
"""Methods that announce an empty body too (RFC 9110 §8.6)."""


def forwarding_lines(exchange: Exchange, span_id: str) -> list[str]:
    """What the gateway tells the upstream about the call, as header lines without their ends."""
    lines = [f"x-forwarded-for: {exchange.client}", f"x-forwarded-proto: {exchange.scheme}"]
    if exchange.authority:
        lines.append(f"x-forwarded-host: {exchange.authority}")
    if exchange.trace_id:
        lines.append(f"traceparent: 00-{exchange.trace_id}-{span_id}-{'01' if exchange.sampled else '00'}")
        if exchange.tracestate:
            lines.append(f"tracestate: {exchange.tracestate}")
    return lines


def target_of(exchange: Exchange, prefix: str) -> str:
    """Path and query to ask for, behind the target's own path prefix."""
    if exchange.target:
        return prefix + exchange.target
    return f"{prefix}{exchange.path}?{exchange.query}" if exchange.query else prefix + exchange.path


def announced_length(exchange: Exchange) -> int | None:
    """The body's length in bytes; None where only its end will tell."""
    if not isinstance(exchange.body, Stream):
        return len(exchange.body)
    value = exchange.header(b"content-length")
    return int(value) if value is not None and value.isdigit() else None


def request_head(exchange: Exchange, span_id: str, *, prefix: str, host: str, length: int | None) -> bytes:
    """The whole head in HTTP/1.1's form. Refused where anything in it would end a line early."""
    method, authority, trace_id = exchange.method, exchange.authority, exchange.trace_id
    target = exchange.target or target_of(exchange, "")
    lines = [b"%b: %b\r\n" % item for item in exchange.headers if item[0] not in DROPPED]
    ends = 5 + len(lines)
    forwarded_host = trace = framing = ""
    if authority:
        forwarded_host = f"x-forwarded-host: {authority}\r\n"
        ends += 1
    if trace_id:
        trace = f"traceparent: 00-{trace_id}-{span_id}-{'01' if exchange.sampled else '00'}\r\n"
        ends += 1
        if exchange.tracestate:
            trace += f"tracestate: {exchange.tracestate}\r\n"
            ends += 1
    if length is None:
        framing = "transfer-encoding: chunked\r\n"
        ends += 1
    elif length or method in _WITH_BODY:
        framing = f"content-length: {length}\r\n"
        ends += 1
    if exchange.upgrade:
        framing += "connection: Upgrade\r\nupgrade: websocket\r\n"
        ends += 2
    start = f"{method} {prefix}{target} HTTP/1.1\r\nhost: {host or authority}\r\n"
    ours = (
        f"x-forwarded-for: {exchange.client}\r\nx-forwarded-proto: {exchange.scheme}\r\n"
        f"{forwarded_host}{trace}{framing}\r\n"
    )
    lines.append(ours.encode("latin-1", "replace"))
    head = start.encode("latin-1", "replace") + b"".join(lines)
    # Whatever a policy or a caller put into a value: it ends no line, and begins no second request.
    if head.count(b"\n") != ends or head.count(b"\r") != ends or 0 in head or start.count(" ") != 3:
        raise Refused("BAD_REQUEST", "The target or a header holds a line break, a NUL or a space")
    return head


def httpx_headers(exchange: Exchange, span_id: str, *, host: str, length: int | None) -> Headers:
    """The same for HTTP/2, where httpx frames."""
    headers = [(b"host", (host or exchange.authority).encode("latin-1", "replace"))]
    headers += [item for item in exchange.headers if item[0] not in DROPPED]
    for line in forwarding_lines(exchange, span_id):
        name, _, value = line.partition(": ")
        headers.append((name.encode("latin-1"), value.encode("latin-1", "replace")))
    if length is None:
        headers.append((b"transfer-encoding", b"chunked"))  # tells httpx; never sent over HTTP/2
    elif length or exchange.method in _WITH_BODY:
        headers.append((b"content-length", b"%d" % length))
    return headers
