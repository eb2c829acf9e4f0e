"""A gateway that is told to stop: calls under way end, callers are told to go elsewhere, nothing fails."""

from __future__ import annotations

import asyncio
import http.client
import signal
import threading

import httpx
import pytest

from tests.scenarios.running import Gateway, eventually, gateway
from tests.upstream.origins import Visit, ok, origin

CONFIG = """
    version: 1
    upstreams: {{origin: {{targets: [{{url: "{url}"}}]}}}}
    routes:
      - {{name: all, match: {{methods: [GET], path: /*}}, upstream: origin, policies: []}}
    server: {{drain: {{delay: {delay}, grace: {grace}}}}}
"""


class Holding:
    """Answers /held only when told to; the others at once."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()
        self.held = 0

    async def __call__(self, visit: Visit) -> None:
        while True:
            await visit.request()
            if b" /held" in visit.origin.heads[-1][:30]:
                self.held += 1
                await self.let_go.wait()
            await visit.say(ok())


async def gone(running: Gateway) -> int:
    return await asyncio.to_thread(running.process.wait, 20)


async def test_calls_under_way_end_well() -> None:
    holding = Holding()
    async with origin(holding) as place, httpx.AsyncClient(trust_env=False, timeout=20) as client:
        with gateway(CONFIG.format(url=place.url, delay="1500ms", grace="20s")) as running:
            assert "connection" not in (await client.get(running.url + "/quick")).headers
            calls = [asyncio.create_task(client.get(running.url + "/held")) for _ in range(20)]
            while holding.held < 20:
                await asyncio.sleep(0.01)
            running.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(eventually, lambda: running.ask("/readyz").status_code == 503)
            assert running.ask("/readyz").text == "draining\n"
            assert running.ask("/healthz").status_code == 200
            for _ in range(
                2
            ):  # balancers still send calls for a while: these are welcome, on new connections too
                late = await client.get(running.url + "/quick")
                assert (late.status_code, late.headers["connection"]) == (200, "close")
            await asyncio.to_thread(eventually, lambda: refuses_connections(running))
            assert not any(call.done() for call in calls)
            holding.let_go.set()
            answers = await asyncio.gather(*calls)
            assert {(a.status_code, a.text, a.headers["connection"]) for a in answers} == {
                (200, "hello", "close")
            }
            assert await gone(running) == 0


def refuses_connections(running: Gateway) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=5)
        connection.connect()
        connection.close()
    except ConnectionRefusedError:
        return True
    return False


async def test_what_does_not_end_is_cut() -> None:
    holding = Holding()
    async with origin(holding) as place, httpx.AsyncClient(trust_env=False, timeout=20) as client:
        with gateway(CONFIG.format(url=place.url, delay="0s", grace="300ms")) as running:
            call = asyncio.create_task(client.get(running.url + "/held"))
            while holding.held < 1:
                await asyncio.sleep(0.01)
            running.process.send_signal(signal.SIGTERM)
            with pytest.raises(httpx.TransportError):
                await call
            assert await gone(running) == 0
            holding.let_go.set()


@pytest.mark.parametrize("workers", [1, 2])
async def test_nothing_fails_under_load(workers: int) -> None:
    """Callers with connections of their own, who leave when told to, as balancers do."""
    failures: list[BaseException | int] = []
    answers = [0] * 8

    def keep_calling(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
        try:
            while True:
                connection.request("GET", "/quick")
                answer = connection.getresponse()
                answer.read()
                answers[number] += 1
                if answer.status != 200:
                    failures.append(answer.status)
                if answer.getheader("connection") == "close":
                    return
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    async with origin(Holding()) as place:
        with gateway(CONFIG.format(url=place.url, delay="1s", grace="10s"), workers=workers) as running:
            callers = [
                threading.Thread(target=keep_calling, args=(number,)) for number in range(len(answers))
            ]
            for caller in callers:
                caller.start()
            while min(answers) < 20:
                await asyncio.sleep(0.01)
            running.process.send_signal(signal.SIGTERM)
            for caller in callers:
                await asyncio.to_thread(caller.join, 20)
            assert await gone(running) == 0
    assert failures == []
