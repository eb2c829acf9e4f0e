"""Where a call comes from is what a trusted proxy says, and nobody else."""

from __future__ import annotations

import httpx

from tests.scenarios.running import Gateway, gateway
from tests.upstream.origins import ok, origin

CONFIG = """
    version: 1
    upstreams: {origin: {targets: [{url: {env: ORIGIN_URL}}]}}
    routes:
      - {name: games, match: {methods: [GET], path: /games}, upstream: origin, policies: [known]}
"""


async def get(running: Gateway, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        return await client.get(running.url + "/games", headers=headers)


ADDRESSES = {"known": "- ip_allow_list: {networks: [203.0.113.0/24]}"}


async def test_the_true_address_is_what_a_trusted_proxy_says() -> None:
    async with origin(ok()) as place:
        trusting = CONFIG + "    server: {trusted_proxies: [127.0.0.1/32], drain: {delay: 0s}}\n"
        with gateway(trusting, ADDRESSES, {"ORIGIN_URL": place.url}) as running:
            for forwarded, status in (
                ("203.0.113.7", 200),
                ("198.51.100.1, 203.0.113.7, 127.0.0.1", 200),
                ("203.0.113.7, 198.51.100.1", 403),
                ("::ffff:203.0.113.7", 200),
                ("nonsense", 403),
                ("", 403),
            ):
                answer = await get(running, **({"x-forwarded-for": forwarded} if forwarded else {}))
                assert answer.status_code == status, forwarded
            assert b"x-forwarded-for: 203.0.113.7" in place.heads[0].lower()


async def test_nobody_else_is_believed() -> None:
    async with origin(ok()) as place:
        with gateway(CONFIG, ADDRESSES, {"ORIGIN_URL": place.url}) as running:
            for name in ("x-forwarded-for", "x-real-ip", "forwarded", "x-client-ip", "true-client-ip"):
                address = "for=203.0.113.7" if name == "forwarded" else "203.0.113.7"
                answer = await get(running, **{name: address})
                assert (answer.status_code, answer.json()["code"]) == (403, "IP_NOT_ALLOWED"), name
        assert place.heads == []
