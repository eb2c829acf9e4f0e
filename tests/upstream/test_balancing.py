from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Refused
from gateway.upstream.balancing import Candidate, choose
from gateway.upstream.health import Health
from gateway.upstream.settings import PassiveHealthConfig

PASSIVE = PassiveHealthConfig.model_validate({"failures": 1, "eject_for": "10s"})


def make(**weights: int) -> list[Candidate]:
    return [Candidate(origin, weight, Health(PASSIVE)) for origin, weight in weights.items()]


def test_turns_follow_weights_and_are_evenly_spread() -> None:
    targets = make(a=5, b=1, c=1)
    assert "".join(choose(targets, now=0).origin for _ in range(7)) == "aabacaa"


@given(st.lists(st.integers(1, 20), min_size=1, max_size=6))
def test_over_a_round_each_gets_its_weight(weights: list[int]) -> None:
    targets = make(**{f"t{index}": weight for index, weight in enumerate(weights)})
    count = Counter(choose(targets, now=0).origin for _ in range(sum(weights)))
    assert count == {f"t{index}": weight for index, weight in enumerate(weights)}


def test_the_least_busy_for_its_weight() -> None:
    a, b = make(a=2, b=1)
    a.active, b.active = 2, 1
    assert choose([a, b], now=0, fewest=True) is a
    a.active = 4
    assert choose([a, b], now=0, fewest=True) is b


def test_where_all_are_equally_busy_it_goes_in_turn() -> None:
    targets = make(a=1, b=1)
    assert {choose(targets, now=0, fewest=True).origin for _ in range(2)} == {"a", "b"}


def test_the_ejected_are_passed_over_for_a_while() -> None:
    a, b = make(a=1, b=1)
    a.health.unreachable(0)
    assert {choose([a, b], now=5).origin for _ in range(6)} == {"b"}
    assert {choose([a, b], now=10).origin for _ in range(6)} == {"a", "b"}


def test_where_none_is_healthy_all_are_tried() -> None:
    a, b = make(a=1, b=1)
    a.health.unreachable(0)
    b.health.unreachable(0)
    assert {choose([a, b], now=5).origin for _ in range(2)} == {"a", "b"}


def test_the_tried_come_last() -> None:
    a, b = make(a=10, b=1)
    assert choose([a, b], now=0, tried=["a"]) is b
    assert choose([a, b], now=0, tried=["a", "b"]) in (a, b)
    assert choose([a, b], now=0, tried=["b"], admit=lambda origin: origin == "b") is b


def test_a_breaker_is_asked_only_until_it_agrees() -> None:
    asked: list[str] = []

    def admit(origin: str) -> bool:
        asked.append(origin)
        return True

    targets = make(a=1, b=1, c=1)
    choose(targets, now=0, admit=admit)
    assert len(asked) == 1


@pytest.mark.parametrize("count", [1, 2])
def test_a_breaker_that_vetoes_all_refuses_the_call(count: int) -> None:
    with pytest.raises(Refused) as caught:
        choose(make(**{f"t{index}": 1 for index in range(count)}), now=0, admit=lambda _: False)
    assert caught.value.code == "CIRCUIT_OPEN"
    [target] = make(a=1)
    assert choose([target], now=0, admit=lambda _: True) is target
