"""How many retries an upstream may see."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.retry_budget import Budget


@given(
    share=st.floats(0.01, 1),
    events=st.lists(st.tuples(st.floats(0, 30), st.integers(0, 3)), max_size=300),
)
def test_retries_never_exceed_the_reserve_or_the_share(share: float, events: list[tuple[float, int]]) -> None:
    now, budget = 0.0, Budget(share, 0.0)
    retries = 0
    for calls, (gap, wanted) in enumerate(events, 1):
        now += gap
        budget.earn(now)
        retries += sum(budget.spend(now) for _ in range(wanted))
        assert retries <= max(Budget.RESERVE, share * calls)


def test_a_thousand_failing_calls_see_less_than_their_share_of_retries() -> None:
    budget = Budget(0.2, 0.0)
    retries = 0
    for number in range(1000):
        budget.earn(number / 100)
        retries += budget.spend(number / 100)
    assert 190 < retries < 200


def test_what_others_sent_again_is_paid_by_later_retries() -> None:
    budget = Budget(0.5, 0.0)
    budget.charge(12)
    assert not budget.spend(0.0)
    for _ in range(27):  # 20 calls pay back what was lent, 6 the debt, and one is not enough for a retry
        budget.earn(0.0)
    assert not budget.spend(0.0)
    for _ in range(2):
        budget.earn(0.0)
    assert budget.spend(0.0)


def test_no_share_is_no_retry() -> None:
    budget = Budget(0.0, 0.0)
    budget.earn(0.0)
    assert not budget.spend(0.0)


def test_a_quiet_night_does_not_pay_for_a_storm() -> None:
    budget = Budget(0.5, 0.0)
    for _ in range(1000):
        budget.earn(1.0)
    assert repr(budget) == "<Budget 499.0 retries left>"
    budget.earn(11.0)  # the last window still counts
    assert budget.tokens > 400
    budget.earn(3600.0)
    assert budget.tokens < 12
    assert budget.spend(7200.0)
