"""The last calls, kept for a look: bounded by count and by bytes, whether a collector exists or not."""

from __future__ import annotations

from collections import deque

from gateway.observer.call import Call

CALLS_LIMIT = 5000
BYTES_LIMIT = 32 * 1024 * 1024
OVERHEAD_BYTES = 4
"""A call's strings and tuples take about so many times their size on the wire."""


class AmbiguousError(LookupError):
    """Several traces begin like this."""


class Store:
    """A ring of calls; the oldest go first."""

    def __init__(self, calls_limit: int = CALLS_LIMIT, bytes_limit: int = BYTES_LIMIT) -> None:
        self.calls_limit, self.bytes_limit = calls_limit, bytes_limit
        self.bytes = 0
        self._calls: deque[Call] = deque()

    def add(self, call: Call) -> None:
        """Keep a call; forget old ones where there is no room."""
        calls = self._calls
        calls.append(call)
        self.bytes += call.size * OVERHEAD_BYTES
        while len(calls) > self.calls_limit or self.bytes > self.bytes_limit:
            self.bytes -= calls.popleft().size * OVERHEAD_BYTES

    def __len__(self) -> int:
        return len(self._calls)

    def trace(self, prefix: str) -> list[Call]:
        """The calls of the trace whose id begins with `prefix`, oldest first: it may pass more than once.

        Empty where there is none; `AmbiguousError` where several traces begin so.
        """
        prefix = prefix.lower()
        found = [call for call in self._calls if call.record.trace_id.startswith(prefix)] if prefix else []
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
            for call in reversed(self._calls)
            if (not errors or call.failed) and (route is None or call.route.name == route)
        )
        if slow:
            return sorted(found, key=lambda call: call.total_ns, reverse=True)[:limit]
        return [call for call, _ in zip(found, range(limit), strict=False)]

    def __repr__(self) -> str:
        return f"<Store {len(self)} of {self.calls_limit} calls, {self.bytes} of {self.bytes_limit} bytes>"
