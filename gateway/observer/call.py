"""A call as the observer sees it: a record, with what its batch said about its route and its clock."""

from __future__ import annotations

from typing import NamedTuple

from gateway.record import NO_ROUTE, AttemptRecord, Batch, Record, RouteEntry


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


class Intake:
    """The observer's end of one worker's stream: remembers the routes the worker has told of."""

    def __init__(self) -> None:
        self._routes: list[RouteEntry] = [NO_ROUTE]
        self.worker = 0
        self.dropped = 0
        """Records the worker says it has given up."""

    def take(self, batch: Batch, size: int = 0) -> list[Call]:
        """The calls of a batch of `size` bytes. ValueError where it skips routes."""
        if batch.first_route > len(self._routes):
            raise ValueError(f"routes {len(self._routes)} to {batch.first_route - 1} were never told")
        self._routes[batch.first_route :] = [RouteEntry._make(entry) for entry in batch.routes]
        self.worker, self.dropped = batch.worker, batch.dropped
        routes, anchor, worker = self._routes, batch.anchor_ns, batch.worker
        each = size // max(1, len(batch.records))
        return [
            Call(record, routes[record.route], anchor, worker, each)
            for record in map(Record._make, batch.records)
        ]
