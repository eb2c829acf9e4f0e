"""What marks and decisions say about the time a call spent in its policies."""

from __future__ import annotations

from typing import Any

from gateway.observer.stays import SLOW_POLICY_NS, stays
from tests.observer.support import MS, make_attempt, make_record

NAMES = ("allow", "limit", "retry")
SLOW = SLOW_POLICY_NS + 1


def found(**more: Any) -> list[tuple[Any, ...]]:
    return [tuple(stay) for stay in stays(make_record(**more), NAMES)]


def attempt(started_ns: int) -> tuple[Any, ...]:
    return tuple(make_attempt(started_ns / MS, 5))


def test_quick_policies_that_decided_nothing_do_not_matter() -> None:
    assert found(marks=[0, 0, 1, 20, 2, 40], attempts=[attempt(60)]) == []
    assert found(marks=[0, 0, 1, 90_000, 2, 180_000], attempts=[attempt(270_000)]) == []
    assert found(marks=[], attempts=[]) == []


def test_a_policy_lasts_until_the_next_is_entered_or_the_call_is_forwarded() -> None:
    assert found(marks=[0, 0, 1, SLOW, 2, 2 * SLOW], attempts=[attempt(3 * SLOW)]) == [
        ("allow", 0, SLOW, ()),
        ("limit", SLOW, 2 * SLOW, ()),
        ("retry", 2 * SLOW, 3 * SLOW, ()),
    ]


def test_only_the_first_of_several_attempts_after_a_mark_ends_its_stay() -> None:
    attempts = [attempt(3 * MS), attempt(2 * MS)]
    assert found(marks=[0, MS], attempts=attempts) == [("allow", MS, 2 * MS, ())]
    assert found(marks=[0, MS], attempts=[attempt(MS + 10), attempt(3 * MS)]) == []


def test_a_policy_that_answered_lasts_to_the_end() -> None:
    decisions = [("limit", "refused", "10/s")]
    assert found(marks=[0, 0, 1, 10], attempts=[], decisions=decisions) == [
        ("limit", 10, 6 * MS, (("refused", "10/s"),))
    ]


def test_decisions_gather_at_the_first_stay_of_their_policy_and_are_never_lost() -> None:
    decisions = [("retry", "retried", "1"), ("nobody", "spoke", ""), ("retry", "retried", "2")]
    assert found(marks=[2, 10, 2, 20, 7, 30], attempts=[attempt(40)], decisions=decisions) == [
        ("retry", 10, 20, (("retried", "1"), ("retried", "2"))),
        ("nobody", 0, 0, (("spoke", ""),)),
    ]


def test_a_mark_beyond_the_known_policies_goes_by_its_number() -> None:
    assert [stay.policy for stay in stays(make_record(marks=[9, 0], attempts=[]), NAMES)] == ["9"]
