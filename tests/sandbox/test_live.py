"""Live tables: WebSocket both ways, and server-sent events."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosedError, InvalidMessage, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.sandbox.running import AURORA, Running


def sit_down(aurora: Running, table: str = "roulette-1", **more: Any) -> ClientConnection:
    more.setdefault("additional_headers", AURORA)
    seat: ClientConnection = connect(f"ws://127.0.0.1:{aurora.port}/v1/live/{table}", proxy=None, **more)
    return seat


def test_a_table_welcomes_spins_and_confirms(aurora: Running) -> None:
    with sit_down(aurora, subprotocols=["other", "table.v1"]) as seat:
        assert seat.subprotocol == "table.v1"
        assert json.loads(seat.recv()) == {"event": "welcome", "table": "roulette-1"}
        first = json.loads(seat.recv())
        assert (first["event"], first["round"]) == ("round", 1)
        seat.send("10 on red")
        seat.send(b"\x00chips\xff")
        heard = [seat.recv() for _ in range(4)]
        assert b"\x00chips\xff" in heard
        assert {"event": "accepted", "chips": "10 on red"} in [
            json.loads(one) for one in heard if isinstance(one, str)
        ]
        seat.send("leave")
        for _ in seat:  # rounds that were on their way
            pass
        assert (seat.close_code, seat.close_reason) == (1000, "good night")


def test_a_table_that_is_not_there_and_a_stranger_are_refused(aurora: Running) -> None:
    with pytest.raises(InvalidStatus) as missing:
        sit_down(aurora, "poker-9")
    assert missing.value.response.status_code == 404
    with pytest.raises(InvalidStatus) as stranger:
        sit_down(aurora, additional_headers={})
    assert stranger.value.response.status_code == 401


def test_faults_strike_at_the_handshake(aurora: Running) -> None:
    httpx.post(f"{aurora.url}/_sandbox/faults", json={"status": 503, "times": 1})
    with pytest.raises(InvalidStatus) as refused:
        sit_down(aurora)
    assert refused.value.response.status_code == 503
    httpx.post(f"{aurora.url}/_sandbox/faults", json={"reset": True})
    with pytest.raises((ConnectionError, InvalidMessage)):
        sit_down(aurora)


def test_an_outage_breaks_a_table_off(aurora: Running) -> None:
    with sit_down(aurora) as seat:
        seat.recv()
        httpx.post(f"{aurora.url}/_sandbox/faults", json={"outage": True})
        with pytest.raises(ConnectionClosedError):
            for _ in seat:
                pass


def test_a_feed_tells_rounds_as_events(to_aurora: httpx.Client) -> None:
    answer = to_aurora.get("/v1/feed/roulette-1", params={"limit": 2})
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [
        dict(line.split(": ", 1) for line in one.split("\n")) for one in answer.text.strip().split("\n\n")
    ]
    assert [(event["id"], event["event"]) for event in events] == [("1", "round"), ("2", "round")]
    assert json.loads(events[1]["data"]) == {"event": "round", "table": "roulette-1", "round": 2, "result": 7}


def test_a_feed_goes_on_where_the_reader_left(to_aurora: httpx.Client) -> None:
    answer = to_aurora.get("/v1/feed/roulette-1", params={"limit": 1}, headers={"last-event-id": "41"})
    assert answer.text.startswith("id: 42\n")


def test_a_feed_without_limit_does_not_end(to_aurora: httpx.Client) -> None:
    with to_aurora.stream("GET", "/v1/feed/blackjack-1") as answer:
        lines = answer.iter_lines()
        assert [next(lines) for _ in range(9)][8] == "id: 3"


def test_no_feed_from_a_table_that_is_not_there(to_aurora: httpx.Client) -> None:
    answer = to_aurora.get("/v1/feed/poker-9")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NO_SUCH_TABLE")
