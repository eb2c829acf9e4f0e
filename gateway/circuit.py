"""The state of a circuit: pybreaker's state machine, with admission and judgement that fit asyncio.

Everything is synchronous and decides at once; who calls is told by a generation whether a late result
still matters.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pybreaker import STATE_CLOSED, STATE_HALF_OPEN, STATE_OPEN, CircuitBreaker, CircuitBreakerListener

from gateway.services import Services

CLOSED, OPEN, HALF_OPEN = str(STATE_CLOSED), str(STATE_OPEN), str(STATE_HALF_OPEN)
NOT_ADMITTED = -1
_SLOTS = 10
_PROBE_SECONDS = 1.0
"""What a refused caller is told to wait while probes are under way."""


@dataclass(frozen=True, slots=True)
class CircuitSettings:
    """When a circuit opens, and how it closes again. Durations in seconds."""

    failures: int | None = 5
    """Failures in a row, all within `window`."""
    window: float = 10.0
    failure_rate: float | None = None
    """Share of failures among at least `minimum_calls` within `window`."""
    minimum_calls: int = 20
    reset_after: float = 30.0
    probes: int = 1
    """Calls at once while half-open, and successes that close it."""


class RollingCounts:
    """Calls and failures of the last `window` seconds, to a tenth of it."""

    __slots__ = ("_calls", "_failures", "_slot_seconds", "_tick")

    def __init__(self, window: float) -> None:
        self._slot_seconds = window / _SLOTS
        self._calls, self._failures = [0] * _SLOTS, [0] * _SLOTS
        self._tick = 0

    def add(self, now: float, *, failed: bool) -> None:
        """Count one call."""
        tick = int(now / self._slot_seconds)
        for stale in range(max(self._tick, tick - _SLOTS) + 1, tick + 1):
            self._calls[stale % _SLOTS] = self._failures[stale % _SLOTS] = 0
        self._tick = max(self._tick, tick)
        self._calls[tick % _SLOTS] += 1
        self._failures[tick % _SLOTS] += failed

    def clear(self) -> None:
        """Forget everything."""
        self._calls, self._failures = [0] * _SLOTS, [0] * _SLOTS

    @property
    def calls(self) -> int:
        """Calls within the window, as of the last one."""
        return sum(self._calls)

    @property
    def failures(self) -> int:
        """Failures among them."""
        return sum(self._failures)


class Circuit:
    """Closed: calls pass. Open: none does until `reset_after`. Half-open: `probes` at once, and they decide.

    `admit` before a call gives a generation, `release` after it the result. Each change of state begins a
    new generation; results of older ones are ignored: a call sent before the circuit opened says nothing of
    the upstream since.
    """

    def __init__(
        self,
        settings: CircuitSettings,
        now: Callable[[], float],
        on_change: Callable[[str], None],
    ) -> None:
        self._settings, self._now, self._on_change = settings, now, on_change
        self._breaker = CircuitBreaker(
            success_threshold=settings.probes,
            listeners=[_Listener(self._changed)],
            throw_new_error_on_trip=False,
        )
        self.state = CLOSED
        self.generation = 0
        self._held = ""
        self._opened_at = 0.0
        self._probing = 0
        self._streak: deque[float] = deque(maxlen=settings.failures or 1)
        """Times of the latest failures since the last success."""
        self._counts = RollingCounts(settings.window)

    def admit(self) -> int:
        """The generation a call may run under, or NOT_ADMITTED."""
        if self.state == CLOSED:
            return self.generation
        if self.state == OPEN:
            if self._held or self._now() < self._opened_at + self._settings.reset_after:
                return NOT_ADMITTED
            self._breaker.half_open()
        if self._probing >= self._settings.probes:
            return NOT_ADMITTED
        self._probing += 1
        return self.generation

    def release(self, generation: int, *, failed: bool | None) -> None:
        """How a call went; None where it says nothing about the upstream."""
        if generation != self.generation:
            return
        if self.state == HALF_OPEN:
            self._probing -= 1
            if failed:
                self._breaker.open()
            elif failed is not None:
                self._breaker.state.on_success()
        elif failed is not None and not self._held:
            self._judge(failed)

    def _judge(self, failed: bool) -> None:
        settings = self._settings
        if not failed and settings.failure_rate is None:
            self._streak.clear()
            return
        now = self._now()
        if settings.failure_rate is not None:
            self._counts.add(now, failed=failed)
        if not failed:
            self._streak.clear()
            return
        self._streak.append(now)
        if (
            settings.failures is not None
            and len(self._streak) == settings.failures
            and now - self._streak[0] <= settings.window
        ) or (
            settings.failure_rate is not None
            and self._counts.calls >= settings.minimum_calls
            and self._counts.failures >= settings.failure_rate * self._counts.calls
        ):
            self._breaker.open()

    def _changed(self, state: str) -> None:
        if state != self.state:
            self._on_change(state)
        self.state = state
        self.generation += 1
        self._probing = 0
        self._streak.clear()
        self._counts.clear()
        if state == OPEN:
            self._opened_at = self._now()

    def seconds_to_probe(self) -> float:
        """How long a refused caller had better wait."""
        if self.state == OPEN:
            return max(0.0, self._opened_at + self._settings.reset_after - self._now())
        return _PROBE_SECONDS

    def force_open(self) -> None:
        """An operator stops all calls, until `reset`."""
        self._held = OPEN
        self._breaker.open()

    def force_close(self) -> None:
        """An operator lets all calls pass, whatever their results, until `reset`."""
        self._held = CLOSED
        self._breaker.close()

    def reset(self) -> None:
        """Close, forget all failures, and judge by itself again."""
        self._held = ""
        self._breaker.close()

    def snapshot(self) -> dict[str, Any]:
        """What an operator wants to see, as plain data."""
        return {
            "state": self.state,
            "held": self._held,
            "failures": len(self._streak),
            "probing": self._probing,
            "seconds_to_probe": self.seconds_to_probe() if self.state == OPEN and not self._held else None,
        }

    def __repr__(self) -> str:
        return (
            f"<Circuit {self.state}{', held' if self._held else ''}, {len(self._streak)} failures in a row>"
        )


class _Listener(CircuitBreakerListener):
    """Carries pybreaker's news of a change to the circuit."""

    def __init__(self, changed: Callable[[str], None]) -> None:
        self._changed = changed

    def state_change(self, cb: CircuitBreaker, old_state: Any, new_state: Any) -> None:
        del cb, old_state
        self._changed(new_state.name)


class Circuits:
    """The circuits of one upstream: one for all of it, under the target `""`, or one for each target."""

    def __init__(self, upstream: str, settings: CircuitSettings, services: Services) -> None:
        self.upstream = upstream
        self._settings = settings
        self._now = services.clock.now
        self._circuits: dict[str, Circuit] = {}
        self._state = services.metrics.gauge(
            "gateway_circuit_state",
            "1 for the state a circuit is in, else 0.",
            ("upstream", "target", "state"),
        )
        self._transitions = services.metrics.counter(
            "gateway_circuit_transitions_total", "Changes of a circuit's state.", ("upstream", "target", "to")
        )

    def of(self, target: str) -> Circuit:
        """The circuit of a target; targets are those the configuration names, so there are few."""
        circuit = self._circuits.get(target)
        if circuit is None:

            def changed(state: str) -> None:
                self._transitions.add((self.upstream, target, state))

            circuit = self._circuits[target] = Circuit(self._settings, self._now, changed)
            for state in (CLOSED, OPEN, HALF_OPEN):
                self._state.watch(_is_in(circuit, state), (self.upstream, target, state))
        return circuit

    def snapshot(self) -> dict[str, dict[str, object]]:
        """Target → its circuit's state, for operators."""
        return {target: circuit.snapshot() for target, circuit in self._circuits.items()}

    def force_open(self) -> None:
        """Stop all calls until `reset`."""
        for circuit in self._circuits.values():
            circuit.force_open()

    def force_close(self) -> None:
        """Let all calls pass until `reset`."""
        for circuit in self._circuits.values():
            circuit.force_close()

    def reset(self) -> None:
        """Close, forget all failures, and judge by itself again."""
        for circuit in self._circuits.values():
            circuit.reset()

    def __repr__(self) -> str:
        return f"<Circuits of {self.upstream}: {self._circuits}>"


def _is_in(circuit: Circuit, state: str) -> Callable[[], float]:
    return lambda: float(circuit.state == state)
