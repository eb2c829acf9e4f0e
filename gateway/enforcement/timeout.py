"""Ends a call at its deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from gateway.errors import Sent, UpstreamError
from gateway.exchange import Exchange, Outcome, Response
from gateway.policy import Forward, Policy
from gateway.stream import Stream

GRACE_SECONDS = 0.02
"""The upstream client keeps the deadline too, and knows better what was sent: it goes first."""


def timeout_policy(total: float, now: Callable[[], float], detail: str, *, ends_at_head: bool) -> Policy:
    """Cancels what is inside of it `total` seconds after a call came, and says `detail`."""
    watch = _Watch(now)
    under_way, expired = watch.under_way, watch.expired

    async def timeout(exchange: Exchange, forward: Forward) -> Response:
        outer = exchange.deadline
        deadline = now() + total
        task = asyncio.current_task(watch.loop)
        assert task is not None
        cancelling = task.cancelling()
        if outer is not None and outer < deadline:
            deadline = outer  # whose owner, further out, ends the call
        else:
            under_way[task] = deadline
            if not watch.armed:
                watch.arm(total)
        exchange.deadline = deadline
        try:
            response = await forward(exchange)
        except asyncio.CancelledError:
            # More cancellations than the deadline's own mean that the caller has left too.
            if task not in expired or task.cancelling() > cancelling + 1:
                raise
            exchange.decide("timeout", "timed_out", detail)
            error = UpstreamError("UPSTREAM_TIMEOUT", detail, sent=_sent(exchange), reason="deadline")
            raise error from None
        finally:
            if under_way.pop(task, None) is None and task in expired:
                expired.discard(task)
                task.uncancel()
            # A fallback or a retry outside has time of its own.
            exchange.deadline = outer
        body = response.body
        if isinstance(body, Stream) and not body.ended and not ends_at_head:
            _BodyDeadline(response, body, exchange, deadline - now(), detail)
        return response

    return timeout


def shadow_timeout(total: float, now: Callable[[], float], detail: str) -> Policy:
    """Only notes what would have been ended."""

    async def shadow(exchange: Exchange, forward: Forward) -> Response:
        started = now()
        try:
            return await forward(exchange)
        finally:
            if now() - started > total:
                exchange.decide("timeout", "would_time_out", detail)

    return shadow


class _Watch:
    """The calls under one policy, each cancelled at its deadline by one timer for all of them.

    They all get the same time, so the order in which they came is that of their deadlines: the timer waits
    for the first, and looks again when it fires. A timer for each costs as much as the rest of the policy.
    """

    __slots__ = ("_now", "armed", "expired", "loop", "under_way")

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.loop: asyncio.AbstractEventLoop | None = None
        """The running one, once a call came: asking for it costs a system call in Python 3.11."""
        self.under_way: dict[asyncio.Task[Any], float] = {}
        """Task → deadline, in that order."""
        self.expired: set[asyncio.Task[Any]] = set()
        """Cancelled here, and not yet told."""
        self.armed = False

    def arm(self, seconds: float) -> None:
        """Look in `seconds` and a grace for who is late."""
        self.armed = True
        if self.loop is None:
            self.loop = asyncio.get_running_loop()
        self.loop.call_later(seconds + GRACE_SECONDS, self._look)

    def _look(self) -> None:
        now = self._now()
        while self.under_way:
            task, deadline = next(iter(self.under_way.items()))
            if deadline + GRACE_SECONDS > now:
                self.arm(deadline - now)
                return
            del self.under_way[task]
            self.expired.add(task)
            task.cancel()
        self.armed = False


class _BodyDeadline:
    """Breaks a body off that is still arriving at the deadline."""

    __slots__ = ("body", "detail", "exchange", "timer")

    def __init__(
        self, response: Response, body: Stream, exchange: Exchange, seconds: float, detail: str
    ) -> None:
        self.body, self.exchange, self.detail = body, exchange, detail
        self.timer = asyncio.get_running_loop().call_later(max(0.0, seconds), self.expire)
        response.on_end(self.cancel)

    def expire(self) -> None:
        if self.body.ended:  # it is all here; how fast the caller reads it is the edge's to bound
            return
        self.exchange.decide("timeout", "cut_off", self.detail)
        self.body.fail(UpstreamError("UPSTREAM_TIMEOUT", self.detail, sent=Sent.YES, reason="deadline"))
        self.body.close()

    def cancel(self, _outcome: Outcome) -> None:
        self.timer.cancel()


def _sent(exchange: Exchange) -> Sent:
    """What the attempts say; a cancelled one that had a connection may have sent more than it noted."""
    sent = {attempt.sent for attempt in exchange.attempts}
    if Sent.YES in sent:
        return Sent.YES
    last = exchange.attempts[-1] if exchange.attempts else None
    if Sent.UNKNOWN in sent or (last is not None and last.connected_ns and not last.status):
        return Sent.UNKNOWN
    return Sent.NO
