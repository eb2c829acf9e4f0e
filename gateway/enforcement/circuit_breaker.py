"""Asks a circuit before a call, and tells it how the call went."""

from __future__ import annotations

from collections.abc import Callable

from gateway.circuit import HALF_OPEN, NOT_ADMITTED, Circuit, Circuits
from gateway.errors import Refused, UpstreamError
from gateway.exchange import Exchange, Outcome, Response
from gateway.policy import Forward

NEVER = float("inf")
_NO_VERDICT = frozenset({"stale", "cancelled"})
"""`UpstreamError.reason` and `Attempt.error` that do not speak of the upstream's health."""


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


class PerUpstream:
    """One circuit: `admit` before, `release` after."""

    def __init__(
        self, circuits: Circuits, now: Callable[[], float], slow: float | None, *, shadow: bool, endless: bool
    ) -> None:
        self._circuit = circuits.of("")
        self._upstream = circuits.upstream
        self._now = now
        self._slow = NEVER if slow is None else slow
        self._shadow = shadow
        self._endless = endless

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


class PerTarget:
    """A circuit for each target: balancing asks before it picks one, the attempts tell how it went."""

    def __init__(
        self, circuits: Circuits, now: Callable[[], float], slow: float | None, *, shadow: bool, endless: bool
    ) -> None:
        self._circuits = circuits
        self._now = now
        self._slow = NEVER if slow is None else slow
        self._shadow = shadow
        self._endless = endless

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
