"""The platform's own wallet API over a real socket."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

BET = {"player": "alice", "transaction": "t1", "amount": 500, "currency": "EUR"}


def test_a_player_and_a_stranger(to_wallet: httpx.Client) -> None:
    alice = {"id": "alice", "balance": 100_000, "currency": "EUR", "blocked": False}
    assert to_wallet.get("/wallet/players/alice").json() == alice
    missing = to_wallet.get("/wallet/players/nobody")
    assert missing.status_code == 404
    assert missing.json() == {"error": "PLAYER_UNKNOWN", "message": "nobody is called 'nobody'"}
    assert to_wallet.get("/health").json() == {"status": "up"}


def test_balance_bet_win_rollback(to_wallet: httpx.Client) -> None:
    assert to_wallet.post("/wallet/balance", json={"player": "alice"}).json()["balance"] == 100_000
    bet = to_wallet.post("/wallet/bet", json=BET)
    expected = {
        "player": "alice", "balance": 99_500, "currency": "EUR", "transaction": "t1", "duplicate": False,
    }  # fmt: skip
    assert (bet.status_code, bet.json()) == (200, expected)
    assert to_wallet.post("/wallet/bet", json=BET).json() == expected | {"duplicate": True}
    won = to_wallet.post("/wallet/win", json=BET | {"transaction": "t2", "round": "r", "game": "g"})
    assert won.json()["balance"] == 100_000
    undo = {"player": "alice", "transaction": "t3", "reference": "t1"}
    assert to_wallet.post("/wallet/rollback", json=undo).json()["balance"] == 100_500


@pytest.mark.parametrize(
    ("action", "change", "status", "code"),
    [
        ("bet", {"amount": 100_001}, 402, "NO_FUNDS"),
        ("bet", {"player": "mallory"}, 403, "PLAYER_BLOCKED"),
        ("bet", {"player": "nobody"}, 404, "PLAYER_UNKNOWN"),
        ("bet", {"currency": "SEK"}, 422, "WRONG_CURRENCY"),
        ("bet", {"amount": -5}, 422, "WRONG_AMOUNT"),
        ("bet", {"amount": 5.0}, 400, "MALFORMED"),
        ("bet", {"amount": True}, 400, "MALFORMED"),
        ("bet", {"transaction": ""}, 400, "MALFORMED"),
        ("rollback", {"reference": "unheard-of"}, 404, "TX_UNKNOWN"),
        ("steal", {}, 404, "NO_SUCH_ACTION"),
    ],
)
def test_refusals(
    to_wallet: httpx.Client, action: str, change: dict[str, Any], status: int, code: str
) -> None:
    answer = to_wallet.post(f"/wallet/{action}", json=BET | change)
    assert (answer.status_code, answer.json()["error"]) == (status, code)


def test_a_refusal_for_want_of_money_tells_the_real_balance(to_wallet: httpx.Client) -> None:
    told = to_wallet.post("/wallet/bet", json=BET | {"amount": 1_000_000}).json()
    assert told == {
        "error": "NO_FUNDS", "message": "alice has only 100000", "balance": 100_000, "currency": "EUR",
    }  # fmt: skip


def test_ten_at_once_leave_the_exact_balance(to_wallet: httpx.Client) -> None:
    def bet(number: int) -> int:
        return to_wallet.post("/wallet/bet", json=BET | {"transaction": f"t{number // 2}"}).status_code

    with ThreadPoolExecutor(10) as pool:
        assert set(pool.map(bet, range(20))) == {200}
    assert to_wallet.get("/wallet/players/alice").json()["balance"] == 100_000 - 10 * 500


def test_the_platform_fails_when_told(to_wallet: httpx.Client) -> None:
    to_wallet.post("/_sandbox/faults", json={"status": 500, "path": "/wallet/"})
    answer = to_wallet.post("/wallet/bet", json=BET)
    assert (answer.status_code, answer.json()["error"]) == (500, "OUT_OF_ORDER")
    assert to_wallet.get("/health").status_code == 200
