"""Both providers' tongues at the platform."""

from __future__ import annotations

from typing import Any

import httpx
import pytest


def aurora(client: httpx.Client, action: str, **body: Any) -> tuple[int, dict[str, Any]]:
    answer = client.post(f"/callbacks/aurora/{action}", json={"player": "alice", "currency": "EUR"} | body)
    return answer.status_code, answer.json()


def borealis(client: httpx.Client, method: str, **params: Any) -> dict[str, Any]:
    call = {"method": method, "params": {"user": "alice", "currency": "EUR"} | params}
    answer = client.post("/callbacks/borealis/wallet.do", json=call)
    assert answer.status_code == 200
    told: dict[str, Any] = answer.json()
    return told


def test_aurora_speaks_minor_units(to_wallet: httpx.Client) -> None:
    assert aurora(to_wallet, "balance")[1]["balance"] == 100_000
    assert aurora(to_wallet, "bet", tx="a1", amount=150) == (
        200,
        {"ok": True, "balance": 99_850, "currency": "EUR", "tx": "a1"},
    )
    assert aurora(to_wallet, "win", tx="a2", amount=50, round="r", game="g")[1]["balance"] == 99_900
    assert aurora(to_wallet, "rollback", tx="a3", ref="a1")[1]["balance"] == 100_050


@pytest.mark.parametrize(
    ("action", "change", "status", "code"),
    [
        ("bet", {"amount": 10**9}, 402, "NOT_ENOUGH_MONEY"),
        ("bet", {"player": "mallory"}, 403, "PLAYER_BLOCKED"),
        ("bet", {"player": "nobody"}, 404, "NO_SUCH_PLAYER"),
        ("bet", {"amount": "1.50"}, 400, "BAD_REQUEST"),
        ("bet", {"currency": "SEK"}, 422, "BAD_CURRENCY"),
        ("rollback", {"ref": "x"}, 404, "NO_SUCH_TX"),
        ("rollback", {}, 400, "BAD_REQUEST"),
        ("dance", {}, 400, "BAD_REQUEST"),
    ],
)
def test_aurora_hears_statuses(
    to_wallet: httpx.Client, action: str, change: dict[str, Any], status: int, code: str
) -> None:
    got, body = aurora(to_wallet, action, **({"tx": "t", "amount": 5} | change))
    assert (got, body["error"]["code"]) == (status, code)


def test_borealis_speaks_decimals(to_wallet: httpx.Client) -> None:
    assert borealis(to_wallet, "getBalance") == {"status": 0, "balance": "1000.00", "cur": "EUR"}
    assert borealis(to_wallet, "debit", txId="b1", amount="1.50")["balance"] == "998.50"
    assert borealis(to_wallet, "credit", txId="b2", amount="0.5")["balance"] == "999.00"
    assert borealis(to_wallet, "cancel", txId="b3", refTxId="b1")["balance"] == "1000.50"


@pytest.mark.parametrize(
    ("method", "change", "status"),
    [
        ("debit", {"amount": "9999999.00"}, 203),
        ("debit", {"user": "mallory"}, 202),
        ("debit", {"user": "nobody"}, 201),
        ("debit", {"amount": 1.5}, 102),
        ("debit", {"amount": "1.234"}, 102),
        ("debit", {"currency": "SEK"}, 209),
        ("cancel", {"refTxId": "x"}, 204),
        ("dance", {}, 102),
    ],
)
def test_borealis_hears_numbers(
    to_wallet: httpx.Client, method: str, change: dict[str, Any], status: int
) -> None:
    assert borealis(to_wallet, method, **({"txId": "t", "amount": "1"} | change))["status"] == status


def test_a_refusal_tells_the_balance_in_each_tongue(to_wallet: httpx.Client) -> None:
    assert aurora(to_wallet, "bet", tx="t", amount=10**9)[1]["balance"] == 100_000
    assert borealis(to_wallet, "debit", txId="t", amount="9999999.00")["balance"] == "1000.00"


def test_one_wallet_stands_behind_both(to_wallet: httpx.Client) -> None:
    aurora(to_wallet, "bet", tx="shared", amount=100)
    assert borealis(to_wallet, "debit", txId="shared", amount="2.00")["status"] == 205
