"""What policies may touch: time that tests can move, and state that outlives reloads."""

from __future__ import annotations

import asyncio
import time

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.services import Clock, FakeClock, State

KEYS = st.sampled_from("abc")


async def test_the_clock_has_the_loops_time():
    clock, loop = Clock(), asyncio.get_running_loop()
    assert abs(clock.now() - loop.time()) < 60
    assert abs(clock.time() - time.time()) < 60
    before = clock.now()
    await clock.sleep(0.001)
    assert clock.now() >= before


async def test_a_fake_clock_moves_by_hand():
    clock = FakeClock(now=5.0, unix=100.0)
    clock.advance(2.5)
    await clock.sleep(1.5)
    assert (clock.now(), clock.time()) == (9.0, 104.0)


def test_state_is_made_once():
    state = State()
    made = state.keep("a", list)
    assert state.keep("a", dict) is made


def test_a_reload_keeps_what_is_asked_for_again_and_gives_the_rest_up():
    state = State()
    state.begin()
    kept, gone = state.keep("kept", list), state.keep("gone", dict)
    assert state.commit() == []
    state.begin()
    assert state.keep("kept", list) is kept
    new = state.keep("new", set)
    assert state.commit() == [gone]
    assert state.keep("new", set) is new


def test_a_reload_that_fails_leaves_everything_as_it_was():
    state = State()
    state.begin()
    kept = state.keep("kept", list)
    state.commit()
    state.begin()
    new = state.keep("new", set)
    assert state.abort() == [new]
    assert state.keep("kept", list) is kept
    assert state.keep("new", dict) == {}


class Reloads(RuleBasedStateMachine):
    """Generations asking, committing and failing in any order, against a plain model."""

    def __init__(self):
        super().__init__()
        self.state, self.serving, self.building = State(), {}, None
        self.made = []

    def make(self):
        self.made.append(object())
        return self.made[-1]

    @precondition(lambda self: self.building is None)
    @rule()
    def begin(self):
        self.state.begin()
        self.building = {}

    @precondition(lambda self: self.building is not None)
    @rule(key=KEYS)
    def keep(self, key):
        before = len(self.made)
        thing = self.state.keep(key, self.make)
        known = self.building.get(key) or self.serving.get(key)
        assert (len(self.made) == before) == (known is not None)
        assert known is None or thing is known
        self.building[key] = thing

    @precondition(lambda self: self.building is not None)
    @rule()
    def commit(self):
        gone = [thing for key, thing in self.serving.items() if key not in self.building]
        assert set(self.state.commit()) == set(gone)
        self.serving, self.building = self.building, None

    @precondition(lambda self: self.building is not None)
    @rule()
    def abort(self):
        new = {thing for key, thing in self.building.items() if key not in self.serving}
        assert set(self.state.abort()) == new
        self.building = None

    @invariant()
    def holds_what_serves(self):
        assert self.state._kept.items() >= self.serving.items()


TestReloads = Reloads.TestCase
