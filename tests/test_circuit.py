"""The state of a circuit, against a model and by hand."""

from __future__ import annotations

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.circuit import CLOSED, HALF_OPEN, NOT_ADMITTED, OPEN, Circuit, CircuitSettings, RollingCounts
from gateway.services import FakeClock


class Rig:
    """A circuit, its clock and the changes it told."""

    def __init__(self, **fields: object) -> None:
        self.clock = FakeClock()
        self.changes: list[str] = []
        self.circuit = Circuit(CircuitSettings(**fields), self.clock.now, self.changes.append)  # type: ignore[arg-type]

    def call(self, failed: bool | None) -> bool:
        generation = self.circuit.admit()
        if generation != NOT_ADMITTED:
            self.circuit.release(generation, failed=failed)
        return generation != NOT_ADMITTED


def test_failures_in_a_row_open_it_and_a_probe_closes_it() -> None:
    rig = Rig(failures=3, reset_after=30)
    assert all(rig.call(True) for _ in range(3))
    assert not rig.call(False)
    assert rig.circuit.seconds_to_probe() == 30
    rig.clock.advance(30)
    assert rig.call(False)
    assert rig.changes == [OPEN, HALF_OPEN, CLOSED]


def test_a_success_ends_the_row_and_time_does() -> None:
    rig = Rig(failures=2, window=10)
    for _ in range(5):
        rig.call(True)
        rig.call(False)
    rig.call(True)
    rig.clock.advance(10.1)
    rig.call(True)
    assert rig.circuit.state == CLOSED
    rig.call(True)
    assert rig.circuit.state == OPEN


def test_a_rate_of_failures_opens_it_once_enough_calls_were_made() -> None:
    rig = Rig(failures=None, failure_rate=0.5, minimum_calls=4, window=10)
    for failed in (True, False, True):
        rig.call(failed)
    assert rig.circuit.state == CLOSED
    rig.call(True)
    assert rig.circuit.state == OPEN


def test_a_rate_of_failures_forgets_what_left_the_window() -> None:
    rig = Rig(failures=None, failure_rate=0.5, minimum_calls=4, window=10)
    for _ in range(3):
        rig.call(True)
    rig.clock.advance(11)
    rig.call(True)
    assert rig.circuit.state == CLOSED


def test_with_neither_sign_nothing_opens_it() -> None:
    rig = Rig(failures=None)
    assert all(rig.call(True) for _ in range(50))


def test_probes_are_capped_and_a_failed_one_opens_again() -> None:
    rig = Rig(failures=1, probes=2, reset_after=5)
    rig.call(True)
    rig.clock.advance(5)
    first, second = rig.circuit.admit(), rig.circuit.admit()
    assert rig.circuit.admit() == NOT_ADMITTED
    assert rig.circuit.seconds_to_probe() == 1
    rig.circuit.release(first, failed=False)
    assert rig.circuit.state == HALF_OPEN
    rig.circuit.release(second, failed=True)
    assert rig.circuit.state == OPEN
    assert rig.circuit.seconds_to_probe() == 5
    rig.clock.advance(5)
    assert rig.call(False)
    assert rig.call(False)
    assert rig.circuit.state == CLOSED


def test_a_probe_that_says_nothing_frees_its_place() -> None:
    rig = Rig(failures=1, reset_after=5)
    rig.call(True)
    rig.clock.advance(5)
    assert rig.call(None)
    assert rig.call(None)
    assert rig.circuit.state == HALF_OPEN
    assert rig.call(False)
    assert rig.circuit.state == CLOSED


def test_late_results_of_an_older_state_are_ignored() -> None:
    rig = Rig(failures=1, reset_after=5)
    late = rig.circuit.admit()
    rig.call(True)
    rig.circuit.release(late, failed=False)
    assert rig.circuit.state == OPEN
    rig.clock.advance(5)
    probe = rig.circuit.admit()
    rig.circuit.release(late, failed=False)
    assert rig.circuit.state == HALF_OPEN
    rig.circuit.release(probe, failed=False)
    rig.circuit.release(late, failed=True)
    assert rig.circuit.state == CLOSED


def test_operators_decide_until_they_reset() -> None:
    rig = Rig(failures=1, reset_after=5)
    rig.circuit.force_open()
    rig.clock.advance(100)
    assert not rig.call(False)
    assert rig.circuit.snapshot() == {
        "state": OPEN, "held": OPEN, "failures": 0, "probing": 0, "seconds_to_probe": None,
    }  # fmt: skip
    assert repr(rig.circuit) == "<Circuit open, held, 0 failures in a row>"
    rig.circuit.force_close()
    assert all(rig.call(True) for _ in range(5))
    rig.circuit.reset()
    assert rig.call(True)
    assert not rig.call(True)
    assert rig.circuit.snapshot()["seconds_to_probe"] == 5
    assert rig.changes == [OPEN, CLOSED, OPEN]


def test_a_clock_that_stands_still_or_jumps_far_counts_right() -> None:
    counts = RollingCounts(10)
    counts.add(1e6, failed=True)
    counts.add(1e6, failed=False)
    assert (counts.calls, counts.failures) == (2, 1)
    counts.add(2e6, failed=True)
    assert (counts.calls, counts.failures) == (1, 1)
    counts.add(2e6 + 9, failed=False)
    assert (counts.calls, counts.failures) == (2, 1)
    counts.add(2e6 + 10, failed=False)
    assert (counts.calls, counts.failures) == (2, 0)
    counts.clear()
    assert counts.calls == 0


class CircuitAgainstModel(RuleBasedStateMachine):
    """Calls that begin and end in any order, with time passing, against the plainest model of a breaker."""

    @initialize(
        failures=st.integers(1, 3),
        probes=st.integers(1, 3),
        window=st.sampled_from([2, 10]),
        reset=st.just(5),
    )
    def start(self, failures: int, probes: int, window: int, reset: int) -> None:
        self.settings = CircuitSettings(failures=failures, probes=probes, window=window, reset_after=reset)
        self.clock = FakeClock(now=0.0)
        self.circuit = Circuit(self.settings, self.clock.now, lambda _: None)
        self.state, self.opened, self.epoch = CLOSED, 0.0, 0
        self.row: list[float] = []
        self.probing = self.proved = 0
        self.under_way: list[tuple[int, int]] = []

    def enter(self, state: str) -> None:
        self.state, self.row, self.probing, self.proved = state, [], 0, 0
        self.epoch += 1
        self.opened = self.clock.now()

    @rule(seconds=st.sampled_from([0.5, 1, 3, 5]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def begin(self) -> None:
        if self.state == OPEN and self.clock.now() - self.opened >= self.settings.reset_after:
            self.enter(HALF_OPEN)
        expected = self.state == CLOSED or (self.state == HALF_OPEN and self.probing < self.settings.probes)
        generation = self.circuit.admit()
        assert (generation != NOT_ADMITTED) is expected
        if expected:
            self.probing += self.state == HALF_OPEN
            self.under_way.append((generation, self.epoch))

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), failed=st.sampled_from([True, True, False, None]))
    def end(self, data: st.DataObject, failed: bool | None) -> None:
        generation, epoch = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        self.circuit.release(generation, failed=failed)
        if epoch != self.epoch:
            return
        if self.state == HALF_OPEN:
            self.probing -= 1
            self.proved += failed is False
            if failed:
                self.enter(OPEN)
            elif self.proved >= self.settings.probes:
                self.enter(CLOSED)
        elif failed is not None:
            self.row = [*self.row, self.clock.now()] if failed else []
            latest = self.row[-(self.settings.failures or 1) :]
            if (
                failed
                and len(latest) == self.settings.failures
                and latest[-1] - latest[0] <= self.settings.window
            ):
                self.enter(OPEN)

    @invariant()
    def same_state(self) -> None:
        if hasattr(self, "circuit"):
            assert self.circuit.state == self.state


TestCircuitAgainstModel = CircuitAgainstModel.TestCase
TestCircuitAgainstModel.settings = hypothesis_settings(max_examples=60, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("state", [CLOSED, OPEN, HALF_OPEN])
def test_states_have_the_names_metrics_show(state: str) -> None:
    assert state in {"closed", "open", "half-open"}
