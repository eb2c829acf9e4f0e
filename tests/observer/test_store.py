"""The ring forgets the oldest, by count and by bytes, and finds the rest."""

from __future__ import annotations

import pytest

from gateway.observer.call import Call, Calls, Intake
from gateway.observer.store import OVERHEAD_BYTES, AmbiguousError, Store
from gateway.record import NO_ROUTE, VERSION, Batch, encode
from tests.observer.support import MS, ROUTE, make_call, make_record


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


def batch(first: int, count: int) -> Calls:
    """As it comes from a worker: told routes, a size, and the bytes it was made of."""
    records = [
        tuple(make_record(trace_id=f"{first + at:032x}", received_ns=first + at)) for at in range(count)
    ]
    told = Batch(VERSION, 0, 0, 0, [tuple(NO_ROUTE), tuple(ROUTE)], records, 0)
    payload = encode(told)[4:]
    return Intake().take(told, len(payload), payload)


def test_batches_are_kept_as_bytes_and_forgotten_call_by_call() -> None:
    store = Store(calls_limit=10)
    for number in range(5):
        kept = batch(number * 4, 4)
        store.extend(kept)
        assert kept.packed
    assert len(store) == 10
    assert ids(store.find(limit=100)) == list(range(19, 9, -1))
    assert store.bytes == 10 * kept.size
    store.add(call(99))
    assert ids(store.find(limit=100)) == [99, *range(19, 10, -1)]
    assert ids(store.trace(f"{11:032x}")) == [11]


def test_batches_are_bounded_by_bytes_too() -> None:
    size = batch(0, 4).size
    store = Store(bytes_limit=size * 6)
    store.extend(batch(0, 4))
    store.extend(batch(4, 4))
    assert ids(store.find(limit=100)) == [7, 6, 5, 4, 3, 2]
    store.extend(batch(8, 20))  # alone larger than everything: what fits of it is kept
    assert ids(store.find(limit=100)) == list(range(27, 27 - len(store), -1))
    assert size * 5 < store.bytes <= store.bytes_limit
