"""W3C Trace Context: continue the caller's trace, or begin one. https://www.w3.org/TR/trace-context/"""

from __future__ import annotations

import os
import random
import re

from gateway.edge.sampling import Sampling
from gateway.exchange import Exchange

_PARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_NO_TRACE = b"0" * 32
_NO_SPAN = b"0" * 16
_NEVER_ZERO = 1 << 128 | 1 << 64
"""A bit of each id that is always set: zeros alone are no id. What decides about sampling stays as drawn."""
_MEMBER = re.compile(
    rb"(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
    rb"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)


def parse_traceparent(value: bytes) -> tuple[str, str, bool] | None:
    """(trace id, parent span id, sampled), or None where the header must be ignored (§3.2)."""
    match = _PARENT.fullmatch(value)
    if match is None:
        return None
    version, trace_id, parent_id, flags, more = match.groups()
    if version == b"ff" or (more and version == b"00") or trace_id == _NO_TRACE or parent_id == _NO_SPAN:
        return None
    return trace_id.decode(), parent_id.decode(), flags[1] in b"13579bdf"


def parse_tracestate(values: list[bytes]) -> str:
    """The list members of all `tracestate` headers in order, or empty where any is invalid (§3.3)."""
    members = [member for value in values for part in value.split(b",") if (member := part.strip(b" \t"))]
    if len(members) > 32 or not all(map(_MEMBER.fullmatch, members)):
        return ""
    if len({member.partition(b"=")[0] for member in members}) != len(members):
        return ""
    return b",".join(members).decode()


class TraceContext:
    """Gives exchanges their ids. A new trace is sampled by its id, as OpenTelemetry's TraceIdRatioBased."""

    __slots__ = ("_bits", "_bound", "_everything", "_follows_parent")

    def __init__(self, sampling: Sampling = Sampling()) -> None:  # noqa: B008 - a tuple is immutable
        self._bits = random.Random(os.urandom(32)).getrandbits  # noqa: S311 - ids must be unique, not secret
        self._bound = round(sampling.ratio * (1 << 64))
        self._everything = sampling.ratio >= 1
        self._follows_parent = sampling.follows_parent

    def assign(
        self, exchange: Exchange, traceparent: list[bytes] | None, tracestate: list[bytes] | None
    ) -> None:
        """Set `trace_id`, `span_id`, `parent_id`, `tracestate` and `sampled`; the values as received."""
        drawn = self._bits(192) | _NEVER_ZERO  # one draw for both ids: half the price of two
        ids = drawn.to_bytes(24, "big").hex()
        exchange.span_id = ids[:16]
        if traceparent is not None and len(traceparent) == 1:
            parsed = parse_traceparent(traceparent[0])
            if parsed is not None:
                exchange.trace_id, exchange.parent_id, exchange.sampled = parsed
                if not self._follows_parent:
                    exchange.sampled = int(exchange.trace_id[16:], 16) < self._bound
                if tracestate is not None:
                    exchange.tracestate = parse_tracestate(tracestate)
                return
        exchange.trace_id = ids[16:]
        exchange.sampled = self._everything or drawn & 0xFFFF_FFFF_FFFF_FFFF < self._bound
