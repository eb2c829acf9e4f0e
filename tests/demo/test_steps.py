"""Steps notice when a gateway does not do as told. Here, nothing but sandboxes answers in its place."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from gateway.demo import steps
from gateway.demo.client import Caller, DifferenceError
from gateway.demo.screen import Screen
from gateway.demo.stage import Addresses
from tests.sandbox.running import platform, provider


@pytest.fixture
def caller() -> Iterator[Caller]:
    with platform() as wallet, provider("aurora", f"{wallet.url}/callbacks/aurora") as aurora:
        caller = Caller(
            Addresses(wallet.url, wallet.url, wallet.url, aurora.url, aurora.url),
            Screen(Console(file=io.StringIO())),
        )
        yield caller
        caller.close()


def test_every_step_says_what_it_is_about() -> None:
    tour = steps.tour()
    assert len({step.title for step in tour}) == len(tour)
    assert all(step.explanation.endswith(".") for step in tour)


@pytest.mark.parametrize("step", steps.tour(), ids=lambda step: step.title)
def test_a_gateway_that_is_none_lets_every_step_differ(caller: Caller, step: steps.Step) -> None:
    with pytest.raises(DifferenceError):
        step.run(caller)


def test_a_key_that_is_not_checked_is_noticed(caller: Caller) -> None:
    before = caller.balance("alice")
    with pytest.raises(DifferenceError, match="401 was told, 200 came"):
        caller.callback("aurora", kind="bet", amount=500, key="guessed").must(401)
    assert caller.balance("alice") == before - 500
