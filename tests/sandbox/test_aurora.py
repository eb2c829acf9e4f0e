"""Aurora over a real socket: REST, with statuses that mean something."""

from __future__ import annotations

import httpx
import pytest

from tests.sandbox.running import Running


def test_games_are_listed_with_a_validator(to_aurora: httpx.Client) -> None:
    answer = to_aurora.get("/v1/games")
    games = answer.json()
    assert games["total"] == len(games["games"]) == 20
    assert games["games"][0] == {
        "code": "northern-spins", "title": "Northern Spins", "kind": "slot", "rtp": "94.00",
        "bets": {"from": 10, "to": 10_000}, "state": "open",
    }  # fmt: skip
    again = to_aurora.get("/v1/games", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_games_of_one_kind(to_aurora: httpx.Client) -> None:
    tables = to_aurora.get("/v1/games", params={"kind": "table"}).json()["games"]
    assert [game["title"] for game in tables] == ["Aurora Roulette", "Aurora Blackjack"]


def test_one_game_and_one_that_is_not_there(to_aurora: httpx.Client) -> None:
    assert to_aurora.get("/v1/games/snow-owl-nights").json()["title"] == "Snow Owl Nights"
    missing = to_aurora.get("/v1/games/atlantis")
    assert missing.status_code == 404
    assert missing.json() == {"error": {"code": "NO_SUCH_GAME", "text": "there is no game atlantis"}}


def test_a_launch_gives_a_url_with_a_session(to_aurora: httpx.Client) -> None:
    order = {"game": "northern-spins", "player": "alice", "currency": "EUR", "locale": "sv"}
    answer = to_aurora.post("/v1/launch", json=order)
    launch = answer.json()
    assert answer.status_code == 201
    expected = f"https://games.aurora.example/play/northern-spins?session={launch['session']}&lang=sv"
    assert launch["launch_url"] == expected


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"game": "atlantis"}, 404, "NO_SUCH_GAME"),
        ({"game": "comet-chaser"}, 503, "GAME_RESTING"),
        ({"currency": "XAU"}, 422, "BAD_CURRENCY"),
        ({"player": "mallory"}, 403, "PLAYER_BLOCKED"),
        ({"player": 7}, 400, "BAD_REQUEST"),
        ({"game": ""}, 400, "BAD_REQUEST"),
    ],
)
def test_a_launch_refused(to_aurora: httpx.Client, change: dict[str, object], status: int, code: str) -> None:
    order = {"game": "northern-spins", "player": "alice", "currency": "EUR"} | change
    answer = to_aurora.post("/v1/launch", json=order)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff"])
def test_a_launch_that_is_no_json_object(to_aurora: httpx.Client, body: bytes) -> None:
    assert to_aurora.post("/v1/launch", content=body).json()["error"]["code"] == "BAD_REQUEST"


@pytest.mark.parametrize("shown", ["", "Bearer wrong", "Basic demo-aurora-operator-key"])
def test_without_the_operator_key_only_health_answers(aurora: Running, shown: str) -> None:
    with httpx.Client(base_url=aurora.url, trust_env=False, headers={"authorization": shown}) as client:
        assert client.get("/health").json() == {"status": "shining"}
        for path in ("/v1/games", "/v1/games/x", "/v1/feed/roulette-1"):
            answer = client.get(path)
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "BAD_KEY")
