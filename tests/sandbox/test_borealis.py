"""Borealis over a real socket: remote procedure calls, HTTP 200 whatever happens."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.sandbox.running import Running


def call(client: httpx.Client, method: str, **params: Any) -> dict[str, Any]:
    answer = client.post("/api", json={"method": method, "params": params})
    assert answer.status_code == 200
    told: dict[str, Any] = answer.json()
    return told


def test_both_ways_to_list_give_the_same(to_borealis: httpx.Client) -> None:
    listed = call(to_borealis, "listGames")
    assert to_borealis.get("/api/list.do").json() == listed
    assert len(listed["data"]["items"]) == 20
    assert listed["data"]["items"][0] == {
        "id": 5001, "name": "Bear Market", "cat": "SLOT", "rtp": 9400, "min": "0.10", "max": "100.00",
        "active": 1,
    }  # fmt: skip


def test_both_ways_to_get_one_game(to_borealis: httpx.Client) -> None:
    game = call(to_borealis, "getGame", id="5002")
    assert game["data"]["name"] == "Taiga Treasure"
    assert to_borealis.get("/api/game.do", params={"id": "5002"}).json() == game


def test_an_open_game_has_a_url(to_borealis: httpx.Client) -> None:
    opened = call(to_borealis, "openGame", id="5001", user="alice", cur="NOK")
    assert opened["status"] == 0
    assert opened["data"]["url"].startswith("https://play.borealis.example/5001/")


@pytest.mark.parametrize(
    ("method", "params", "status"),
    [
        ("getGame", {"id": "1"}, 101),
        ("getGame", {}, 102),
        ("dance", {}, 102),
        ("openGame", {"id": "5001", "user": "alice", "cur": "USD"}, 104),
        ("openGame", {"id": "5001", "user": "mallory", "cur": "EUR"}, 105),
        ("openGame", {"id": "5018", "user": "alice", "cur": "EUR"}, 110),
    ],
)
def test_refusals_are_numbers(
    to_borealis: httpx.Client, method: str, params: dict[str, Any], status: int
) -> None:
    told = call(to_borealis, method, **params)
    assert told["status"] == status
    assert told["msg"]


def test_what_is_no_call_is_malformed(to_borealis: httpx.Client) -> None:
    assert to_borealis.post("/api", content=b"method=listGames").json()["status"] == 102
    assert to_borealis.get("/api/nothing.do").json()["status"] == 102
    assert to_borealis.get("/api/game.do").json()["status"] == 102


def test_nobody_comes_in_without_logging_in(borealis: Running) -> None:
    with httpx.Client(base_url=borealis.url, trust_env=False) as client:
        assert client.get("/ping").json() == {"status": 0, "data": "pong"}
        assert client.get("/api/list.do").json() == {"status": 103, "msg": "not logged in"}
        assert call(client, "ping") == {"status": 103, "msg": "not logged in"}


def test_ping_is_a_call_like_others(to_borealis: httpx.Client) -> None:
    assert call(to_borealis, "ping") == {"status": 0, "data": "pong"}
