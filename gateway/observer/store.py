"""The last calls, kept for a look: bounded by count and by bytes, whether a collector exists or not."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from gateway.observer.call import Call, Calls

CALLS_LIMIT = 5000
BYTES_LIMIT = 32 * 1024 * 1024
OVERHEAD_BYTES = 4
"""A call's strings and tuples take about so many times their size on the wire; one kept as bytes does not."""


class AmbiguousError(LookupError):
    """Several traces begin like this."""


class Store:
    """A ring of calls, batch by batch; the oldest go first."""

    def __init__(self, calls_limit: int = CALLS_LIMIT, bytes_limit: int = BYTES_LIMIT) -> None:
        self.calls_limit, self.bytes_limit = calls_limit, bytes_limit
        self.bytes = 0
        self._batches: deque[tuple[Calls, int]] = deque()
        """Each with the bytes that one of its calls takes."""
        self._count = 0
        self._forgotten = 0
        """Calls at the beginning of the oldest batch that are kept no more."""

    def add(self, call: Call) -> None:
        """Keep a call; forget old ones where there is no room."""
        self.extend(Calls.of(call))

    def extend(self, calls: Calls) -> None:
        """Keep the calls of a batch, as bytes where they can be; forget old ones where there is no room."""
        calls.pack()
        each = calls.size if calls.packed else calls.size * OVERHEAD_BYTES
        self._batches.append((calls, each))
        self._count += calls.count
        self.bytes += calls.count * each
        while self._count > self.calls_limit or self.bytes > self.bytes_limit:
            self._forget()

    def _forget(self) -> None:
        """Forget of the oldest batch as many calls as there is no room for."""
        oldest, each = self._batches[0]
        left = oldest.count - self._forgotten
        excess = max(self._count - self.calls_limit, -((self.bytes_limit - self.bytes) // max(1, each)))
        gone = min(left, excess)
        self._count -= gone
        self.bytes -= gone * each
        self._forgotten += gone
        if gone == left:
            self._batches.popleft()
            self._forgotten = 0

    def _calls(self) -> Iterator[Call]:
        """All calls, the oldest first."""
        start = self._forgotten
        for calls, _ in self._batches:
            yield from calls.since(start)
            start = 0

    def __len__(self) -> int:
        return self._count

    def trace(self, prefix: str) -> list[Call]:
        """The calls of the trace whose id begins with `prefix`, oldest first: it may pass more than once.

        Empty where there is none; `AmbiguousError` where several traces begin so.
        """
        prefix = prefix.lower()
        found = [call for call in self._calls() if call.record.trace_id.startswith(prefix)] if prefix else []
        ids = {call.record.trace_id for call in found}
        if len(ids) > 1:
            raise AmbiguousError(f"{len(ids)} traces begin with {prefix}: write more of the id")
        return sorted(found, key=lambda call: call.started_unix_ns)

    def find(
        self, *, errors: bool = False, slow: bool = False, route: str | None = None, limit: int = 20
    ) -> list[Call]:
        """Calls, newest first; with `slow`, the slowest first."""
        found = (
            call
            for call in reversed(list(self._calls()))
            if (not errors or call.failed) and (route is None or call.route.name == route)
        )
        if slow:
            return sorted(found, key=lambda call: call.total_ns, reverse=True)[:limit]
        return [call for call, _ in zip(found, range(limit), strict=False)]

    def __repr__(self) -> str:
        return f"<Store {len(self)} of {self.calls_limit} calls, {self.bytes} of {self.bytes_limit} bytes>"
