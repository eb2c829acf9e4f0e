"""Spans as OTLP: opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest, written by hand.

Field numbers are those of opentelemetry-proto 1.x (`trace.proto`, `common.proto`, `resource.proto`); the
wire format is protobuf's. Writing it so takes a tenth of what SDK span and encoder take, because most
attributes repeat from call to call and are remembered in their encoded form.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Container, Hashable, Iterable, Mapping, Sequence
from typing import TypeVar, cast

from gateway.observer.spans import Span, Value

K = TypeVar("K", bound=Hashable)

MEMO_LIMIT = 1024
"""Values remembered per attribute; one that never repeats would fill memory else."""

_TIMES = struct.Struct("<BQBQ")  # start_time_unix_nano (7) and end_time_unix_nano (8), both fixed64
_DOUBLE = struct.Struct("<Bd")
_HAS_IS_REMOTE = b"\x85\x01\x00\x01\x00\x00"  # flags (16), fixed32: SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE
_IS_REMOTE = b"\x85\x01\x00\x03\x00\x00"  # the same and SPAN_FLAGS_CONTEXT_IS_REMOTE
_STATUS_UNSET = b"\x7a\x00"  # status (15), an empty message


def varint(number: int) -> bytes:
    """Base-128, least significant group first; a negative number as its 64-bit two's complement."""
    if 0 <= number < 128:
        return bytes((number,))
    number &= 0xFFFF_FFFF_FFFF_FFFF
    groups = bytearray()
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def field(tag: bytes, payload: bytes) -> bytes:
    """A length-delimited field; `tag` is its number and wire type 2, encoded."""
    return tag + varint(len(payload)) + payload


def text(tag: bytes, value: str) -> bytes:
    """A string field; what is no valid Unicode becomes `?`."""
    return field(tag, value.encode("utf-8", "replace"))


def any_value(value: Value) -> bytes:
    """The inside of an AnyValue. A bool is no int here, though Python says so."""
    if isinstance(value, str):
        return text(b"\x0a", value)
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + varint(value)
    return _DOUBLE.pack(0x21, value)


def key_value(tag: bytes, key: str, value: Value) -> bytes:
    """A KeyValue as field `tag`."""
    return field(tag, text(b"\x0a", key) + field(b"\x12", any_value(value)))


def text_attribute(key: str) -> Callable[[str], bytes]:
    """`key_value` for attributes of one short key whose values are strings, in a third of the time."""
    name = text(b"\x0a", key)
    around = len(name) + 4
    longest = 127 - around

    def encode(value: str) -> bytes:
        data = value.encode("utf-8", "replace")
        length = len(data)
        if length > longest:
            return key_value(b"\x4a", key, value)
        return b"\x4a%c%b\x12%c\x0a%c%b" % (around + length, name, length + 2, length, data)

    return encode


def number_attribute(key: str) -> Callable[[int], bytes]:
    """The same for attributes whose values are integers."""
    name = text(b"\x0a", key)
    around = len(name) + 3

    def encode(value: int) -> bytes:
        number = varint(value)
        length = len(number)  # ten at most
        return b"\x4a%c%b\x12%c\x18%b" % (around + length, name, length + 1, number)

    return encode


def status(message: str) -> bytes:
    """Status ERROR as field 15, with a message where there is one."""
    return field(b"\x7a", (text(b"\x12", message) if message else b"") + b"\x18\x02")


def constant(span: Span, leave_out: Container[str] = ()) -> bytes:
    """What calls of one kind have in common, as fields of Span: no ids, state and times, fewer attributes."""
    parts = [text(b"\x2a", span.name), b"\x30%c" % span.kind]
    parts += [
        key_value(b"\x4a", key, value) for key, value in span.attributes.items() if key not in leave_out
    ]
    parts.append(status(span.message) if span.error else _STATUS_UNSET)
    parts.append(_IS_REMOTE if span.remote_parent else _HAS_IS_REMOTE)
    return b"".join(parts)


class Encoder:
    """Encodes spans under one resource and scope."""

    def __init__(self, resource: Mapping[str, Value], scope: str, version: str = "") -> None:
        attributes = b"".join(key_value(b"\x0a", key, value) for key, value in resource.items())
        self._resource = field(b"\x0a", attributes)
        self._scope = field(b"\x0a", text(b"\x0a", scope) + (text(b"\x12", version) if version else b""))
        self._texts: dict[str, dict[str, bytes]] = {}
        self._numbers: dict[str, dict[int, bytes]] = {}
        self._names: dict[str, bytes] = {}

    def span(self, span: Span) -> bytes:
        """One span as field 2 of ScopeSpans, so that spans can be joined."""
        (
            trace_id,
            span_id,
            parent_id,
            name,
            kind,
            start_ns,
            end_ns,
            attributes,
            error,
            message,
            state,
            remote,
        ) = span
        parts = [b"\x0a\x10", bytes.fromhex(trace_id), b"\x12\x08", bytes.fromhex(span_id)]
        if state:
            parts.append(text(b"\x1a", state))
        if parent_id:
            parts.append(b"\x22\x08" + bytes.fromhex(parent_id))
        encoded = self._names.get(name)
        if encoded is None:
            encoded = _remember(self._names, name, text(b"\x2a", name))
        parts.append(encoded)
        parts.append(b"\x30%c" % kind)
        parts.append(_TIMES.pack(0x39, start_ns, 0x41, end_ns))
        texts, numbers = self._texts, self._numbers
        for key, value in attributes.items():
            kind_of_value = type(value)
            if kind_of_value is str:
                known_texts = texts.get(key) or self._open(texts, key)
                encoded = known_texts.get(cast("str", value))
                if encoded is None:
                    encoded = _remember(known_texts, cast("str", value), key_value(b"\x4a", key, value))
            elif kind_of_value is int:
                known_numbers = numbers.get(key) or self._open(numbers, key)
                encoded = known_numbers.get(cast("int", value))
                if encoded is None:
                    encoded = _remember(known_numbers, cast("int", value), key_value(b"\x4a", key, value))
            else:
                encoded = key_value(b"\x4a", key, value)
            parts.append(encoded)
        parts.append(status(message) if error else _STATUS_UNSET)
        parts.append(_IS_REMOTE if remote else _HAS_IS_REMOTE)
        payload = b"".join(parts)
        return b"\x12" + varint(len(payload)) + payload

    @staticmethod
    def _open(values: dict[str, dict[K, bytes]], key: str) -> dict[K, bytes]:
        if len(values) >= MEMO_LIMIT:
            values.clear()
        return values.setdefault(key, {})

    def spans(self, spans: Iterable[Span]) -> bytes:
        """Several spans, joined."""
        return b"".join(map(self.span, spans))

    def request(self, encoded: Sequence[bytes]) -> bytes:
        """An ExportTraceServiceRequest of what `span` and `spans` gave."""
        scope_length = len(self._scope) + sum(map(len, encoded))
        scope_spans = b"\x12" + varint(scope_length)
        length = len(self._resource) + len(scope_spans) + scope_length
        return b"".join((b"\x0a", varint(length), self._resource, scope_spans, self._scope, *encoded))


def _remember(known: dict[K, bytes], key: K, encoded: bytes) -> bytes:
    if len(known) >= MEMO_LIMIT:
        known.clear()
    known[key] = encoded
    return encoded
