"""Which target gets a call: plain functions over what is known of the targets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from gateway.errors import Refused
from gateway.upstream.health import Health


class Candidate:
    """What balancing knows of one target."""

    __slots__ = ("active", "credit", "health", "origin", "weight")

    def __init__(self, origin: str, weight: int, health: Health) -> None:
        self.origin = origin
        self.weight = weight
        self.health = health
        self.active = 0
        """Calls under way."""
        self.credit = 0
        """How far its turn has come (smooth weighted round robin)."""


T = TypeVar("T", bound=Candidate)


def choose(
    targets: Sequence[T],
    *,
    now: float,
    fewest: bool = False,
    tried: Collection[str] = (),
    admit: Callable[[str], bool] | None = None,
) -> T:
    """The target for a call at `now` (loop time).

    Healthy targets come before nothing else: only where none is healthy are all of them tried, since
    a guess is better than a certain failure. Those already `tried` for this call come last. `admit` is
    asked in that order and only until it agrees, since a breaker may count what it admits; where it
    vetoes all, the call is Refused (CIRCUIT_OPEN).
    """
    if len(targets) == 1:
        target = targets[0]
        if admit is None or admit(target.origin):
            return target
        raise _vetoed()
    usable = [target for target in targets if target.health.healthy(now)] or list(targets)
    untried = [target for target in usable if target.origin not in tried]
    ranked = _rank(untried, fewest=fewest)
    if len(untried) < len(usable):
        ranked += _rank([target for target in usable if target.origin in tried], fewest=fewest)
    for target in ranked:
        if admit is None or admit(target.origin):
            _take_turn(target, untried or usable)
            return target
    raise _vetoed()


def _rank(targets: list[T], *, fewest: bool) -> list[T]:
    if fewest:
        return sorted(targets, key=lambda t: ((t.active + 1) / t.weight, -(t.credit + t.weight)))
    return sorted(targets, key=lambda t: -(t.credit + t.weight))


def _take_turn(chosen: Candidate, among: Sequence[Candidate]) -> None:
    # Everybody's turn comes nearer by its weight, the chosen one pays for all: over time each is
    # chosen in proportion, and evenly spread.
    total = 0
    for target in among:
        target.credit += target.weight
        total += target.weight
    chosen.credit -= total


def _vetoed() -> Refused:
    return Refused("CIRCUIT_OPEN", "Calls to every target of the upstream are paused")
