"""A built configuration: what it keeps of the one before, and when it lets go of what only it used."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from textwrap import dedent

import pytest
import trustme

from gateway.config import Config, load
from gateway.exchange import Exchange
from gateway.generation import Generation, World
from gateway.stores import Stores
from tests.support import NoControl

CONFIG = """
    version: 1
    upstreams:
      one: {targets: [{url: "http://127.0.0.1:9"}]}
      two: {targets: [{url: "http://127.0.0.1:10"}]}
    routes:
      - name: games
        match: {methods: [GET], path: /games}
        upstream: one
        policies:
          - headers: {response: {set: {x-on: "yes"}}}
          - timeout: {total: 5s, mode: off}
      - {name: other, match: {methods: [GET], path: /other}, upstream: two}
"""

TRUSTING = 'two: {targets: [{url: "https://127.0.0.1:10"}], tls: {ca: ca.pem}}'


@pytest.fixture
def world() -> World:
    return World(control=NoControl(), stores=Stores())


def read(folder: Path, text: str = CONFIG) -> Config:
    path = folder / "routes.yaml"
    path.write_text(dedent(text))
    return load(path, {})


async def ended(world: World) -> None:
    while world.tasks:
        await asyncio.gather(*world.tasks)


async def test_routes_lead_through_their_policies_to_their_upstream(world: World, tmp_path: Path) -> None:
    generation = Generation(1, read(tmp_path), world)
    route, _ = generation.router.find("GET", "/games", "")
    assert route.entry.policies == ("headers",), "a policy that is off costs nothing"
    assert (route.entry.name, route.entry.upstream) == ("games", "one")
    plain, _ = generation.router.find("GET", "/other", "")
    assert plain.forward is generation.upstreams["two"], "a route without policies is its upstream"
    assert repr(generation) == "<Generation 1: 2 routes, 0 calls under way>"


async def test_an_upstream_that_did_not_change_is_the_same_one(world: World, tmp_path: Path) -> None:
    first = Generation(1, read(tmp_path), world)
    assert first.start() == []
    second = Generation(2, read(tmp_path, CONFIG.replace(":10", ":11")), world)
    assert second.upstreams["one"] is first.upstreams["one"]
    assert second.upstreams["two"] is not first.upstreams["two"]
    assert [thing for thing in second.start() if thing is first.upstreams["two"]]


async def test_an_upstream_whose_authority_was_renewed_is_another_one(world: World, tmp_path: Path) -> None:
    text = CONFIG.replace('two: {targets: [{url: "http://127.0.0.1:10"}]}', TRUSTING)
    (tmp_path / "ca.pem").write_bytes(trustme.CA().cert_pem.bytes())
    before = read(tmp_path, text)
    assert tmp_path / "ca.pem" in before.files
    first = Generation(1, before, world)
    first.start()
    again = read(tmp_path, text)
    assert again.fingerprint == before.fingerprint
    assert Generation(2, again, world).upstreams["two"] is first.upstreams["two"]
    (tmp_path / "ca.pem").write_bytes(trustme.CA().cert_pem.bytes())
    after = read(tmp_path, text)
    assert after.fingerprint != before.fingerprint
    third = Generation(3, after, world)
    assert third.upstreams["two"] is not first.upstreams["two"]
    assert third.upstreams["one"] is first.upstreams["one"]


@pytest.mark.interpreted
async def test_what_only_it_used_is_closed_as_its_last_call_ends(world: World, tmp_path: Path) -> None:
    first = Generation(1, read(tmp_path), world)
    first.start()
    closed = []

    async def close() -> None:
        closed.append("two")

    first.upstreams["two"].close = close  # type: ignore[method-assign]
    first.in_flight = 2
    second = Generation(2, read(tmp_path, CONFIG.replace(":10", ":11")), world)
    first.retire(second.start())
    first.leave()
    await ended(world)
    assert closed == []
    first.leave()
    await ended(world)
    assert closed == ["two"]


async def test_an_idle_one_closes_at_once_and_is_let_go(world: World, tmp_path: Path) -> None:
    first = Generation(1, read(tmp_path), world)
    first.start()
    second = Generation(2, read(tmp_path, CONFIG.replace(":10", ":11")), world)
    first.retire(second.start())
    await ended(world)
    assert len(world.generations) == 2
    del first
    gc.collect()
    assert list(world.generations) == [second]


async def test_background_work_that_fails_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ValueError("no luck")

    world.background(fail())
    while world.tasks:
        await asyncio.sleep(0)
    assert "background work failed: no luck" in caplog.text


async def test_an_exchange_counts_for_the_generation_that_took_it() -> None:
    assert Exchange(method="GET", path="/").generation is None


async def test_routes_that_require_tls_bear_hsts(world: World, tmp_path: Path) -> None:
    text = CONFIG.replace("upstream: two}", "upstream: two, require_tls: true}")
    for hsts, wrapped in (("", False), ("    server: {hsts: {max_age: 1h}}\n", True)):
        generation = Generation(1, read(tmp_path, text + hsts), world)
        route, _ = generation.router.find("GET", "/other", "")
        assert (route.forward is not generation.upstreams["two"]) is wrapped
        other = Generation(2, read(tmp_path, CONFIG + hsts), world)
        plain, _ = other.router.find("GET", "/other", "")
        assert plain.forward is other.upstreams["two"], "no other route pays for it"


async def test_an_upstream_is_another_one_where_a_file_of_its_tls_changed(
    world: World, tmp_path: Path
) -> None:
    path = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(path)
    text = CONFIG.replace('"http://127.0.0.1:9"}]', '"https://127.0.0.1:9"}], tls: {ca: ca.pem}')
    made = []
    for _ in range(3):
        generation = Generation(len(made) + 1, read(tmp_path, text), world)
        generation.start()
        made.append(generation.upstreams)
        if len(made) == 2:
            trustme.CA().cert_pem.write_to_path(path)
    assert made[0]["one"] is made[1]["one"] is not made[2]["one"]
    assert made[0]["two"] is made[2]["two"]
