"""Stops calling an upstream that fails."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from gateway.circuit import HALF_OPEN, NOT_ADMITTED, Circuit, Circuits, CircuitSettings
from gateway.errors import Refused, UpstreamError
from gateway.exchange import Exchange, Outcome, Response
from gateway.policy import Forward, Policy, PolicyConfig
from gateway.services import Services
from gateway.units import Duration, Percent, format_duration

NEVER = float("inf")
_NO_VERDICT = frozenset({"stale", "cancelled"})
"""`UpstreamError.reason` and `Attempt.error` that do not speak of the upstream's health."""


class CircuitBreakerConfig(PolicyConfig):
    """Stops calling an upstream that fails, and probes it after a while."""

    name: ClassVar[str] = "circuit_breaker"
    shadows_itself: ClassVar[bool] = True  # in shadow no target may be vetoed either

    failures: int | None = Field(5, ge=1)
    """Failures in a row, all within `window`, that open the circuit; null for none of this."""
    window: Duration = 10.0
    """How far back failures and the failure rate are counted."""
    failure_rate: Percent | None = None
    """Share of failed calls within `window` that opens the circuit."""
    minimum_calls: int = Field(20, ge=1)
    """Calls within `window` below which `failure_rate` says nothing."""
    slow_call: Duration | None = None
    """An answer whose head takes at least this long counts as a failure."""
    reset_after: Duration = 30.0
    """How long the circuit stays open before probes may pass."""
    probes: int = Field(1, ge=1)
    """Calls that may pass at once while half-open; so many successes in a row close the circuit."""
    per: Literal["upstream", "target"] = "upstream"
    """One circuit for the upstream, or one for each of its targets."""
    scope: Literal["shared", "worker"] = "shared"
    """Each worker judges for itself either way; with several workers and no shared store, say worker."""

    @field_validator("failure_rate", "slow_call", "window", "reset_after")
    @classmethod
    def _positive(cls, value: float | None) -> float | None:
        if value == 0:
            raise ValueError("must be more than zero")
        return value

    @model_validator(mode="after")
    def _some_sign(self) -> CircuitBreakerConfig:
        if self.failures is None and self.failure_rate is None:
            raise ValueError("this circuit would never open: give failures, failure_rate or both")
        return self

    def describe(self) -> str:
        window = format_duration(self.window)
        signs = [] if self.failures is None else [f"{self.failures} failures in a row within {window}"]
        if self.failure_rate is not None:
            signs.append(
                f"{self.failure_rate * 100:g}% of {self.minimum_calls} or more calls failed in {window}"
            )
        slow = (
            ""
            if self.slow_call is None
            else f", counting answers after {format_duration(self.slow_call)} as failures"
        )
        what = "the upstream" if self.per == "upstream" else "a target"
        return (
            f"stops calling {what} after {' or '.join(signs)}{slow}, "
            f"and probes it after {format_duration(self.reset_after)}"
        )

    def build(self, services: Services) -> Policy:
        settings = CircuitSettings(
            failures=self.failures,
            window=self.window,
            failure_rate=self.failure_rate,
            minimum_calls=self.minimum_calls,
            reset_after=self.reset_after,
            probes=self.probes,
        )
        upstream = services.route.upstream
        key = ("circuit_breaker", upstream, self.per, self.slow_call, self.mode == "shadow", settings)
        circuits = services.state.keep(key, lambda: Circuits(upstream, settings, services))
        if self.per == "target":
            return _PerTarget(self, circuits, services)
        return _PerUpstream(self, circuits, services)

    async def foresee(self, exchange: Exchange, services: Services) -> str:
        del exchange, services
        return "passes it on while the circuit is closed"


class _Admission:
    """One call that a circuit let pass, and that owes it a result."""

    __slots__ = ("_circuit", "_generation")

    def __init__(self, circuit: Circuit, generation: int) -> None:
        self._circuit, self._generation = circuit, generation

    def broke(self, error: UpstreamError) -> None:
        """No answer came. A kept connection that was closed under the call says nothing."""
        self._circuit.release(self._generation, failed=None if error.reason in _NO_VERDICT else True)

    def neutral(self) -> None:
        """Nothing was learnt: it was refused further in, or the caller left."""
        self._circuit.release(self._generation, failed=None)

    def answered(self, response: Response, *, slow: bool, endless: bool) -> None:
        """A head came: a failure is known now, a success when the body is complete.

        It answered, and how long a conversation lasts says nothing: a tunnel is a success, and so is a
        probe whose body may never end, or all other callers would wait for that.
        """
        if slow or response.kind == "temporary":
            self._circuit.release(self._generation, failed=True)
        elif response.tunnel is not None or (endless and self._circuit.state == HALF_OPEN):
            self._circuit.release(self._generation, failed=False)
        else:
            response.on_end(self._ended)

    def _ended(self, outcome: Outcome) -> None:
        failed = None if outcome is Outcome.CANCELLED else outcome is Outcome.FAILED
        self._circuit.release(self._generation, failed=failed)


class _PerUpstream:
    """One circuit: `admit` before, `release` after."""

    def __init__(self, config: CircuitBreakerConfig, circuits: Circuits, services: Services) -> None:
        self._circuit = circuits.of("")
        self._upstream = circuits.upstream
        self._now = services.clock.now
        self._slow = NEVER if config.slow_call is None else config.slow_call
        self._shadow = config.mode == "shadow"
        self._endless = services.route.stream

    async def __call__(self, exchange: Exchange, forward: Forward) -> Response:
        circuit = self._circuit
        generation = circuit.admit()
        if generation == NOT_ADMITTED:
            if self._shadow:
                exchange.decide("circuit_breaker", "would_refuse", "CIRCUIT_OPEN")
                return await forward(exchange)
            exchange.decide("circuit_breaker", "refused", circuit.state)
            raise Refused(
                "CIRCUIT_OPEN",
                f"Calls to {self._upstream} are paused",
                retry_after=circuit.seconds_to_probe(),
            )
        admission = _Admission(circuit, generation)
        started = 0.0 if self._slow == NEVER else self._now()
        try:
            response = await forward(exchange)
        except UpstreamError as error:
            admission.broke(error)
            raise
        except BaseException:
            admission.neutral()
            raise
        slow = self._slow != NEVER and self._now() - started >= self._slow
        admission.answered(response, slow=slow, endless=self._endless)
        return response


class _PerTarget:
    """A circuit for each target: balancing asks before it picks one, the attempts tell how it went."""

    def __init__(self, config: CircuitBreakerConfig, circuits: Circuits, services: Services) -> None:
        self._circuits = circuits
        self._now = services.clock.now
        self._slow = NEVER if config.slow_call is None else config.slow_call
        self._shadow = config.mode == "shadow"
        self._endless = services.route.stream

    async def __call__(self, exchange: Exchange, forward: Forward) -> Response:
        call = _Call(self._circuits, exchange, shadow=self._shadow)
        outer, exchange.admit_target = exchange.admit_target, call.admit
        started = self._now()
        try:
            response = await forward(exchange)
        except UpstreamError as error:
            admission = call.settle()
            if admission is not None:
                admission.broke(error)
            raise
        except Refused as refusal:
            admission = call.settle()
            if admission is not None:
                admission.neutral()
            elif call.vetoed and refusal.code == "CIRCUIT_OPEN":
                exchange.decide("circuit_breaker", "refused", "every target")
                refusal.retry_after = call.seconds_to_probe()
            raise
        except BaseException:
            admission = call.settle()
            if admission is not None:
                admission.neutral()
            raise
        finally:
            exchange.admit_target = outer
        admission = call.settle()
        if admission is not None:
            admission.answered(response, slow=self._now() - started >= self._slow, endless=self._endless)
        return response


class _Call:
    """Which targets one call was admitted to, and how its tries at them went."""

    __slots__ = ("_admitted", "_circuits", "_exchange", "_judged", "_shadow", "vetoed")

    def __init__(self, circuits: Circuits, exchange: Exchange, *, shadow: bool) -> None:
        self._circuits, self._exchange, self._shadow = circuits, exchange, shadow
        self._judged = len(exchange.attempts)
        self._admitted: dict[str, int] = {}
        self.vetoed: list[Circuit] = []

    def admit(self, target: str) -> bool:
        """Balancing's question before it picks a target: may this one be called?

        A retry further in asks again after its first try failed, which is judged first.
        """
        circuit = self._circuits.of(target)
        self._judge(len(self._exchange.attempts))
        if target in self._admitted:
            return True
        generation = circuit.admit()
        if generation != NOT_ADMITTED:
            self._admitted[target] = generation
            return True
        if self._shadow:
            self._exchange.decide("circuit_breaker", "would_refuse", f"CIRCUIT_OPEN {target}")
            return True
        self.vetoed.append(circuit)
        return False

    def settle(self) -> _Admission | None:
        """Judge all tries but the last, whose admission is returned; free what was asked for but not used."""
        attempts = self._exchange.attempts
        last = attempts[-1].target if len(attempts) > self._judged else None
        self._judge(len(attempts) - 1)
        admission = None
        for target, generation in self._admitted.items():
            if target == last:
                admission = _Admission(self._circuits.of(target), generation)
            else:
                self._circuits.of(target).release(generation, failed=None)
        return admission

    def _judge(self, until: int) -> None:
        tries = self._exchange.attempts[self._judged : until]
        self._judged = max(self._judged, until)
        for attempt in tries:
            if attempt.error in _NO_VERDICT:  # tried again under the same admission
                continue
            generation = self._admitted.pop(attempt.target, None)
            if generation is not None:
                failed = bool(attempt.error) or attempt.status >= 500
                self._circuits.of(attempt.target).release(generation, failed=failed)

    def seconds_to_probe(self) -> float:
        """When the first of the vetoed targets may be tried again."""
        return min(circuit.seconds_to_probe() for circuit in self.vetoed)
