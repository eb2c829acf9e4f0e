"""How often calls are sent again because a kept connection ended under them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.reconnects import Reconnects


def test_a_few_are_always_allowed() -> None:
    reconnects = Reconnects()
    assert [reconnects.allow(100.0, 0) for _ in range(12)] == [True] * 10 + [False] * 2
    assert repr(reconnects) == "<Reconnects 10 in this window>"
    assert reconnects.allow(100.0 + Reconnects.WINDOW_SECONDS, 0), "in the next window again"


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3)), max_size=200))
def test_there_are_never_more_than_a_fifth_of_what_was_answered(events: list[tuple[int, int]]) -> None:
    reconnects = Reconnects()
    reconnects.allow(5.0, 1_000)
    made, answered = 1, 1_000
    for more, wanted in events:
        answered += more
        made += sum(reconnects.allow(6.0, answered) for _ in range(wanted))
        assert made <= max(10, 1 + 0.2 * (answered - 1_000))


def test_a_good_time_does_not_pay_for_a_bad_one() -> None:
    reconnects = Reconnects()
    reconnects.allow(0.0, 0)
    assert sum(reconnects.allow(60.0, 100_000) for _ in range(100)) == 10
