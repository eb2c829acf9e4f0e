"""What the outage's steps notice on their own; the whole of them is played in `test_tour`."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from gateway.demo.client import Caller, DifferenceError
from gateway.demo.outage import Outage
from gateway.demo.screen import Screen
from gateway.demo.stage import Addresses
from tests.sandbox.running import provider


def test_without_a_failed_call_there_is_no_waterfall() -> None:
    caller = Caller(Addresses(*["http://127.0.0.1:1"] * 5), Screen(Console(file=io.StringIO())))
    with pytest.raises(DifferenceError, match="none to draw"):
        Outage().waterfall(caller)
    caller.close()


def test_a_gateway_without_a_breaker_is_noticed() -> None:
    with provider("borealis", operator_key="") as failing, provider("aurora", operator_key="") as aurora:
        at = Addresses(failing.url, failing.url, failing.url, aurora.url, failing.url)
        caller = Caller(at, Screen(Console(file=io.StringIO())))
        caller.fault("borealis", status=502, path="/aurora")
        with pytest.raises(DifferenceError):
            Outage().breaker(caller)
        caller.close()
