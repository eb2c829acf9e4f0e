"""The tour's promises, and how it notices a broken one."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from gateway.demo.client import Answer, Caller, DifferenceError
from gateway.demo.screen import Screen
from gateway.demo.stage import Addresses
from tests.sandbox.running import platform, provider


def test_an_answer_as_told_is_returned() -> None:
    answer = Answer(404, {"retry-after": "1"}, {"code": "X", "status": 9}, 1.0)
    assert answer.must(404, code="X", status=9).must_say("retry-after").must_say("retry-after", "1") is answer


def test_an_answer_otherwise_than_told_is_a_difference() -> None:
    answer = Answer(404, {}, {"code": "X"}, 1.0)
    with pytest.raises(DifferenceError, match="status 200 was told, 404 came"):
        answer.must(200)
    with pytest.raises(DifferenceError, match="code 'Y' was told, 'X' came"):
        answer.must(404, code="Y")
    with pytest.raises(DifferenceError, match="code 'Y' was told, None came"):
        Answer(404, {}, "<html>", 1.0).must(404, code="Y")
    with pytest.raises(DifferenceError, match="header retry-after was told, None came"):
        answer.must_say("retry-after")
    with pytest.raises(DifferenceError, match="header age with '3' was told, '4' came"):
        Answer(200, {"age": "4"}, {}, 1.0).must_say("age", "3")


def test_callbacks_faults_and_balances_go_beside_the_gateway() -> None:
    with (
        platform() as wallet,
        provider("aurora", f"{wallet.url}/callbacks/aurora", operator_key="") as aurora,
    ):
        at = Addresses(aurora.url, wallet.url, wallet.url, aurora.url, aurora.url)
        out = io.StringIO()
        caller = Caller(at, Screen(Console(file=out)))
        assert caller.balance("alice") == 100_000
        caller.callback("aurora", kind="bet", amount=500).must(200, balance=99_500)
        assert caller.call("GET", "/v1/games").must(200, total=20).milliseconds > 0
        caller.fault("aurora", status=503)
        caller.call("GET", "/v1/games", quiet=True).must(503)
        caller.fault("aurora")
        assert caller.events("/v1/feed/roulette-1", 2)[1].startswith('{"event": "round"')
        with caller.table("/v1/live/roulette-1") as seat:
            assert "welcome" in str(seat.recv())
        with pytest.raises(DifferenceError, match="answers 404"):
            caller.balance("nobody")
        with pytest.raises(DifferenceError, match="status 200 was told, 404 came"):
            caller.events("/v1/feed/poker-9", 1)
        caller.close()
    assert "aurora is told: status 503" in out.getvalue()
    assert "aurora is told: all well again" in out.getvalue()


def test_a_server_that_is_not_there_is_a_difference() -> None:
    caller = Caller(Addresses(*["http://127.0.0.1:1"] * 5), Screen(Console(file=io.StringIO())))
    with pytest.raises(DifferenceError, match="got no answer: ConnectError"):
        caller.call("GET", "/aurora/games")
    caller.close()
