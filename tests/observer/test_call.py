"""A record is put together with what its batch and its connection said."""

from __future__ import annotations

import pytest

from gateway.observer.call import Intake
from gateway.record import NO_ROUTE, VERSION, Batch, decode, encode
from tests.observer.support import ANCHOR_NS, MS, ROUTE, make_attempt, make_record


def test_routes_told_once_are_remembered() -> None:
    intake = Intake()
    first = Batch(VERSION, 7, ANCHOR_NS, 0, [tuple(NO_ROUTE), tuple(ROUTE)], [tuple(make_record())], 0)
    second = Batch(VERSION, 7, ANCHOR_NS, 2, [], [tuple(make_record(route=0)), tuple(make_record())], 3)
    (call,) = intake.take(first, 500)
    assert (call.route, call.worker, call.size) == (ROUTE, 7, 500)
    assert [call.route for call in intake.take(second, 500)] == [NO_ROUTE, ROUTE]
    assert (intake.worker, intake.dropped) == (7, 3)


def test_a_gap_in_the_routes_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="routes 1 to 4 were never told"):
        Intake().take(Batch(VERSION, 0, 0, 5, [], [], 0))


def test_times_of_a_call() -> None:
    attempts = [tuple(make_attempt(1, 2)), tuple(make_attempt(3, 5))]
    batch = Batch(
        VERSION, 0, ANCHOR_NS, 0, [tuple(NO_ROUTE), tuple(ROUTE)], [tuple(make_record(attempts=attempts))], 0
    )
    (call,) = Intake().take(batch)
    assert call.total_ns == 6 * MS
    assert call.upstream_ns == 3 * MS
    assert call.started_unix_ns == ANCHOR_NS
    assert not call.failed
    assert [attempt.ended_ns for attempt in call.attempts] == [2 * MS, 5 * MS]


def test_calls_come_back_from_the_bytes_they_came_in() -> None:
    batch = Batch(VERSION, 7, ANCHOR_NS, 0, [tuple(NO_ROUTE), tuple(ROUTE)], [tuple(make_record())] * 3, 0)
    payload = encode(batch)[4:]
    calls = Intake().take(decode(payload), len(payload), payload)
    before = list(calls)
    assert not calls.packed
    calls.pack()
    assert calls.packed
    assert list(calls) == before
    assert list(calls.since(1)) == before[1:]
    assert len(calls) == 3
    calls = Intake().take(batch)
    calls.pack()
    assert not calls.packed  # there is nothing to bring them back from


def test_a_route_that_was_never_told_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="a route that was never told"):
        Intake().take(Batch(VERSION, 0, 0, 0, [tuple(NO_ROUTE)], [tuple(make_record(route=1))], 0))


def test_calls_keep_the_routes_they_were_told_of() -> None:
    intake, other = Intake(), ROUTE._replace(name="other")
    told = [tuple(NO_ROUTE), tuple(ROUTE)]
    first = intake.take(Batch(VERSION, 0, 0, 0, told, [tuple(make_record())], 0))
    second = intake.take(Batch(VERSION, 0, 0, 1, [tuple(other)], [tuple(make_record())], 0))
    assert [call.route.name for calls in (first, second) for call in calls] == [ROUTE.name, "other"]
