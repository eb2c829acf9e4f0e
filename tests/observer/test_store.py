"""The ring forgets the oldest, by count and by bytes, and finds the rest."""

from __future__ import annotations

import pytest

from gateway.observer.call import Call
from gateway.observer.store import OVERHEAD_BYTES, AmbiguousError, Store
from tests.observer.support import MS, ROUTE, make_call


def call(number: int, size: int = 100, **more: object) -> Call:
    return make_call(trace_id=f"{number:032x}", received_ns=number * MS, **more)._replace(size=size)


def ids(calls: list[Call]) -> list[int]:
    return [int(found.record.trace_id, 16) for found in calls]


def test_the_ring_is_bounded_by_count() -> None:
    store = Store(calls_limit=10)
    for number in range(1000):
        store.add(call(number))
    assert len(store) == 10
    assert ids(store.find(limit=100)) == list(range(999, 989, -1))
    assert store.bytes == 10 * 100 * OVERHEAD_BYTES
    assert "10 of 10 calls" in repr(store)


def test_the_ring_is_bounded_by_bytes() -> None:
    store = Store(bytes_limit=1000 * OVERHEAD_BYTES)
    for number in range(50):
        store.add(call(number, size=300))
    assert len(store) == 3
    store.add(call(99, size=5000))  # alone larger than everything: it is not kept
    assert (len(store), store.bytes) == (0, 0)


def test_traces_are_found_by_the_beginning_of_their_id() -> None:
    store = Store()
    first, second = make_call(trace_id="ab" * 16, received_ns=5), make_call(trace_id="ab" * 16, received_ns=1)
    for kept in (first, second, make_call(trace_id="ac" * 16)):
        store.add(kept)
    assert store.trace("AB") == [second, first]
    assert store.trace("ad") == []
    assert store.trace("") == []
    with pytest.raises(AmbiguousError, match="2 traces begin with a"):
        store.trace("a")


def test_calls_are_found_by_what_they_were() -> None:
    store = Store()
    store.add(call(1, status=404))
    store.add(call(2, ended_ns=50 * MS))
    store.add(call(3, status=0))
    store.add(call(4, outcome="failed"))
    store.add(call(5, ended_ns=30 * MS)._replace(route=ROUTE._replace(name="other")))
    assert ids(store.find(errors=True)) == [4, 3, 1]
    assert ids(store.find(slow=True, limit=2)) == [2, 5]
    assert ids(store.find(route="other")) == [5]
    assert ids(store.find(limit=1)) == [5]
    assert ids(store.find(route="none")) == []
