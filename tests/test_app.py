"""The gateway under a server not its own: `uvicorn --factory gateway.app:create_app`."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.sandbox.running import AURORA, provider
from tests.scenarios.running import write_config
from tests.upstream.origins import Visit, origin

CONFIG = """
    version: 1
    consumers: {platform: {credentials: [{api_key: platform-key}]}}
    upstreams: {aurora: {targets: [{url: {env: AURORA_URL}}]}}
    routes:
      - name: games
        match: {methods: [GET, POST], path: /aurora/*}
        upstream: aurora
        rewrite: /v1/*
        policies: [{authentication: {accept: [api_key], consumers: [platform]}}, ours]
      - name: live
        match: {methods: [GET], path: "/live/:table"}
        upstream: aurora
        rewrite: "/v1/live/:table"
        stream: true
        policies: [{authentication: {accept: [api_key], consumers: [platform]}}, ours]
"""
OURS = {"ours": f'- upstream_auth: {{bearer: "{AURORA["authorization"].removeprefix("Bearer ")}"}}'}
KEY = {"x-api-key": "platform-key"}


@contextmanager
def application(folder: Path, environ: Mapping[str, str]) -> Iterator[str]:
    """uvicorn with the application; its URL. Ends with status 0 and without an error, or fails."""
    write_config(folder, CONFIG, OURS)
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "--factory", "gateway.app:create_app", "--port", "0"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "GATEWAY_CONFIG": str(folder / "routes.yaml"), **environ},
        text=True,
    )
    assert process.stdout is not None
    lines: list[str] = []
    up = threading.Event()

    def listen() -> None:
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                lines.append(line)
                if "Uvicorn running on" in line:
                    up.set()
        up.set()

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        assert up.wait(30), lines
        found = re.search(r"http://[0-9.:]+", "".join(lines))
        assert found is not None, lines
        yield found[0]
    finally:
        process.terminate()
        try:
            process.wait(20)
        finally:
            process.kill()
            listener.join(20)
    said = "".join(lines)
    assert not listener.is_alive(), "somebody still holds its standard output"
    assert "Application shutdown complete" in said
    assert "Traceback" not in said, said


def test_calls_and_errors(tmp_path: Path) -> None:
    with provider("aurora") as aurora, application(tmp_path, {"AURORA_URL": aurora.url}) as url:
        with httpx.Client(trust_env=False, timeout=20, base_url=url, headers=KEY) as client:
            for _ in range(3):
                answer = client.get("/aurora/games?currency=EUR")
                assert answer.status_code == 200, answer.text
                assert answer.json()
            for request, status, code in (
                (("GET", "/nowhere", KEY), 404, "ROUTE_NOT_FOUND"),
                (("DELETE", "/aurora/games", KEY), 405, "METHOD_NOT_ALLOWED"),
                (("GET", "/aurora/games", {"x-api-key": "wrong"}), 401, "UNAUTHENTICATED"),
                (("GET", "/aurora/..%2f..%2fadmin", KEY), 400, "BAD_REQUEST"),
            ):
                method, path, headers = request
                answer = client.request(method, path, headers=headers)
                assert (answer.status_code, answer.json()["code"]) == (status, code)
                assert answer.headers["content-type"] == "application/problem+json"
                assert len(answer.json()["trace_id"]) == 32
        ws = url.replace("http:", "ws:") + "/live/roulette-1"
        with pytest.raises(InvalidStatus) as caught, connect(ws, additional_headers=KEY, proxy=None):
            pass  # WebSocket is for our own edge: said in so many words, not by a broken connection
        assert caught.value.response.status_code == 501
        assert json.loads(caught.value.response.body)["code"] == "NOT_IMPLEMENTED"


async def test_answers_are_streamed(tmp_path: Path) -> None:
    confirmed = asyncio.Queue[int]()

    async def play(visit: Visit) -> None:
        await visit.request()
        await visit.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for number in range(10):
            await visit.say(b"1\r\n%d\r\n" % number)
            assert await confirmed.get() == number
        await visit.say(b"0\r\n\r\n")

    async with origin(play) as place:
        with application(tmp_path, {"AURORA_URL": place.url}) as url:
            got = b""
            async with (
                asyncio.timeout(20),
                httpx.AsyncClient(trust_env=False, headers=KEY) as client,
                client.stream("GET", url + "/aurora/all") as answer,
            ):
                async for piece in answer.aiter_raw():
                    got += piece
                    confirmed.put_nowait(int(piece))
            assert got == b"0123456789"


async def test_a_caller_who_leaves_ends_the_call_upstream(tmp_path: Path) -> None:
    left = asyncio.Event()

    async def play(visit: Visit) -> None:
        await visit.request()
        await visit.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        await visit.until_closed()
        left.set()

    async with origin(play) as place:
        with application(tmp_path, {"AURORA_URL": place.url}) as url:
            async with asyncio.timeout(20), httpx.AsyncClient(trust_env=False, headers=KEY) as client:
                async with client.stream("GET", url + "/aurora/all") as answer:
                    assert await anext(answer.aiter_raw()) == b"first"
                await left.wait()
