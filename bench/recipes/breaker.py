"""A circuit breaker for asyncio, as recipes have it: it opens after some failures in a row."""

from __future__ import annotations

import time


class Breaker:
    """Ask `allows()` before a call, tell `succeeded()` or `failed()` after it."""

    def __init__(self, failures: int = 5, reset_seconds: float = 30.0) -> None:
        self._limit = failures
        self._reset_seconds = reset_seconds
        self._failures = 0
        self._opened_at: float | None = None

    def allows(self) -> bool:
        """Closed, or open for so long that one call may try."""
        if self._opened_at is None:
            return True
        now = time.monotonic()
        if now - self._opened_at < self._reset_seconds:
            return False
        self._opened_at = now  # this one is the probe; the next may come after another while
        return True

    def succeeded(self) -> None:
        self._failures = 0
        self._opened_at = None

    def failed(self) -> None:
        self._failures += 1
        if self._failures >= self._limit:
            self._opened_at = time.monotonic()
