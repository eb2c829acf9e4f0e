"""A caller who leaves takes the call upstream along, at once."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

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


def waited_for_a_core(*pids: int) -> float:
    """Seconds these processes could have run and did not, because others did (Linux counts them)."""
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) for pid in pids) / 1e9


@pytest.mark.attack(24)
@pytest.mark.parametrize("begun", [False, True], ids=["before the answer", "in the middle of the answer"])
async def test_a_caller_who_leaves_ends_the_call_upstream(begun: bool) -> None:
    """Each call, by one clock for caller and origin; what other programs took is not the gateway's."""
    left = asyncio.Queue[float]()

    async def play(visit: Visit) -> None:
        await visit.request()
        if begun:
            await visit.say(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nfirst")
        await visit.until_closed()
        left.put_nowait(time.monotonic())

    async with origin(play) as place:
        with gateway(CONFIG.format(url=place.url)) as running:
            concerned = (os.getpid(), *running.worker_pids())
            seconds = []
            for _ in range(30):
                reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
                place.arrived.clear()
                writer.write(b"GET /files/slow HTTP/1.1\r\nhost: gateway\r\n\r\n")
                if begun:
                    await reader.readuntil(b"first")
                await place.arrived.wait()
                waited, before = waited_for_a_core(*concerned), time.monotonic()
                writer.transport.abort()
                async with asyncio.timeout(10):
                    took = await left.get() - before
                seconds.append(took - (waited_for_a_core(*concerned) - waited))
            assert max(seconds) < 0.1, seconds
            assert running.metric("gateway_requests_in_flight") == 0
