from __future__ import annotations

import asyncio
import logging

import pytest

from gateway.upstream.health import Health, Prober
from gateway.upstream.settings import HealthConfig, PassiveHealthConfig
from tests.upstream.origins import call, ok, origin, upstream

PASSIVE = PassiveHealthConfig.model_validate({"failures": 3, "eject_for": "10s"})
ACTIVE = HealthConfig.model_validate({"path": "/health", "healthy_after": 2, "unhealthy_after": 3})


def test_failures_in_a_row_eject() -> None:
    health = Health(PASSIVE)
    health.unreachable(0)
    health.unreachable(1)
    health.connected()
    health.unreachable(2)
    health.unreachable(3)
    assert health.healthy(3)
    health.unreachable(4)
    assert not health.healthy(13.9)
    assert health.healthy(14)
    health.unreachable(14)  # still failing: one is enough
    assert not health.healthy(15)
    health.connected()
    health.unreachable(30)
    assert health.healthy(30)


def test_probes_in_a_row_change_the_state() -> None:
    health = Health(PASSIVE, ACTIVE)
    assert [health.probed(good=good) for good in (False, False, True, False, False, False)] == [False] * 5 + [
        True
    ]
    assert not health.healthy(0)
    assert [health.probed(good=good) for good in (True, False, True, True)] == [False] * 3 + [True]
    assert health.healthy(0)


def test_a_good_probe_ends_an_ejection() -> None:
    health = Health(PASSIVE, ACTIVE)
    for _ in range(3):
        health.unreachable(0)
        health.probed(good=False)
    for _ in range(2):
        health.probed(good=True)
    assert health.healthy(0)


async def test_probes_take_a_target_out_and_bring_it_back(caplog: pytest.LogCaptureFixture) -> None:
    bad = ok(b"", status=b"503 Service Unavailable")
    async with (
        origin(ok(), ok(), bad, bad, ok()) as place,
        origin(ok()) as other,
        upstream(place, other, health={"path": "/health", "every": "20ms", "unhealthy_after": 2}) as up,
    ):
        with caplog.at_level(logging.WARNING, "gateway"):
            up.start()
            up.start()
            health = up.targets[0].health
            async with asyncio.timeout(5):
                while health.probed_healthy:
                    await asyncio.sleep(0.005)
                for _ in range(4):
                    exchange = call()
                    await up(exchange)
                    if not health.probed_healthy:
                        assert exchange.attempts[0].target == other.url
                while not health.probed_healthy:
                    await asyncio.sleep(0.005)
        assert place.heads[0].startswith(b"GET /health HTTP/1.1\r\n")
        assert [record.getMessage().rsplit(" ", 1)[1] for record in caplog.records] == [
            "unhealthy",
            "healthy",
        ]


@pytest.mark.parametrize(("status", "expected", "good"), [
    (b"200 OK", (), True),
    (b"302 Found", (), False),
    (b"401 Unauthorized", (401,), True),
    (b"200 OK", (204,), False),
])  # fmt: skip
async def test_what_counts_as_healthy(status: bytes, expected: tuple[int, ...], good: bool) -> None:
    from gateway.upstream.control import HttpxControlClient

    config = HealthConfig.model_validate({"path": "/health", "status": expected})
    control = HttpxControlClient()
    async with origin(ok(status=status)) as place:
        assert await Prober("test", config, [], control).probe(place.url) is good
    assert await Prober("test", config, [], control).probe(place.url) is False
    await control.close()


async def test_a_probe_that_cannot_be_made_counts_as_bad(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        async def request(self, *_: object, **__: object) -> object:
            raise RuntimeError("bug")

    health = Health(
        PASSIVE, HealthConfig.model_validate({"path": "/", "every": "10ms", "unhealthy_after": 1})
    )
    config = HealthConfig.model_validate({"path": "/", "every": "10ms"})
    prober = Prober("test", config, [("http://127.0.0.1:9", health)], Broken())  # type: ignore[arg-type]
    prober.start()
    async with asyncio.timeout(5):
        while health.probed_healthy:
            await asyncio.sleep(0.001)
    await prober.close()
    assert "health probe" in caplog.text
