"""The form of a record: what a worker tells the observer about one exchange, and how batches travel.

A record is one flat tuple of primitives, because that is the cheapest thing a worker can make and the
cheapest thing `marshal` can write: `marshal` takes exact tuples, lists, dicts, strings and numbers only,
so no enum and no model may slip in. What is the same for every call of a route (its name, template,
upstream, provider, policy names) is sent once per connection as a `RouteEntry`; records carry its number.

`marshal` is safe here: both ends are processes of one supervisor, started from one interpreter, over a
socket in a directory that only their user may enter.
"""

from __future__ import annotations

import marshal
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

VERSION = 1
"""Of the form below; an observer refuses batches of another."""

_LENGTH = struct.Struct("!I")
FRAME_LIMIT = 64 * 1024 * 1024
"""Bytes; a longer frame can only be a stream out of step."""


class RouteEntry(NamedTuple):
    """What all records of one route have in common."""

    name: str = ""
    template: str = ""
    """The path as the route matches it, `/callbacks/aurora/*`; semantic conventions call it `http.route`."""
    upstream: str = ""
    provider: str = ""
    policies: tuple[str, ...] = ()
    """Names in the order of the chain: an index in `Record.marks` counts them."""
    secrets: tuple[str, ...] = ()
    """Query parameters whose values the route's policies read as credentials, whatever they are called."""


NO_ROUTE = RouteEntry()
"""Entry 0 of every table: the call that no route matched."""


class AttemptRecord(NamedTuple):
    """One try at one target; times are the worker's `perf_counter_ns()`, 0 where the event did not happen."""

    target: str
    span_id: str
    started_ns: int
    connected_ns: int
    head_ns: int
    ended_ns: int
    status: int
    error: str
    sent: str
    reused: bool
    request_bytes: int
    response_bytes: int


class Record(NamedTuple):
    """One exchange, for reading: `Record._make(batch.records[0])`."""

    route: int
    """Number of its `RouteEntry`."""
    received_ns: int
    """`perf_counter_ns()` of the worker, like every time here; `Batch.anchor_ns` makes it Unix time."""
    ended_ns: int
    method: str
    path: str
    query: str
    """Raw: it may hold secrets, so whatever leaves the observer passes `gateway.observer.redaction`."""
    target: str
    """Path and query as forwarded; raw too."""
    scheme: str
    authority: str
    http_version: str
    client: str
    peer: str
    user_agent: str
    trace_id: str
    span_id: str
    parent_id: str
    tracestate: str
    sampled: bool
    status: int
    """0 where the caller left before there was an answer."""
    request_bytes: int
    response_bytes: int
    outcome: str
    code: str
    native_code: str
    native_status: int
    consumer: str
    credential: str
    cache: str
    attempts: list[tuple[Any, ...]]
    """`AttemptRecord` fields each."""
    marks: list[int]
    """policy index, time, policy index, time, ..."""
    decisions: list[tuple[str, str, str]]
    attributes: dict[str, str | int | float | bool]


class Batch(NamedTuple):
    """What a worker sends at once."""

    version: int
    worker: int
    anchor_ns: int
    """Unix time minus `perf_counter_ns()` when the batch was made."""
    first_route: int
    """The number of the first of `routes`."""
    routes: list[tuple[Any, ...]]
    """`RouteEntry` fields of the entries that this connection has not carried yet."""
    records: list[tuple[Any, ...]]
    dropped: int
    """Records this worker has given up since it started."""


def encode(batch: Batch) -> bytes:
    """A batch as a frame: 4 bytes of length, big endian, then marshal. ValueError for non-primitives."""
    payload = marshal.dumps(tuple(batch))
    return _LENGTH.pack(len(payload)) + payload


def plain(value: Any) -> Any:
    """`value` in primitives that `marshal` takes; whatever is none becomes its text."""
    if value is None or type(value) in (str, int, float, bool, bytes):
        return value
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(plain(item) for item in value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    return str(value)


class Frames:
    """Cuts a byte stream into batches, however it was broken up on the way."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Batch, int]]:
        """The batches that `data` completed, each with its size in bytes.

        ValueError where the stream makes no sense; nothing after that can be read.
        """
        for payload in self.payloads(data):
            yield decode(payload), len(payload)

    def payloads(self, data: bytes) -> Iterator[bytes]:
        """The same batches as `decode` reads them."""
        waiting = self._waiting
        waiting += data
        start = 0
        try:
            while len(waiting) - start >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(waiting, start)
                if length > FRAME_LIMIT:
                    raise ValueError(f"a frame of {length} bytes: the stream is out of step")
                end = start + _LENGTH.size + length
                if len(waiting) < end:
                    break
                payload = bytes(waiting[start + _LENGTH.size : end])
                start = end
                yield payload
        finally:
            del waiting[:start]


def decode(payload: bytes) -> Batch:
    """The batch in a frame, whose length is cut off already. ValueError where it is none."""
    try:
        fields = marshal.loads(payload)  # noqa: S302 - both ends are ours, see the top of this file
    except (EOFError, TypeError) as error:
        raise ValueError(f"not a batch: {error}") from error
    if type(fields) is not tuple or not fields or fields[0] != VERSION or len(fields) != len(Batch._fields):
        raise ValueError(f"not a batch of version {VERSION}")
    return Batch._make(fields)
