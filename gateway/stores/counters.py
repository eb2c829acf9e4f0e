"""Counters of rate limits: in this worker's memory, exact, bounded, and without a timer or a scan."""

from __future__ import annotations

import time
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Literal, Protocol

from gateway.units import Rate

if TYPE_CHECKING:
    from gateway.stores.shared_counters import SharedCounters

Strategy = Literal["fixed_window", "sliding_window", "token_bucket"]
Verdict = tuple[int, float]
"""(calls left, seconds until there are more), or (-1, seconds until a call may pass)."""

MAX_KEYS = 1_000_000
"""Keys one counter remembers at most. A key costs about 150 bytes, 200 in a token bucket; beyond the cap,
those that were idle longest are forgotten, which errs on the side of letting a call pass."""
_NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Limit:
    """What one rule counts: a rate, how, and for a token bucket how many calls may come at once."""

    rate: Rate
    strategy: Strategy
    burst: int

    @property
    def quota(self) -> int:
        """The most calls that may come at once."""
        return self.burst or self.rate.amount

    @property
    def window_seconds(self) -> int:
        """In how many whole seconds the quota comes in: of a token bucket, the time it takes to fill."""
        return ceil(Fraction(self.quota * self.rate.seconds, self.rate.amount))

    def __str__(self) -> str:
        return f"{self.strategy}/{self.rate}/{self.burst}"


class StoreUnavailableError(Exception):
    """The shared store did not answer, or failed a moment ago."""


class Counter(Protocol):
    """Counts the calls of one rule, apart for each key, in memory."""

    def hit(self, key: str, now: float) -> Verdict:
        """Count a call at `now` (seconds, monotonic) if it is within the limit."""
        ...


class FixedWindow:
    """So many calls per window.

    A window begins with the first call after the last one ended, for all keys at once, so that its end
    forgets all of them in one step.
    """

    __slots__ = ("_amount", "_counts", "_ends", "_half", "_older", "_seconds")

    def __init__(self, limit: Limit, max_keys: int = MAX_KEYS) -> None:
        self._amount, self._seconds = limit.rate.amount, limit.rate.seconds
        self._counts: dict[str, int] = {}
        self._older: dict[str, int] = {}
        """Keys of this window that gave way to newer ones; touched again, they move back."""
        self._half = max(1, max_keys // 2)
        self._ends = float("-inf")

    def hit(self, key: str, now: float) -> Verdict:
        if now >= self._ends:
            self._ends = now + self._seconds
            self._counts, self._older = {}, {}
        count = self._counts.get(key)
        if count is None:
            count = self._older.get(key, 0)
            if len(self._counts) >= self._half:
                self._counts, self._older = {}, self._counts
        left = self._amount - count
        self._counts[key] = count + 1 if left else count
        return left - 1, self._ends - now

    def __len__(self) -> int:
        return len(self._counts) + len(self._older)


class SlidingWindow:
    """The sliding window counter: the last window's count fades out while this one's grows.

    It takes calls to have been spread evenly over the last window, as `limits` and most gateways do.
    """

    __slots__ = (
        "_amount", "_before", "_before_older", "_counts", "_older", "_quarter", "_seconds", "_start"
    )  # fmt: skip

    def __init__(self, limit: Limit, max_keys: int = MAX_KEYS) -> None:
        self._amount, self._seconds = limit.rate.amount, limit.rate.seconds
        self._counts: dict[str, int] = {}
        self._older: dict[str, int] = {}
        """Keys of this window that gave way to newer ones; touched again, they move back."""
        self._before: dict[str, int] = {}
        self._before_older: dict[str, int] = {}
        self._quarter = max(1, max_keys // 4)
        self._start = float("-inf")

    def hit(self, key: str, now: float) -> Verdict:
        seconds = self._seconds
        elapsed = now - self._start
        if elapsed >= seconds:
            elapsed = self._turn(now, elapsed)
        known = self._counts.get(key)
        count = self._older.get(key, 0) if known is None else known
        before = self._before.get(key) or self._before_older.get(key, 0)
        left = self._amount - count
        more_in = seconds - elapsed  # this window must end, and begin to fade ...
        if before and (faded_to := int(before * more_in / seconds)):
            left -= faded_to
            more_in -= faded_to * seconds / before  # ... or what is left of the last one falls by one
        if left > 0:
            if known is None and len(self._counts) >= self._quarter:
                self._counts, self._older = {}, self._counts
            self._counts[key] = count + 1
            return left - 1, more_in
        return -1, max(0.0, more_in) + 0.001

    def _turn(self, now: float, elapsed: float) -> float:
        """Begin a new window; returns how much of it is over."""
        if elapsed < 2 * self._seconds:
            self._before, self._before_older = self._counts, self._older
            self._start += self._seconds
        else:
            self._before, self._before_older = {}, {}
            self._start = now
        self._counts, self._older = {}, {}
        return now - self._start

    def __len__(self) -> int:
        return len(self._counts) + len(self._older) + len(self._before) + len(self._before_older)


class TokenBucket:
    """A bucket of `burst` tokens that fills at `rate`, as the generic cell rate algorithm (ITU-T I.371).

    Per key it keeps one number, the theoretical arrival time, in whole units of 1/amount nanoseconds, so
    that nothing is lost to rounding. A key whose time has passed equals one never seen: keys not
    touched for as long as a full bucket takes to fill are forgotten a generation at a time.
    """

    __slots__ = ("_amount", "_depth", "_half", "_lifetime", "_older", "_rotate_at", "_times", "_token")

    def __init__(self, limit: Limit, max_keys: int = MAX_KEYS) -> None:
        self._amount = limit.rate.amount
        self._token = limit.rate.seconds * _NANO
        self._depth = self._token * limit.burst
        self._lifetime = self._depth / self._amount / _NANO
        self._times: dict[str, int] = {}
        self._older: dict[str, int] = {}
        self._half = max(1, max_keys // 2)
        self._rotate_at = float("-inf")

    def hit(self, key: str, now: float) -> Verdict:
        ticks = int(now * _NANO) * self._amount
        arrival = self._times.get(key)
        if arrival is None:
            if now >= self._rotate_at or len(self._times) >= self._half:
                self._times, self._older = {}, self._times
                self._rotate_at = now + self._lifetime
            arrival = self._older.get(key, 0)
        arrival = (arrival if arrival > ticks else ticks) + self._token  # noqa: FURB136 - `max` is a call
        room = self._depth - (arrival - ticks)
        if room < 0:
            self._times[key] = arrival - self._token
            return -1, -room / self._amount / _NANO
        self._times[key] = arrival
        left = room // self._token
        return left, ((left + 1) * self._token - room) / self._amount / _NANO

    def __len__(self) -> int:
        return len(self._times) + len(self._older)


_COUNTERS: dict[str, type[FixedWindow | SlidingWindow | TokenBucket]] = {
    "fixed_window": FixedWindow,
    "sliding_window": SlidingWindow,
    "token_bucket": TokenBucket,
}


def local_counter(limit: Limit, max_keys: int = MAX_KEYS) -> Counter:
    """A counter in this worker's memory."""
    return _COUNTERS[limit.strategy](limit, max_keys)


class CounterStore:
    """Where counters are kept that all workers share: nowhere with `memory`, else in Valkey."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.shared: SharedCounters | None = None
        """None where there is no store beyond this worker's memory."""

    async def close(self) -> None:
        """Close connections to Valkey, where there are any."""
        if self.shared is not None:
            await self.shared.close()


def open_counters(url: str) -> CounterStore:
    """The counters kept at `url`: `memory`, or `valkey://[user:password@]host:port/db`.

    Nothing is connected to before the first call.
    """
    store = CounterStore(url)
    if url != "memory":
        from gateway.stores.shared_counters import SharedCounters  # noqa: PLC0415 - slow to load, seldom needed

        store.shared = SharedCounters(url, time.monotonic)
    return store
