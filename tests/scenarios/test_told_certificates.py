"""Certificates that callers show to a proxy in front: real proxies, real handshakes, callers who forge."""

from __future__ import annotations

import ssl
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import httpx
import pytest
import trustme

from tests.scenarios.proxies import KINDS, in_front, installed
from tests.scenarios.running import Gateway, gateway
from tests.upstream.keys import der_of
from tests.upstream.origins import ok, origin

CONFIG = """
    version: 1
    consumers:
      platform: {credentials: [{client_certificate: {san: platform.example}}]}
    upstreams: {origin: {targets: [{url: {env: ORIGIN_URL}}]}}
    routes:
      - name: games
        match: {methods: [GET], path: /games}
        upstream: origin
        require_tls: true
        policies: [{authentication: {accept: [client_certificate], consumers: [platform]}}]
      - name: anywhere
        match: {methods: [GET], path: /anywhere}
        upstream: origin
        policies: [{authentication: {accept: [client_certificate], consumers: [platform]}}]
    server: {drain: {delay: 0s}, trusted_proxies: [127.0.0.1], client_certificate_header: HEADER}
"""


def structured(leaf: trustme.LeafCert) -> str:
    return f":{b64encode(der_of(leaf)).decode()}:"


def escaped(leaf: trustme.LeafCert) -> str:
    return quote(leaf.cert_chain_pems[0].bytes(), safe="")


FORMS = {"nginx": escaped, "haproxy": structured}
"""How each of the proxies writes a certificate, hence what who forges one would write."""


async def get(url: str, *headers: tuple[str, str], path: str = "/games", **more: object) -> tuple[int, str]:
    """(status, what a refusal says)."""
    more.setdefault("verify", False)  # over plain HTTP there is nothing to load authorities for
    transport = httpx.AsyncHTTPTransport(**more)  # type: ignore[arg-type]
    async with httpx.AsyncClient(trust_env=False, timeout=20, transport=transport) as client:
        answer = await client.get(f"{url}{path}", headers=list(headers))
        return answer.status_code, answer.json()["detail"] if answer.status_code >= 400 else answer.text


def showing(authority: trustme.CA, leaf: trustme.LeafCert | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if leaf is not None:
        leaf.configure_cert(context)
    return context


def spellings(header: str, value: str) -> list[tuple[str, str]]:
    """As a caller may write the header so that a proxy or the gateway overlooks or misreads it."""
    return [
        (header, value),
        (header.title(), value),
        (header.replace("-", "_"), value),
        (header.upper().replace("-", "_"), value),
        ("client-cert", value),
        ("client-cert-chain", value),
        ("x-forwarded-client-cert", f'Cert="{value}"'),
    ]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.skipif(not installed(name), reason=f"{name} comes from Debian"))
        for name in KINDS
    ],
)
async def test_a_real_proxy_tells_who_calls(name: str) -> None:
    authority, clients = trustme.CA(), trustme.CA()
    platform, stranger = clients.issue_cert("platform.example"), clients.issue_cert("stranger.example")
    header = KINDS[name][2]
    config = CONFIG.replace("HEADER", header)
    async with origin(ok()) as place:
        with (
            gateway(config, environ={"ORIGIN_URL": place.url}, workers=2) as running,
            in_front(name, running.port, authority.issue_cert("127.0.0.1"), clients) as url,
        ):
            known = showing(authority, platform)
            assert await get(url, verify=known) == (200, "hello")
            assert await get(url, *spellings(header, escaped(stranger))[2:], verify=known) == (200, "hello")
            calls = len(place.heads)

            missing, unknown = "credentials are missing", "belongs to no known consumer"
            for shown, told in ((None, missing), (stranger, unknown)):
                context = showing(authority, shown)
                status, detail = await get(url, verify=context)
                assert (status, told in detail) == (401, True)
                for forged in spellings(header, FORMS[name](platform)):
                    status, detail = await get(url, forged, verify=context)
                    assert (status, told in detail) == (401, True), (forged[0], detail)
            assert len(place.heads) == calls, "nothing that was forged came through"
            assert await get(url, verify=known) == (200, "hello")
        assert_kept(place.heads)
        assert_untold(running, platform)


async def test_only_trusted_proxies_are_believed() -> None:
    clients = trustme.CA()
    platform = clients.issue_cert("platform.example")
    now = datetime.now(UTC)
    old = clients.issue_cert(
        "platform.example", not_before=now - timedelta(days=9), not_after=now - timedelta(days=2)
    )
    tls = ("x-forwarded-proto", "https")
    async with origin(ok()) as place:
        with gateway(CONFIG.replace("HEADER", "client-cert"), environ={"ORIGIN_URL": place.url}) as running:
            for value in (structured(platform), escaped(platform), f'Hash=a;Cert="{escaped(platform)}"'):
                assert await get(running.url, tls, ("Client-Cert", value)) == (200, "hello")
                for forged in spellings("client-cert", value):
                    answer = await get(running.url, tls, forged, local_address="127.0.0.2")
                    assert answer == (403, "route games takes HTTPS only"), forged[0]
                    answer = await get(running.url, forged, path="/anywhere", local_address="127.0.0.2")
                    assert answer == (401, "credentials are missing"), forged[0]
            one = ("client-cert", structured(platform))
            for headers, status, told in (
                ([], 401, "credentials are missing"),
                ([("client_cert", structured(platform))], 401, "credentials are missing"),
                ([one, one], 400, "more than once"),
                ([("client-cert", structured(platform)[:-5])], 400, "malformed"),
                ([("client-cert", ":AAAA:")], 401, "cannot be read"),
                ([("client-cert", structured(old))], 401, "the client certificate has expired"),
            ):
                answer = await get(running.url, tls, *headers)
                assert answer[0] == status, answer
                assert told in answer[1]
            assert len(place.heads) == 3
        assert_kept(place.heads)
        assert_untold(running, platform)


def assert_kept(heads: list[bytes]) -> None:
    """No certificate travelled on, under whatever name."""
    assert heads
    for head in heads:
        assert b"cert" not in head.lower()


def assert_untold(running: Gateway, leaf: trustme.LeafCert) -> None:
    """Nor was it written down."""
    said = "\n".join(running.lines)
    assert structured(leaf)[1:60] not in said
    assert escaped(leaf)[:120] not in said
