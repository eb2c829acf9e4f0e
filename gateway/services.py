"""What policies may touch of the world: clock, ids, stores, metrics, upstreams, control-plane HTTP.

Nothing else: a policy reads no environment, file, wall clock or randomness of its own, so every one
of them can be tested by handing it other services.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gateway.consumers import Consumer
from gateway.control import Answer as Answer  # noqa: PLC0414 - policies read what the control client answers
from gateway.control import ControlClient as ControlClient  # noqa: PLC0414
from gateway.exchange import Exchange, Response
from gateway.metrics import Metrics

T = TypeVar("T")


class Clock:
    """Time, as the running event loop and the machine have it."""

    def now(self) -> float:
        """Monotonic seconds, the scale of `Exchange.deadline` and `loop.time()`."""
        return time.monotonic()

    def time(self) -> float:
        """Seconds since the Unix epoch."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class FakeClock(Clock):
    """A clock that tests move by hand; sleeping moves it, and yields once."""

    def __init__(self, now: float = 1_000.0, unix: float = 1_700_000_000.0) -> None:
        self._now, self._offset = now, unix - now

    def now(self) -> float:
        return self._now

    def time(self) -> float:
        return self._now + self._offset

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        await asyncio.sleep(0)


class State:
    """Live state of policies and upstreams that outlives a reload where its key did not change.

    A build of a new generation runs between `begin` and either `commit` or `abort`; it asks for what
    it uses. One build at a time.
    """

    def __init__(self) -> None:
        self._kept: dict[Hashable, Any] = {}
        self._asked: set[Hashable] = set()
        self._made: set[Hashable] = set()

    def keep(self, key: Hashable, make: Callable[[], T]) -> T:
        """The state under `key`, made by `make` where there is none yet."""
        self._asked.add(key)
        if key not in self._kept:
            self._kept[key] = make()
            self._made.add(key)
        kept: T = self._kept[key]
        return kept

    def begin(self) -> None:
        """A new generation starts asking."""
        self._asked = set()
        self._made = set()

    def commit(self) -> list[Any]:
        """The new generation serves: forget what it did not ask for; returns that, to be closed."""
        return [self._kept.pop(key) for key in [key for key in self._kept if key not in self._asked]]

    def abort(self) -> list[Any]:
        """The new generation will not serve: forget what was made for it; returns that, to be closed."""
        return [self._kept.pop(key) for key in self._made if key in self._kept]


@dataclass(frozen=True, slots=True)
class RouteFacts:
    """What a policy may know of the route it is built for."""

    name: str = "route"
    upstream: str = "upstream"
    provider: str = ""
    stream: bool = False


def _unrecorded(exchange: Exchange) -> None:
    """Where nothing records, nothing is."""
    del exchange


@dataclass(frozen=True, slots=True)
class Services:
    """Handed to `PolicyConfig.build`, once per route."""

    control: ControlClient
    stores: Any
    """`gateway.stores.Stores`: counters for limits, bytes for the cache."""
    clock: Clock = field(default_factory=Clock)
    random: random.Random = field(default_factory=random.SystemRandom)
    state: State = field(default_factory=State)
    metrics: Metrics = field(default_factory=Metrics)
    consumers: Mapping[str, Consumer] = field(default_factory=dict)
    """Everybody who may call: `consumers:` and, under their own names, `providers:`."""
    upstreams: Mapping[str, Callable[[Exchange], Awaitable[Response]]] = field(default_factory=dict)
    route: RouteFacts = field(default_factory=RouteFacts)
    record_background: Callable[[Exchange], None] = _unrecorded
    """Take note of a forwarded call that no caller waited for, when it has ended."""
    background: Callable[[Awaitable[Any]], None] = asyncio.ensure_future  # type: ignore[assignment]
    """Run something beside the call (a cache revalidation, a token refresh); its failure is logged."""
