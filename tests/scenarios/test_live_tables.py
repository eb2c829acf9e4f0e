"""A table played live through the gateway: WebSocket both ways, server-sent events as they happen."""

from __future__ import annotations

import asyncio
import json
import socket

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Response
from websockets.sync.client import ClientConnection, connect

from tests.sandbox.running import AURORA, provider
from tests.scenarios.running import Gateway, eventually, gateway
from tests.upstream.origins import Visit, origin

CONFIG = """
    version: 1
    consumers: {platform: {credentials: [{api_key: platform-key}]}}
    upstreams:
      aurora: {targets: [{url: {env: AURORA_URL}}]}
    routes:
      - name: live
        match: {methods: [GET], path: "/live/:table"}
        upstream: aurora
        rewrite: "/v1/live/:table"
        stream: true
        policies: [provider]
      - name: feed
        match: {methods: [GET], path: "/feed/:table"}
        upstream: aurora
        rewrite: "/v1/feed/:table"
        stream: true
        policies: [provider]
"""
LISTS = {
    "provider": f"""
        - authentication: {{accept: [api_key], consumers: [platform]}}
        - concurrency: {{max: 2, by: route}}
        - upstream_auth: {{bearer: "{AURORA["authorization"].removeprefix("Bearer ")}"}}
    """
}
KEY = {"x-api-key": "platform-key"}


def test_a_table_is_played_over_websocket() -> None:
    with provider("aurora") as aurora, gateway(CONFIG, LISTS, {"AURORA_URL": aurora.url}) as running:
        url = running.url.replace("http:", "ws:") + "/live/roulette-1"
        with connect(url, additional_headers=KEY, subprotocols=["table.v1"], proxy=None) as table:  # type: ignore[list-item]
            assert table.subprotocol == "table.v1"
            assert json.loads(table.recv(10))["event"] == "welcome"
            chips = bytes(range(256)) * 400  # more than one frame's short lengths, and more than one read
            table.send(chips)
            table.send("red 5")
            told = [table.recv(10) for _ in range(4)]
            assert chips in told
            events = [json.loads(message) for message in told if isinstance(message, str)]
            assert {"event": "accepted", "chips": "red 5"} in events
            assert any(event["event"] == "round" for event in events)
            table.send("leave")
            with pytest.raises(ConnectionClosed):  # noqa: PT012 - rounds may still come before the end
                while True:
                    table.recv(10)
        assert (table.close_code, table.close_reason) == (1000, "good night")


@pytest.mark.parametrize(("table", "headers", "status"), [("none", KEY, 404), ("roulette-1", {}, 401)])
def test_a_table_that_is_refused(table: str, headers: dict[str, str], status: int) -> None:
    with provider("aurora") as aurora, gateway(CONFIG, LISTS, {"AURORA_URL": aurora.url}) as running:
        assert refusal(running, table, headers).status_code == status


def test_who_leaves_a_table_frees_its_seat() -> None:
    with provider("aurora") as aurora, gateway(CONFIG, LISTS, {"AURORA_URL": aurora.url}) as running:
        for _ in range(4):
            with sit_down(running, "roulette-1", KEY) as first, sit_down(running, "roulette-1", KEY):
                answer = refusal(running, "roulette-1", KEY)
                assert answer.status_code == 503
                assert "retry-after" in answer.headers
                first.socket.shutdown(socket.SHUT_RDWR)  # without a word
            eventually(lambda: running.metric("gateway_requests_in_flight") == 0)


def sit_down(running: Gateway, table: str, headers: dict[str, str]) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{running.port}/live/{table}", additional_headers=headers, proxy=None)


def refusal(running: Gateway, table: str, headers: dict[str, str]) -> Response:
    with pytest.raises(InvalidStatus) as caught, sit_down(running, table, headers):
        pass
    return caught.value.response


def test_events_of_the_sandbox_are_watched() -> None:
    with provider("aurora") as aurora, gateway(CONFIG, LISTS, {"AURORA_URL": aurora.url}) as running:
        answer = httpx.get(running.url + "/feed/roulette-1?limit=3", headers=KEY)
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert [line for line in answer.text.splitlines() if line.startswith("id: ")] == [
            "id: 1",
            "id: 2",
            "id: 3",
        ]


async def test_events_arrive_one_by_one() -> None:
    """The origin tells the next event only when the caller has confirmed the one before."""
    confirmed = asyncio.Queue[int]()

    async def play(visit: Visit) -> None:
        await visit.request()
        await visit.say(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        for number in range(20):
            event = b"data: %d\n\n" % number
            await visit.say(b"%x\r\n%b\r\n" % (len(event), event))
            assert await confirmed.get() == number
        await visit.say(b"0\r\n\r\n")

    async with origin(play) as place:
        with gateway(CONFIG, LISTS, {"AURORA_URL": place.url}) as running:
            got = []
            async with (
                asyncio.timeout(20),
                httpx.AsyncClient(trust_env=False) as client,
                client.stream("GET", running.url + "/feed/roulette-1", headers=KEY) as answer,
            ):
                async for line in answer.aiter_lines():
                    if line:
                        got.append(line)
                        confirmed.put_nowait(int(line.removeprefix("data: ")))
            assert got == [f"data: {number}" for number in range(20)]
