"""The deadlines of one connection: three moments, one timer that is hardly ever set."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

NEVER = float("inf")


class Deadlines:
    """When the answer must begin (`response`), the next byte come (`idle`), and all be over (`total`).

    Moments are loop times; NEVER for none. Setting one costs an assignment: the timer is moved only
    where the new moment comes before the one it waits for, and looks again whenever it fires. On a
    busy connection that is once in some seconds, not once per call.
    """

    __slots__ = ("_at", "_loop", "_on_due", "_timer", "idle", "response", "total")

    def __init__(self, loop: asyncio.AbstractEventLoop, on_due: Callable[[str], None]) -> None:
        self._loop = loop
        self._on_due = on_due
        self._timer: asyncio.TimerHandle | None = None
        self._at = NEVER
        self.response = NEVER
        self.idle = NEVER
        self.total = NEVER

    def begin(self, *, response: float, total: float) -> None:
        """Set all three: the answer must begin by `response`, and no byte is waited for yet."""
        self.response, self.idle, self.total = response, NEVER, total
        if response < self._at or total < self._at:
            self.watch()

    def watch(self) -> None:
        """To be called after a moment was set: see to it that the timer fires no later."""
        at = min(self.response, self.idle, self.total)
        if at < self._at:
            if self._timer is not None:
                self._timer.cancel()
            self._at = at
            self._timer = self._loop.call_at(at, self._fire)

    def clear(self) -> None:
        """Nothing has to happen any more; the timer may still fire, for nothing."""
        self.response = self.idle = self.total = NEVER

    def stop(self) -> None:
        """The connection is closed."""
        self.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self._timer, self._at = None, NEVER
        due = min(self.response, self.idle, self.total)
        if due > self._loop.time():
            if due != NEVER:
                self.watch()
        else:
            self._on_due("response" if due == self.response else "idle" if due == self.idle else "total")

    def __repr__(self) -> str:
        now = self._loop.time()
        return "<Deadlines response {:.3g}s, idle {:.3g}s, total {:.3g}s from now>".format(
            *(at - now for at in (self.response, self.idle, self.total))
        )
