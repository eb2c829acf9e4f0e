"""Calls encoded straight from their records, for the many that are like many others.

What all calls of one kind say (route, method, status, consumer, target, ...) is encoded once, from spans
that `SpanMaker` made; what differs from call to call is packed beside it. So a call costs a fifth of what it
takes to make its spans and encode them, and decodes to the same. Unusual calls go that longer way.
"""

from __future__ import annotations

import struct
from collections.abc import Hashable
from typing import Any, NamedTuple, TypeVar

from gateway.observer.call import Call
from gateway.observer.otlp import Encoder, constant, key_value, number_attribute, text, text_attribute, varint
from gateway.observer.spans import METHODS, SpanMaker, derived_id
from gateway.observer.stays import SLOW_POLICY_NS, Stay, stays
from gateway.record import NO_ROUTE, AttemptRecord, Record, RouteEntry

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

KINDS_LIMIT = 16_384
"""Kinds of calls and attempts remembered: some per route in use."""
TEXTS_LIMIT = 4096
"""Paths, URLs, callers and the like remembered, of each; callers choose them."""
TEXT_BYTES = 512
"""What takes more is encoded anew each time."""

_FIELDS = {name: at for at, name in enumerate(Record._fields)}
_METHOD, _TARGET, _STATE = _FIELDS["method"], _FIELDS["target"], _FIELDS["tracestate"]
_PATH_AS_MATCHED = _FIELDS["path"]
_ATTEMPTS, _SPAN_TEXT = _FIELDS["attempts"], _FIELDS["span_id"]
# Bounds, not slices: mypyc takes a constant slice for an index.
_ENDED, _ENDED_END = _FIELDS["outcome"], _FIELDS["cache"] + 1
_CALLER, _CALLER_END = _FIELDS["scheme"], _FIELDS["user_agent"] + 1
_CALLER_SAYS = {
    key: text_attribute(key)
    for key in (
        "url.scheme", "client.address", "network.peer.address", "network.protocol.version", "server.address",
        "server.port", "user_agent.original",
    )
}  # fmt: skip
_SIZES = {"gateway.request.bytes", "gateway.response.bytes"}
_VARIES = _CALLER_SAYS.keys() | _SIZES | {"url.path", "url.query", "gateway.upstream_ms"}
_ATTEMPT_VARIES = _SIZES | {"url.full", "gateway.connect_ms", "gateway.first_byte_ms"}
_PATH, _QUERY, _URL = text_attribute("url.path"), text_attribute("url.query"), text_attribute("url.full")
_REQUEST_BYTES = number_attribute("gateway.request.bytes")
_RESPONSE_BYTES = number_attribute("gateway.response.bytes")


def _double(key: str) -> bytes:
    """A KeyValue with a double, up to the eight bytes of its value."""
    return key_value(b"\x4a", key, 0.0)[:-8]


_UPSTREAM_MS = _double("gateway.upstream_ms")
_CONNECT_MS, _FIRST_BYTE_MS = _double("gateway.connect_ms"), _double("gateway.first_byte_ms")
# Ids (fields 1, 2 and, of the parent, 4) and times (7 and 8), each behind its tag; then doubles.
_UNFORWARDED = struct.Struct("<H16sH8sBQBQ")
_FORWARDED = struct.Struct(f"<H16sH8sBQBQ{len(_UPSTREAM_MS)}sd")
_CLIENT = struct.Struct(f"<18sH8sH8sBQBQ{len(_CONNECT_MS)}sd{len(_FIRST_BYTE_MS)}sd")
_POLICY = struct.Struct("<18sH8sH8sBQBQ")
_TRACE, _SPAN, _PARENT, _START, _END = 0x100A, 0x0812, 0x0822, 0x39, 0x41
# Of what is packed for a SERVER span: the trace's id with its tag in the first 18 bytes, the span's without
# its tag in 20 to 28.

_HEADS = [b"\x12" + varint(length) for length in range(4096)]
"""Field 2 of ScopeSpans up to its content, by the content's length."""


class Place(NamedTuple):
    """Where a call went, and who took it."""

    number: int
    """Its own for as long as the templates live."""
    route: RouteEntry
    worker: int
    masked: bool
    """Its path has `:name`s whose values are not shown: what it shows instead depends on the route, too."""


_NOWHERE = Place(0, NO_ROUTE, 0, False)


class Templates:
    """Encodes calls; remembers what calls of a kind have in common."""

    def __init__(self, maker: SpanMaker, encoder: Encoder) -> None:
        self._maker, self._encoder = maker, encoder
        self._given = 0
        self._places: dict[tuple[RouteEntry, int], Place] = {}
        self._servers: dict[tuple[Any, ...], bytes] = {}
        self._clients: dict[tuple[Any, ...], bytes] = {}
        self._callers: dict[tuple[Any, ...], bytes] = {}
        self._policies: dict[tuple[Any, ...], bytes] = {}
        self._paths: dict[str, bytes] = {}
        self._urls: dict[str, bytes] = {}
        self._sizes: dict[tuple[int, int], bytes] = {}

    def place(self, route: RouteEntry, worker: int) -> Place:
        """What `encode` wants to know beside a record."""
        place = self._places.get((route, worker))
        if place is None:
            self._given += 1
            masked = ":" in route.template and bool(self._maker.masking.marks(route.template))
            place = Place(self._given, route, worker, masked)
            _remember(self._places, (route, worker), place, KINDS_LIMIT)
        return place

    def encode(self, record: tuple[Any, ...], place: Place, anchor_ns: int) -> tuple[bytes, int]:
        """All spans of a call as fields 2 of ScopeSpans, and how many they are. ValueError for odd ids."""
        (
            _, received_ns, ended_ns, method, path, query, _, _, _, _, _, _, _, trace_id, span_id, parent_id,
            tracestate, _, status, request_bytes, response_bytes, _, _, _, _, _, _, _, attempts, marks,
            decisions, attributes,
        ) = record  # fmt: skip
        if attributes or method not in METHODS:
            made = self._maker.spans(_call(record, place, anchor_ns))
            return self._encoder.spans(made), len(made)

        count = len(attempts)
        origin = attempts[-1][0] if count else ""
        kind = place.number, method, status, count, origin, not parent_id, record[_ENDED:_ENDED_END]
        common = self._servers.get(kind) or self._server(kind, record, place)
        caller = self._callers.get(record[_CALLER:_CALLER_END]) or self._caller(record)
        location = (None if place.masked else self._paths.get(path)) or self._path(path, place)
        transferred = request_bytes, response_bytes
        sizes = self._sizes.get(transferred) or self._size(*transferred)
        trace, span = bytes.fromhex(trace_id), bytes.fromhex(span_id)
        start, end = received_ns + anchor_ns, ended_ns + anchor_ns
        if count:
            upstream_ns = 0
            for attempt in attempts:
                upstream_ns += attempt[5] - attempt[2]
            packed = _FORWARDED.pack(
                _TRACE, trace, _SPAN, span, _START, start, _END, end, _UPSTREAM_MS, upstream_ns / 1e6
            )
        else:
            packed = _UNFORWARDED.pack(_TRACE, trace, _SPAN, span, _START, start, _END, end)
        extra = b""
        if tracestate:
            extra = text(b"\x1a", tracestate)
        if parent_id:
            extra += b"\x22\x08" + bytes.fromhex(parent_id)
        if query:
            extra += _QUERY(self._maker.masking.query(query, place.route.secrets))
        length = len(packed) + len(common) + len(caller) + len(location) + len(sizes) + len(extra)
        encoded = [
            _HEADS[length] if length < 4096 else b"\x12" + varint(length),
            packed, common, caller, location, sizes, extra,
        ]  # fmt: skip
        spans = 1 + count
        if decisions or (marks and (count != 1 or attempts[0][2] - marks[1] > SLOW_POLICY_NS)):
            stayed = stays(record, place.route.policies)
            for number, stay in enumerate(stayed):
                encoded += self._policy(record, stay, number, anchor_ns, packed)
            spans += len(stayed)
        for number in range(count):
            encoded += self._attempt(record, number, place, anchor_ns, packed)
        return b"".join(encoded), spans

    def _attempt(
        self, record: tuple[Any, ...], number: int, place: Place, anchor_ns: int, server: bytes
    ) -> tuple[bytes, ...]:
        """The CLIENT span of the attempt of that number, in pieces. `server` has the ids of its parent."""
        attempt = record[_ATTEMPTS][number]
        (
            origin, span_id, started_ns, connected_ns, head_ns, ended_ns, status, error, sent, reused,
            request_bytes, response_bytes,
        ) = attempt  # fmt: skip
        if not connected_ns or not head_ns:  # it failed early
            call = _call(record, place, anchor_ns)
            return (self._encoder.span(self._maker.client(call, AttemptRecord._make(attempt), number)),)
        kind = place.number, record[_METHOD], origin, status, error, sent, reused, number
        common = self._clients.get(kind) or self._client(kind, record, place)
        url = origin + record[_TARGET]
        location = (None if place.masked else self._urls.get(url)) or self._url(url, origin, record, place)
        transferred = request_bytes, response_bytes
        sizes = self._sizes.get(transferred) or self._size(*transferred)
        packed = _CLIENT.pack(
            server[:18], _SPAN, bytes.fromhex(span_id), _PARENT, server[20:28],
            _START, started_ns + anchor_ns, _END, ended_ns + anchor_ns,
            _CONNECT_MS, (connected_ns - started_ns) / 1e6, _FIRST_BYTE_MS, (head_ns - started_ns) / 1e6,
        )  # fmt: skip
        state = text(b"\x1a", record[_STATE]) if record[_STATE] else b""
        length = len(packed) + len(common) + len(location) + len(sizes) + len(state)
        head = _HEADS[length] if length < 4096 else b"\x12" + varint(length)
        return head, packed, common, location, sizes, state

    def _policy(
        self, record: tuple[Any, ...], stay: Stay, number: int, anchor_ns: int, server: bytes
    ) -> tuple[bytes, ...]:
        """The span of the call's stay of that number, in pieces."""
        common = self._policies.get(stay[::3]) or self._decided(stay, record)
        span = derived_id(record[_SPAN_TEXT], number).to_bytes(8)
        packed = _POLICY.pack(
            server[:18], _SPAN, span, _PARENT, server[20:28],
            _START, stay.entered_ns + anchor_ns, _END, stay.left_ns + anchor_ns,
        )  # fmt: skip
        state = text(b"\x1a", record[_STATE]) if record[_STATE] else b""
        return b"\x12" + varint(len(packed) + len(common) + len(state)), packed, common, state

    # What is not remembered yet.

    def _server(self, kind: tuple[Any, ...], record: tuple[Any, ...], place: Place) -> bytes:
        span = self._maker.server(_call(record, place))
        return _remember(self._servers, kind, constant(span, _VARIES), KINDS_LIMIT)

    def _client(self, kind: tuple[Any, ...], record: tuple[Any, ...], place: Place) -> bytes:
        call, number = _call(record, place), kind[-1]
        span = self._maker.client(call, call.attempts[number], number)
        return _remember(self._clients, kind, constant(span, _ATTEMPT_VARIES), KINDS_LIMIT)

    def _caller(self, record: tuple[Any, ...]) -> bytes:
        encoded = b"".join(
            [
                _CALLER_SAYS[key](value) if isinstance(value, str) else key_value(b"\x4a", key, value)
                for key, value in self._maker.caller(Record._make(record)).items()
            ]
        )
        return _remember_text(self._callers, record[_CALLER:_CALLER_END], encoded)

    def _decided(self, stay: Stay, record: tuple[Any, ...]) -> bytes:
        span = self._maker.policy(_call(record, _NOWHERE), stay, 0)
        return _remember_text(self._policies, stay[::3], constant(span))

    def _path(self, path: str, place: Place) -> bytes:
        encoded = _PATH(self._maker.masking.path(path, place.route.template))
        return encoded if place.masked else _remember_text(self._paths, path, encoded)

    def _url(self, url: str, origin: str, record: tuple[Any, ...], place: Place) -> bytes:
        target, route = record[_TARGET], place.route
        masked = self._maker.masking.target(target, record[_PATH_AS_MATCHED], route.template, route.secrets)
        encoded = _URL(origin + masked)
        return encoded if place.masked or "?" in target else _remember_text(self._urls, url, encoded)

    def _size(self, request_bytes: int, response_bytes: int) -> bytes:
        encoded = _REQUEST_BYTES(request_bytes) + _RESPONSE_BYTES(response_bytes)
        return _remember_text(self._sizes, (request_bytes, response_bytes), encoded)


def _call(record: tuple[Any, ...], place: Place, anchor_ns: int = 0) -> Call:
    return Call(Record._make(record), place.route, anchor_ns, place.worker, 0)


def _remember_text(known: dict[K, bytes], key: K, encoded: bytes) -> bytes:
    return encoded if len(encoded) > TEXT_BYTES else _remember(known, key, encoded, TEXTS_LIMIT)


def _remember(known: dict[K, V], key: K, value: V, limit: int) -> V:
    if len(known) >= limit:
        known.clear()
    known[key] = value
    return value
