"""A caller who leaves takes the call upstream along, at once."""

from __future__ import annotations

import asyncio
import statistics
import time

import pytest

from tests.scenarios.running import gateway
from tests.upstream.origins import Visit, origin

CONFIG = """
    version: 1
    upstreams: {{origin: {{targets: [{{url: "{url}"}}]}}}}
    routes:
      - name: files
        match: {{methods: [GET], path: /files/*}}
        upstream: origin
        policies: [{{timeout: {{total: 20s}}}}]
"""


@pytest.mark.parametrize("begun", [False, True], ids=["before the answer", "in the middle of the answer"])
async def test_a_caller_who_leaves_ends_the_call_upstream(begun: bool) -> None:
    left = asyncio.Queue[float]()

    async def play(visit: Visit) -> None:
        await visit.request()
        if begun:
            await visit.say(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nfirst")
        await visit.until_closed()
        left.put_nowait(time.monotonic())

    async with origin(play) as place:
        with gateway(CONFIG.format(url=place.url)) as running:
            seconds = []
            for _ in range(9):
                reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
                place.arrived.clear()
                writer.write(b"GET /files/slow HTTP/1.1\r\nhost: gateway\r\n\r\n")
                if begun:
                    await reader.readuntil(b"first")
                await place.arrived.wait()
                before = time.monotonic()
                writer.transport.abort()
                async with asyncio.timeout(10):
                    seconds.append(await left.get() - before)
            assert statistics.median(seconds) < 0.1, seconds
            assert running.metric("gateway_requests_in_flight") == 0
