"""Twelve thousand calls, most broken off, at every byte, by either side: each gets its own answer or none.

ABORTS_SEED=number repeats a run's plan; it is printed.
"""

from __future__ import annotations

import asyncio
import os
import resource
from collections import Counter
from collections.abc import Iterator
from random import Random, SystemRandom

import pytest

from tests.scenarios.aborts import Got, Origin, Plan, Visit, make_plans, parse
from tests.scenarios.running import Gateway, eventually, gateway

CALLS = 12_000
AFTERWARDS = 500
CONNECTIONS = 500
CONFIG = """
    version: 1
    upstreams:
      origin:
        targets: [{{url: "http://127.0.0.1:{port}"}}]
        timeout: {{connect: 20s, response: 30s, idle: 30s, total: 40s}}
        pool: {{max_connections: {pool}}}
    routes:
      - {{name: calls, match: {{methods: [GET, POST], path: /calls/*}}, upstream: origin}}
    server: {{drain: {{delay: 0s, grace: 2s}}, limits: {{connections_per_client: 10000}}}}
    telemetry: {{logs: {{level: warning}}}}
"""


@pytest.fixture
def connections() -> Iterator[int]:
    """How many at once: 500, or as many as the limit on descriptors allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * CONNECTIONS + 256
    allowed = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))
    yield min(CONNECTIONS, (allowed - 256) // 4)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Caller:
    """Makes one call after the other, on one connection as long as it lasts."""

    def __init__(self, port: int, origin: Origin, results: Counter[str], faults: list[str]) -> None:
        self.port, self.origin = port, origin
        self.results, self.faults = results, faults
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter | None = None

    async def call_all(self, plans: Iterator[Plan]) -> None:
        for plan in plans:
            if self.writer is None:
                self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
            result = await self._call(plan, self.writer)
            self.results[result] += 1
            if result != "whole":
                self.writer.transport.abort()
                self.writer = None
        if self.writer is not None:
            self.writer.close()
            await self.writer.wait_closed()

    async def _call(self, plan: Plan, writer: asyncio.StreamWriter) -> str:
        if plan.breaks == "request":
            writer.write(plan.request[: plan.at])
            await asyncio.sleep(0)  # uvloop writes when its turn is over
            return "left"
        said = asyncio.get_running_loop().create_future()
        if plan.breaks == "said":
            self.origin.said[plan.number] = said
        writer.write(plan.request[:-20])
        await asyncio.sleep(0)
        writer.write(plan.request[-20:])
        if plan.breaks == "said":
            await said
            if plan.at % 2:
                await asyncio.sleep(0)
            return "left"
        raw = b""
        got = None
        while got is None or not got.whole:
            if plan.breaks == "answer" and len(raw) >= plan.at:
                self._check(plan, got)
                return "left"
            data = await self._more()
            if not data:
                break
            raw += data
            got = parse(raw)
        self._check(plan, got)
        if got is None:
            self.faults.append(f"no answer to {plan}")
            return "nothing"
        if got.status != 200:
            return str(got.status)
        return "whole" if got.whole else "cut"

    async def _more(self) -> bytes:
        try:
            return await self.reader.read(65536)
        except ConnectionError:
            return b""

    def _check(self, plan: Plan, got: Got | None) -> None:
        """Is what came its own, and as whole as it says?"""
        if got is None:
            return
        if got.status == 200:
            own = got.call == b"%d" % plan.number and plan.body.startswith(got.body) and not got.more
            sound = plan.breaks == "answer" or got.whole is (plan.breaks != "origin")
            if not own or not sound or (got.whole and got.body != plan.body):
                self.faults.append(f"{plan} got {got}")
        elif got.status != 502 or plan.breaks != "origin":
            self.faults.append(f"{plan} got {got}")


@pytest.mark.timeout(120)
async def test_each_of_twelve_thousand_calls_gets_its_own_answer_or_none(connections: int) -> None:
    seed = int(os.environ.get("ABORTS_SEED") or SystemRandom().randrange(1 << 32))
    print(f"ABORTS_SEED={seed}")
    plans = make_plans(CALLS, Random(seed))
    later = [
        Plan(number, ("", "length", "chunks")[number % 3], number, number % 2 == 0)
        for number in range(AFTERWARDS)
    ]
    assert_every_byte(plans)
    origin = Origin({plan.number: plan for plan in plans + later})
    results: Counter[str] = Counter()
    faults: list[str] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Visit(origin), "127.0.0.1", 0, backlog=4096)
    port = server.sockets[0].getsockname()[1]
    with gateway(CONFIG.format(port=port, pool=connections * 2)) as running:

        async def call_all(plans: Iterator[Plan]) -> None:
            callers = [Caller(running.port, origin, results, faults) for _ in range(connections)]
            async with asyncio.timeout(100), asyncio.TaskGroup() as group:
                for caller in callers:
                    group.create_task(caller.call_all(plans))

        await call_all(iter(plans))
        assert not faults, f"seed {seed}: {len(faults)} faults, the first: {faults[0]}"
        assert results.total() == CALLS
        await asyncio.to_thread(eventually, lambda: is_at_rest(running))
        before = results["whole"]
        await call_all(iter(later))
        await asyncio.to_thread(eventually, lambda: is_at_rest(running))
    server.close()
    assert not origin.faults, f"seed {seed}: {origin.faults[0]}"
    assert not faults, f"seed {seed}: {faults[0]}"
    assert results["whole"] - before == AFTERWARDS
    assert not [line for line in running.lines if "Traceback" in line]
    print(f"{dict(results)}; the origin was asked {origin.asked} times over {origin.visits} connections")
    assert before > CALLS / 5
    assert origin.visits < origin.asked, "connections were used again"


def is_at_rest(running: Gateway) -> bool:
    """No call is under way, and none holds or awaits a connection."""
    return not any(
        (
            running.metric("gateway_requests_in_flight"),
            running.metric("gateway_upstream_connections", state="active"),
            running.metric("gateway_upstream_connections", state="waiting"),
        )
    )


def assert_every_byte(plans: list[Plan]) -> None:
    """The plan leaves no position of a head or an answer out."""
    for upload in ("", "length", "chunks"):
        hit = {plan.at for plan in plans if plan.breaks == "request" and plan.upload == upload}
        assert hit >= set(range(len(Plan(10_000, upload).request))), upload
    for chunked in (False, True):
        for breaks in ("answer", "said", "origin"):
            hit = {plan.at for plan in plans if (plan.breaks, plan.chunked) == (breaks, chunked)}
            assert hit >= set(range(len(Plan(10_000, size=700, chunked=chunked).answer))), (breaks, chunked)
