"""Providers that call back: each with its own key, address and words."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.sandbox.running import Running, platform, provider


def order(running: Running, **call: Any) -> httpx.Response:
    return httpx.post(f"{running.url}/_sandbox/callback", json=call)


def test_aurora_bets_wins_and_rolls_back() -> None:
    with platform() as wallet, provider("aurora", f"{wallet.url}/callbacks/aurora") as aurora:
        bet = order(aurora, kind="bet", amount=150, transaction="x1", game="northern-spins").json()
        assert bet["request"] == {
            "url": f"{wallet.url}/callbacks/aurora/bet",
            "headers": {"content-type": "application/json", "x-api-key": "demo-aurora-callback-key"},
            "body": {
                "player": "alice", "tx": "x1", "currency": "EUR", "round": "round-1", "amount": 150,
                "game": "northern-spins",
            },
        }  # fmt: skip
        assert (bet["status"], bet["body"]["balance"]) == (200, 99_850)
        assert order(aurora, kind="win", amount=50).json()["body"]["balance"] == 99_900
        assert order(aurora, kind="rollback", reference="x1").json()["body"]["balance"] == 100_050
        assert order(aurora, kind="balance", player="bob").json()["body"]["balance"] == 250


def test_borealis_does_the_same_in_other_words() -> None:
    with platform() as wallet, provider("borealis", f"{wallet.url}/callbacks/borealis") as borealis:
        bet = order(borealis, kind="bet", amount=150, transaction="x1").json()
        assert bet["request"]["url"] == f"{wallet.url}/callbacks/borealis/wallet.do"
        assert bet["request"]["headers"]["x-borealis-key"] == "demo-borealis-callback-key"
        assert bet["request"]["body"] == {
            "method": "debit",
            "params": {"user": "alice", "txId": "x1", "currency": "EUR", "amount": "1.50"},
        }
        assert bet["body"] == {"status": 0, "balance": "998.50", "cur": "EUR"}
        assert order(borealis, kind="win", amount=50).json()["body"]["balance"] == "999.00"
        assert order(borealis, kind="rollback", reference="x1").json()["body"]["balance"] == "1000.50"
        assert order(borealis, kind="balance").json()["body"]["balance"] == "1000.50"


def test_a_wrong_key_and_another_address_can_be_ordered(aurora: Running) -> None:
    with platform() as wallet:
        told = order(aurora, kind="balance", key="wrong", url=f"{wallet.url}/callbacks/aurora").json()
    assert told["request"]["headers"]["x-api-key"] == "wrong"
    assert told["status"] == 200


def test_a_wallet_that_answers_no_json_is_quoted(aurora: Running, borealis: Running) -> None:
    httpx.post(f"{borealis.url}/_sandbox/faults", json={"status": 502})
    told = order(aurora, kind="balance", url=borealis.url).json()
    assert (told["status"], told["body"]) == (502, "<h1>502 from the balancer</h1>")


def test_a_wallet_that_hangs_up_is_told(aurora: Running, borealis: Running) -> None:
    for fault in ({"reset": True}, {"bad_body": "garbage"}):
        httpx.post(f"{borealis.url}/_sandbox/faults", json=fault)
        answer = order(aurora, kind="balance", url=borealis.url)
        assert answer.status_code == 502
        assert answer.json()["error"]


@pytest.mark.parametrize("call", [{"kind": "dance"}, {}, {"kind": "bet", "amount": 1.5}])
def test_orders_that_make_no_sense(aurora: Running, call: dict[str, Any]) -> None:
    answer = order(aurora, **call)
    assert answer.status_code == 422
    assert answer.json()["error"]
