"""A call as spans: one SERVER span, a CLIENT span per attempt, an INTERNAL one per policy that mattered.

Names and attributes are those of OpenTelemetry's stable HTTP semantic conventions; what they have no
word for is `gateway.*`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple
from urllib.parse import urlsplit

from gateway.observer.call import Call
from gateway.observer.masking import Masking
from gateway.observer.stays import Stay, stays
from gateway.record import AttemptRecord, Record

MEMO_LIMIT = 4096
ATTRIBUTES_LIMIT = 64
"""Of those that policies noted; the conventions allow 128 in all."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"})
_DEFAULT_PORTS = {"http": 80, "https": 443}

Value = str | bool | int | float


class Kind(IntEnum):
    """Numbers of opentelemetry.proto.trace.v1.Span.SpanKind."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3


class Span(NamedTuple):
    """One span as plain data. Times are Unix nanoseconds, ids hexadecimal."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: Kind
    start_ns: int
    end_ns: int
    attributes: dict[str, Value]
    error: bool = False
    """Status ERROR; unset otherwise, as instrumentation should leave it."""
    message: str = ""
    tracestate: str = ""
    remote_parent: bool = False


class SpanMaker:
    """Makes the spans of calls. Remembers how authorities and targets split, since there are few of them."""

    def __init__(self, masking: Masking | None = None) -> None:
        self.masking = Masking() if masking is None else masking
        self._authorities: dict[tuple[str, str], tuple[str, int]] = {}

    def spans(self, call: Call) -> list[Span]:
        """All spans of one call, the SERVER span first."""
        spans = [self.server(call)]
        for count, stay in enumerate(stays(call.record, call.route.policies)):
            spans.append(self.policy(call, stay, count))
        for count, attempt in enumerate(call.attempts):
            spans.append(self.client(call, attempt, count))
        return spans

    def server(self, call: Call) -> Span:
        """The SERVER span."""
        record, route, masking = call.record, call.route, self.masking
        method = record.method if record.method in METHODS else "_OTHER"
        attributes: dict[str, Value] = {
            "http.request.method": method,
            "url.path": masking.path(record.path, route.template),
            **self.caller(record),
        }
        if method == "_OTHER":
            attributes["http.request.method_original"] = record.method
        if record.query:
            attributes["url.query"] = masking.query(record.query, route.secrets)
        if record.status:
            attributes["http.response.status_code"] = record.status
        if route.name:
            attributes["http.route"] = route.template
            attributes["gateway.route"] = route.name
            if route.upstream:
                attributes["gateway.upstream"] = route.upstream
            if route.provider:
                attributes["gateway.provider"] = route.provider
        if record.consumer:
            attributes["gateway.consumer"] = record.consumer
            attributes["gateway.credential"] = record.credential
        if record.attempts:
            attributes["gateway.target"] = record.attempts[-1][0]
            attributes["gateway.upstream_ms"] = call.upstream_ns / 1e6
            if len(record.attempts) > 1:
                attributes["gateway.retries"] = len(record.attempts) - 1
        if record.cache:
            attributes["gateway.cache"] = record.cache
        if record.code:
            attributes["gateway.error.code"] = record.code
        if record.native_code:
            attributes["gateway.native.code"] = masking.text(record.native_code)
            attributes["gateway.native.status"] = record.native_status
        attributes["gateway.outcome"] = record.outcome
        attributes["gateway.request.bytes"] = record.request_bytes
        attributes["gateway.response.bytes"] = record.response_bytes
        attributes["gateway.worker"] = call.worker
        for key, value in list(record.attributes.items())[:ATTRIBUTES_LIMIT]:
            said = masking.text(value) if isinstance(value, str) else value
            attributes.setdefault(key if key.startswith("gateway.") else f"gateway.{key}", said)
        error = record.status >= 500 or record.outcome == "failed"
        if error or (record.status == 0 and record.outcome != "complete"):
            attributes["error.type"] = record.code or (
                str(record.status) if record.status >= 500 else record.outcome
            )
        return Span(
            record.trace_id,
            record.span_id,
            record.parent_id,
            f"{'HTTP' if method == '_OTHER' else method} {route.template}".rstrip(),
            Kind.INTERNAL if "gateway.background" in record.attributes else Kind.SERVER,
            record.received_ns + call.anchor_ns,
            record.ended_ns + call.anchor_ns,
            attributes,
            error,
            record.code if error else "",
            record.tracestate,
            bool(record.parent_id) and "gateway.background" not in record.attributes,
        )

    def caller(self, record: Record) -> dict[str, Value]:
        """What the SERVER span says of who called whom, and how."""
        masking = self.masking
        attributes: dict[str, Value] = {
            "url.scheme": record.scheme,
            "client.address": masking.named("client.address", record.client),
            "network.peer.address": masking.named("network.peer.address", record.peer),
            "network.protocol.version": record.http_version,
        }
        if record.authority:
            host, port = self._address(record.authority, record.scheme)
            attributes["server.address"] = masking.named("server.address", host)
            if port:
                attributes["server.port"] = port
        if record.user_agent:
            agent = masking.named("user_agent.original", record.user_agent)
            attributes["user_agent.original"] = masking.text(agent)
        return attributes

    def client(self, call: Call, attempt: AttemptRecord, count: int) -> Span:
        """The CLIENT span of the call's `count`-th attempt."""
        record, anchor = call.record, call.anchor_ns
        method = record.method if record.method in METHODS else "_OTHER"
        host, port = self._address(attempt.target, "")
        route = call.route
        target = self.masking.target(record.target, record.path, route.template, route.secrets)
        attributes: dict[str, Value] = {
            "http.request.method": method,
            "url.full": attempt.target + target,
            "server.address": host,
            "gateway.target": attempt.target,
            "gateway.sent": attempt.sent,
            "gateway.connection.reused": attempt.reused,
            "gateway.request.bytes": attempt.request_bytes,
            "gateway.response.bytes": attempt.response_bytes,
        }
        if port:
            attributes["server.port"] = port
        if route.upstream:
            attributes["gateway.upstream"] = route.upstream
        if attempt.connected_ns:
            attributes["gateway.connect_ms"] = (attempt.connected_ns - attempt.started_ns) / 1e6
        if attempt.head_ns:
            attributes["gateway.first_byte_ms"] = (attempt.head_ns - attempt.started_ns) / 1e6
        if attempt.status:
            attributes["http.response.status_code"] = attempt.status
        if count:
            attributes["http.request.resend_count"] = count
        error = bool(attempt.error) or attempt.status >= 400
        if error:
            attributes["error.type"] = attempt.error or str(attempt.status)
        return Span(
            record.trace_id,
            attempt.span_id,
            record.span_id,
            "HTTP" if method == "_OTHER" else method,
            Kind.CLIENT,
            attempt.started_ns + anchor,
            attempt.ended_ns + anchor,
            attributes,
            error,
            attempt.error,
            record.tracestate,
        )

    def policy(self, call: Call, stay: Stay, count: int) -> Span:
        """The span of the call's `count`-th stay."""
        record = call.record
        attributes: dict[str, Value] = {"gateway.policy": stay.policy}
        if stay.decisions:
            attributes["gateway.decision"] = ", ".join(decision for decision, _ in stay.decisions)
            details = ", ".join(detail for _, detail in stay.decisions if detail)
            if details:
                attributes["gateway.detail"] = self.masking.text(details)
        return Span(
            record.trace_id,
            f"{derived_id(record.span_id, count):016x}",
            record.span_id,
            f"policy {stay.policy}",
            Kind.INTERNAL,
            stay.entered_ns + call.anchor_ns,
            stay.left_ns + call.anchor_ns,
            attributes,
            tracestate=record.tracestate,
        )

    def _address(self, authority: str, scheme: str) -> tuple[str, int]:
        key = (authority, scheme)
        known = self._authorities.get(key)
        if known is None:
            url = urlsplit(authority if "://" in authority else f"{scheme}://{authority}")
            try:
                known = url.hostname or authority, url.port or _DEFAULT_PORTS.get(url.scheme, 0)
            except ValueError:  # a port that is none
                known = authority, 0
            if len(self._authorities) >= MEMO_LIMIT:
                self._authorities.clear()
            self._authorities[key] = known
        return known


def derived_id(span_id: str, count: int) -> int:
    """An id for the call's `count`-th policy span: the same whenever the spans are made again."""
    mixed = (int(span_id or "0", 16) ^ 0x9E37_79B9_7F4A_7C15 * (count + 1)) & 0xFFFF_FFFF_FFFF_FFFF
    return mixed or 1
