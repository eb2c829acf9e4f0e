"""A call as the observer sees it: a record, with what its batch said about its route and its clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from operator import itemgetter
from typing import Any, NamedTuple

from gateway.record import NO_ROUTE, AttemptRecord, Batch, Record, RouteEntry, decode

_ROUTE = itemgetter(Record._fields.index("route"))


class Call(NamedTuple):
    """One exchange that has ended."""

    record: Record
    route: RouteEntry
    anchor_ns: int
    """Add it to a time of the record for Unix nanoseconds."""
    worker: int
    size: int
    """Bytes of its record on the wire, on average over the batch."""

    @property
    def attempts(self) -> list[AttemptRecord]:
        """The tries at upstream targets, in order."""
        return [AttemptRecord._make(attempt) for attempt in self.record.attempts]

    @property
    def started_unix_ns(self) -> int:
        """When its first byte came in."""
        return self.record.received_ns + self.anchor_ns

    @property
    def total_ns(self) -> int:
        """From first byte in to last byte out."""
        return self.record.ended_ns - self.record.received_ns

    @property
    def upstream_ns(self) -> int:
        """How much of it attempts took."""
        return sum(ended - started for _, _, started, _, _, ended, *_ in self.record.attempts)

    @property
    def failed(self) -> bool:
        """Did the caller get anything but a good answer?"""
        return self.record.status >= 400 or self.record.status == 0 or self.record.outcome == "failed"


class Calls:
    """The calls of one batch. They stay records, and where a payload is given, bytes, until somebody asks."""

    __slots__ = ("_payload", "_records", "anchor_ns", "count", "routes", "size", "worker")

    def __init__(
        self,
        records: Sequence[tuple[Any, ...]],
        routes: Mapping[int, RouteEntry] | Sequence[RouteEntry],
        *,
        anchor_ns: int,
        worker: int,
        size: int,
        payload: bytes = b"",
    ) -> None:
        self._records: Sequence[tuple[Any, ...]] | None = records
        self._payload = payload
        self.routes = routes
        """Indexed by a record's number of its route."""
        self.anchor_ns = anchor_ns
        self.worker = worker
        self.size = size
        """Bytes of each record on the wire, on average."""
        self.count = len(records)

    @classmethod
    def of(cls, call: Call) -> Calls:
        """A batch of one."""
        routes = {call.record.route: call.route}
        return cls([call.record], routes, anchor_ns=call.anchor_ns, worker=call.worker, size=call.size)

    @property
    def records(self) -> Sequence[tuple[Any, ...]]:
        """The fields of a `Record` each."""
        return decode(self._payload).records if self._records is None else self._records

    @property
    def packed(self) -> bool:
        """Is this bytes now, which take no more memory than they took on the wire?"""
        return self._records is None

    def pack(self) -> None:
        """Let go of the records, if the payload can bring them back: nobody has to collect bytes."""
        if self._payload:
            self._records = None

    def __iter__(self) -> Iterator[Call]:
        return self.since(0)

    def __len__(self) -> int:
        return self.count

    def since(self, start: int) -> Iterator[Call]:
        """The calls but the first `start`."""
        routes, anchor, worker, each = self.routes, self.anchor_ns, self.worker, self.size
        for record in map(Record._make, islice(self.records, start, None)):
            yield Call(record, routes[record.route], anchor, worker, each)


class Intake:
    """The observer's end of one worker's stream: remembers the routes the worker has told of."""

    def __init__(self) -> None:
        self._routes: list[RouteEntry] = [NO_ROUTE]
        self.worker = 0
        self.dropped = 0
        """Records the worker says it has given up."""

    def take(self, batch: Batch, size: int = 0, payload: bytes = b"") -> Calls:
        """The calls of a batch of `size` bytes, made of `payload`. ValueError where it skips routes."""
        if batch.first_route > len(self._routes):
            raise ValueError(f"routes {len(self._routes)} to {batch.first_route - 1} were never told")
        if batch.first_route < len(self._routes):  # told again: earlier calls keep what they were told
            self._routes = self._routes[: batch.first_route]
        self._routes += [RouteEntry._make(entry) for entry in batch.routes]
        self.worker, self.dropped = batch.worker, batch.dropped
        records = batch.records
        if max(map(_ROUTE, records), default=0) >= len(self._routes):
            raise ValueError("a record of a route that was never told")
        each = size // max(1, len(records))
        return Calls(
            records,
            self._routes,
            anchor_ns=batch.anchor_ns,
            worker=batch.worker,
            size=each,
            payload=payload,
        )
