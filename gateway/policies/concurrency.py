"""So many calls at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from gateway.errors import Refused
from gateway.exchange import Exchange, Outcome, Response
from gateway.identity import identifier
from gateway.mistakes import Mistake
from gateway.policy import Forward, Policy, PolicyConfig
from gateway.services import Services
from gateway.units import Duration, format_duration


class ConcurrencyConfig(PolicyConfig):
    """So many calls at once; a few more may wait for their turn."""

    name: ClassVar[str] = "concurrency"
    shadows_itself: ClassVar[bool] = True  # in shadow nobody may be made to wait

    max: int = Field(ge=1)
    """Calls in flight, counted until the last byte of their answer."""
    queue: int = Field(0, ge=0)
    """Calls that may wait for a free slot, first come, first served."""
    wait: Duration = 0.5
    """How long one may wait."""
    by: Literal["route", "upstream", "consumer", "client"] = "route"
    """What is counted apart; upstream shares one count among all routes to it that have the same rule."""
    scope: Literal["shared", "worker"] = "shared"
    """Each worker counts for itself either way; with several workers and no shared store, say worker."""

    @model_validator(mode="after")
    def _somebody_may_wait(self) -> ConcurrencyConfig:
        if self.queue and not self.wait:
            raise Mistake(
                "a queue where nobody may wait is none", "raise wait, or leave queue out", at=("wait",)
            )
        return self

    def describe(self) -> str:
        whose = {"route": "on this route", "upstream": "to the upstream, all routes together"}
        queue = f"; {self.queue} more may wait up to {format_duration(self.wait)}" if self.queue else ""
        return f"caps calls in flight {whose.get(self.by, f'per {self.by}')} at {self.max}{queue}"

    def build(self, services: Services) -> Policy:
        route = services.route
        owner = ("upstream", route.upstream) if self.by == "upstream" else ("route", route.name)
        key = ("concurrency", *owner, self.model_dump_json())
        slots = services.state.keep(key, lambda: Slots(self.max, self.queue))
        busy = services.metrics.counter(
            "gateway_busy_total",
            "Calls refused because too many were in flight.",
            ("route", "reason", "mode"),
        )
        services.metrics.gauge(
            "gateway_concurrency_in_flight", "Calls that hold a slot.", ("owner", "by")
        ).watch(slots.in_flight, (owner[1], self.by))
        services.metrics.gauge(
            "gateway_concurrency_waiting", "Calls that wait for a slot.", ("owner", "by")
        ).watch(slots.waiting, (owner[1], self.by))
        identify = identifier(self.by)
        wait, mode, now = self.wait, self.mode, services.clock.now

        async def concurrency(exchange: Exchange, forward: Forward) -> Response:
            slot = slots.of(identify(exchange))
            if not slot.take():
                patience = wait
                if exchange.deadline is not None:
                    patience = min(wait, exchange.deadline - now())
                reason = "queue_full" if slot.full else "wait"
                if slot.full or not await slot.wait(patience):
                    busy.add((route.name, reason, mode))
                    exchange.decide("concurrency", "refused", reason)
                    raise Refused("BUSY", f"{self.max} calls are in flight already", retry_after=wait)
                exchange.decide("concurrency", "waited")
            return await _hold(slot, exchange, forward)

        async def shadow(exchange: Exchange, forward: Forward) -> Response:
            slot = slots.of(identify(exchange))
            if not slot.take():
                slot.in_flight += 1
                if slot.in_flight > self.max + self.queue:
                    busy.add((route.name, "queue_full", mode))
                    exchange.decide("concurrency", "would_refuse", "BUSY")
                else:
                    exchange.decide("concurrency", "would_wait")
            return await _hold(slot, exchange, forward)

        return shadow if mode == "shadow" else concurrency

    async def foresee(self, exchange: Exchange, services: Services) -> str:
        del exchange, services
        return f"passes it on unless {self.max} are in flight"


async def _hold(slot: Slot, exchange: Exchange, forward: Forward) -> Response:
    try:
        response = await forward(exchange)
    except BaseException:
        slot.release()
        raise
    response.on_end(slot.release)
    return response


class Slot:
    """The slots of one key: how many are taken, and who waits, in order.

    A freed slot is handed to the longest waiting call before anybody new can take it, so nobody is overtaken.
    """

    __slots__ = ("_max", "_on_idle", "_queue", "_waiters", "in_flight")

    def __init__(self, max_in_flight: int, queue: int, on_idle: Callable[[], object]) -> None:
        self._max, self._queue, self._on_idle = max_in_flight, queue, on_idle
        self._waiters: deque[asyncio.Future[bool]] = deque()
        self.in_flight = 0

    @property
    def waiting(self) -> int:
        """Calls that wait."""
        return len(self._waiters)

    @property
    def full(self) -> bool:
        """Nobody more may wait."""
        return len(self._waiters) >= self._queue

    def take(self) -> bool:
        """Take a slot if one is free."""
        if self.in_flight >= self._max:
            return False
        self.in_flight += 1
        return True

    async def wait(self, seconds: float) -> bool:
        """Wait for a slot: True with the slot taken, False when the time is up."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[bool] = loop.create_future()
        self._waiters.append(turn)
        timer = loop.call_later(seconds, self._give_up, turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn in self._waiters:
                self._waiters.remove(turn)
            if not turn.cancelled() and turn.result():  # the slot arrived together with the cancellation
                self.release()
            raise
        finally:
            timer.cancel()

    def _give_up(self, turn: asyncio.Future[bool]) -> None:
        if not turn.done():
            self._waiters.remove(turn)
            turn.set_result(False)

    def release(self, outcome: Outcome | None = None) -> None:
        """Give a slot back; the longest waiting call gets it."""
        del outcome
        while self._waiters:
            turn = self._waiters.popleft()
            if not turn.done():
                turn.set_result(True)
                return
        self.in_flight -= 1
        if not self.in_flight:
            self._on_idle()

    def __repr__(self) -> str:
        return (
            f"<Slot {self.in_flight} of {self._max} in flight, {len(self._waiters)} of {self._queue} waiting>"
        )


class Slots:
    """Slots apart for each key; a key exists while it has calls in flight, so keys never outnumber calls."""

    def __init__(self, max_in_flight: int, queue: int) -> None:
        self._max, self._queue = max_in_flight, queue
        self._keys: dict[str, Slot] = {}

    def of(self, key: str) -> Slot:
        """The slots of `key`."""
        slot = self._keys.get(key)
        if slot is None:
            slot = self._keys[key] = Slot(self._max, self._queue, lambda: self._keys.pop(key))
        return slot

    def in_flight(self) -> float:
        """Calls that hold a slot, of all keys."""
        return sum(slot.in_flight for slot in self._keys.values())

    def waiting(self) -> float:
        """Calls that wait, of all keys."""
        return sum(slot.waiting for slot in self._keys.values())
