"""Many at once: an origin that fails everything is spared retries, and a thousand misses are one call."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.scenarios.running import gateway
from tests.upstream.origins import Visit, ok, origin

CONFIG = """
    version: 1
    upstreams: {{origin: {{targets: [{{url: "{url}"}}]}}}}
    routes:
      - {{name: games, match: {{methods: [GET], path: /games}}, upstream: origin, policies: [storm]}}
    server: {{drain: {{delay: 0s}}, limits: {{connections_per_client: 2000}}}}
"""
REQUEST = b"GET /games HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n"


@pytest.mark.attack(32)
async def test_an_origin_that_fails_everything_sees_few_retries() -> None:
    calls = 300
    lists = {"storm": "- retry: {attempts: 3, budget: 20%}\n- timeout: {total: 20s}"}
    async with origin(ok(b"down", status=b"503 Service Unavailable")) as place:
        with gateway(CONFIG.format(url=place.url), lists) as running:
            async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
                places = asyncio.Semaphore(32)

                async def call() -> int:
                    async with places:
                        return (await client.get(running.url + "/games")).status_code

                statuses = await asyncio.gather(*(call() for _ in range(calls)))
            assert set(statuses) == {503}
            assert calls < len(place.heads) < 1.2 * calls
            assert running.metric("gateway_upstream_attempts_total") == len(place.heads)


async def test_a_thousand_misses_are_one_call() -> None:
    callers = 1000
    waiting = asyncio.Event()

    async def play(visit: Visit) -> None:
        while True:
            await visit.request()
            await waiting.wait()
            await visit.say(ok(b"x" * 20_000, b"cache-control: max-age=60"))

    async def call() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(REQUEST)
        asked.release()
        answer = await reader.read()
        writer.close()
        return answer

    asked = asyncio.Semaphore(0)
    async with origin(play) as place:
        with gateway(CONFIG.format(url=place.url), {"storm": "- cache: {}"}) as running:
            tasks = [asyncio.create_task(call()) for _ in range(callers)]
            async with asyncio.timeout(30):
                for _ in range(callers):
                    await asked.acquire()
                while await asyncio.to_thread(running.metric, "gateway_requests_in_flight") < callers:
                    await asyncio.sleep(0.05)
                waiting.set()
                answers = await asyncio.gather(*tasks)
            assert len(place.heads) == 1
            assert all(
                answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"x" * 20_000) for answer in answers
            )
            assert sum(b"; collapsed" in answer for answer in answers) == callers - 1
