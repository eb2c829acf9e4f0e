"""One deadline over the rest of the chain."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from gateway.errors import Sent, UpstreamError
from gateway.exchange import Exchange, Outcome, Response
from gateway.policy import Forward, Policy, PolicyConfig
from gateway.stream import Stream
from gateway.units import Duration, format_duration

if TYPE_CHECKING:
    from gateway.services import Services

GRACE_SECONDS = 0.02
"""The upstream client keeps the deadline too, and knows better what was sent: it goes first."""


class TimeoutConfig(PolicyConfig):
    """One deadline over everything inside: waiting, attempts, and the body unless the route streams."""

    name: ClassVar[str] = "timeout"
    shadows_itself: ClassVar[bool] = True

    total: Duration = Field(default=10.0, gt=0)
    """Longest time from entering this policy to the last byte of the answer."""

    def describe(self) -> str:
        return f"ends the call {format_duration(self.total)} after it got here"

    def build(self, services: Services) -> Policy:
        total, clock, ends_at_head = self.total, services.clock, services.route.stream
        detail = f"no complete answer within {format_duration(total)}"

        async def timeout(exchange: Exchange, forward: Forward) -> Response:
            now = clock.now()
            outer = exchange.deadline
            deadline = now + total
            if outer is not None and outer < deadline:
                deadline = outer
            exchange.deadline = deadline
            guard = _Guard(deadline - now + GRACE_SECONDS)
            try:
                response = await forward(exchange)
            except asyncio.CancelledError:
                if not guard.is_all_there_is():
                    raise
                exchange.decide("timeout", "timed_out", detail)
                error = UpstreamError("UPSTREAM_TIMEOUT", detail, sent=_sent(exchange), reason="deadline")
                raise error from None
            finally:
                guard.end()
                # A fallback or a retry outside has time of its own.
                exchange.deadline = outer
            body = response.body
            if isinstance(body, Stream) and not body.ended and not ends_at_head:
                _BodyDeadline(response, body, exchange, deadline - clock.now(), detail)
            return response

        async def shadow(exchange: Exchange, forward: Forward) -> Response:
            started = clock.now()
            try:
                return await forward(exchange)
            finally:
                if clock.now() - started > total:
                    exchange.decide("timeout", "would_time_out", detail)

        return shadow if self.mode == "shadow" else timeout

    async def foresee(self, exchange: Exchange, services: Services) -> str:
        del exchange, services
        return f"would give up {format_duration(self.total)} later"


class _Guard:
    """Cancels the running task at the deadline: `asyncio.timeout`, at two thirds of its cost per call."""

    __slots__ = ("cancelling", "expired", "task", "timer")

    def __init__(self, seconds: float) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.task, self.expired, self.cancelling = task, False, task.cancelling()
        self.timer = asyncio.get_running_loop().call_later(seconds, self.expire)

    def expire(self) -> None:
        self.expired = True
        self.task.cancel()

    def is_all_there_is(self) -> bool:
        """Is nothing but the deadline behind the cancellation? Else the caller has left too."""
        return self.expired and self.task.cancelling() <= self.cancelling + 1

    def end(self) -> None:
        self.timer.cancel()
        if self.expired:
            self.task.uncancel()


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
