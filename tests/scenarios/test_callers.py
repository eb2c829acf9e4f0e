"""Who calls: tokens that an issuer vouches for, certificates, keys; and that none of them is passed on."""

from __future__ import annotations

import asyncio
import base64
import ssl
import time

import httpx
import pytest
import trustme

from tests.scenarios.running import Gateway, gateway
from tests.tokens.issuer import Signer, serve_issuer
from tests.upstream.origins import Origin, ok, origin

CONFIG = """
    version: 1
    consumers:
      platform:
        credentials:
          - api_key: key-of-the-platform
          - basic: {username: platform, password: password-of-the-platform}
          - introspection: {client_id: platform-app}
          - jwt: {subject: platform}
          - client_certificate: {san: platform.example}
    upstreams: {origin: {targets: [{url: {env: ORIGIN_URL}}]}}
    routes:
      - {name: games, match: {methods: [GET], path: /games}, upstream: origin, policies: [known]}
"""


async def get(running: Gateway, *, path: str = "/games", **more: object) -> httpx.Response:
    verify = more.pop("verify", True)
    async with httpx.AsyncClient(trust_env=False, timeout=20, verify=verify) as client:  # type: ignore[arg-type]
        return await client.get(running.url + path, **more)  # type: ignore[arg-type]


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def test_tokens_are_introspected_where_they_were_issued() -> None:
    async with origin(ok()) as place, serve_issuer() as issuer:
        accept = f"introspection: {{url: {issuer.url}/introspect, client_id: gateway, client_secret: hush}}"
        lists = {"known": f"- authentication: {{accept: [{{{accept}}}], consumers: [platform]}}"}
        with gateway(CONFIG, lists, {"ORIGIN_URL": place.url}) as running:
            issuer.body = {"active": True, "client_id": "platform-app", "exp": int(time.time()) + 600}
            answers = await asyncio.gather(*(get(running, headers=bearer("opaque-token")) for _ in range(20)))
            assert {answer.status_code for answer in answers} == {200}
            assert len(issuer.asked) == 1, "concurrent calls with one token share one question"
            path, form, shown = issuer.asked[0]
            assert (path, form["token"]) == ("/introspect", "opaque-token")
            assert shown == "Basic " + base64.b64encode(b"gateway:hush").decode()

            issuer.body = {"active": False}
            answer = await get(running, headers=bearer("revoked-token"))
            assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHENTICATED")
            assert "Bearer" in answer.headers["www-authenticate"]
            issuer.status = 500
            assert (await get(running, headers=bearer("other-token"))).status_code >= 500
            assert (await get(running, headers=bearer("opaque-token"))).status_code == 200
        assert_kept(place, "opaque-token")


async def test_keys_are_fetched_from_the_issuer() -> None:
    first, second, stranger = Signer("ES256", "k1"), Signer("RS256", "k2"), Signer("ES256", "k1")
    async with origin(ok()) as place, serve_issuer() as issuer:
        where = f"jwks: {issuer.url}/keys, issuer: {issuer.url}"
        accept = f"jwt: {{{where}, audience: [gateway], algorithms: [ES256, RS256]}}"
        lists = {"known": f"- authentication: {{accept: [{{{accept}}}], consumers: [platform]}}"}
        issuer.body = {"keys": [first.jwk(), second.jwk()]}
        claims = {"sub": "platform", "iss": issuer.url, "aud": "gateway", "exp": int(time.time()) + 600}
        with gateway(CONFIG, lists, {"ORIGIN_URL": place.url}) as running:
            for signer in (first, second):
                good = signer.sign(**claims).decode()
                answers = await asyncio.gather(*(get(running, headers=bearer(good)) for _ in range(10)))
                assert {answer.status_code for answer in answers} == {200}
            assert [asked[0] for asked in issuer.asked] == ["/keys"]
            for bad in (
                stranger.sign(**claims),
                first.sign(**claims | {"aud": "somebody else"}),
                first.sign(**claims | {"iss": "https://elsewhere.example"}),
                first.sign(**claims | {"exp": int(time.time()) - 600}),
                first.sign(**claims | {"sub": "a stranger"}),
            ):
                assert (await get(running, headers=bearer(bad.decode()))).status_code == 401
        assert_kept(place, good)


def assert_kept(place: Origin, *secrets: str) -> None:
    """No credential came through to the origin, in no header and no target."""
    assert place.heads
    for head in place.heads:
        for secret in secrets:
            assert secret.encode() not in head
        assert b"authorization:" not in head.lower()


async def test_credentials_end_here() -> None:
    keys = "api_key, {api_key: {header: x-partner-key}}, {api_key: {query: authToken}}"
    lists = {"known": f"- authentication: {{accept: [{keys}, basic], consumers: [platform]}}"}
    basic = base64.b64encode(b"platform:password-of-the-platform").decode()
    secrets = ("key-of-the-platform", "password-of-the-platform", basic)
    async with origin(ok()) as place:
        with gateway(CONFIG, lists, {"ORIGIN_URL": place.url}) as running:
            assert (await get(running)).status_code == 401
            assert place.heads == []
            for headers in (
                {"x-api-key": "key-of-the-platform"},
                {"x-partner-key": "key-of-the-platform"},
                {"authorization": f"Basic {basic}"},
            ):
                assert (await get(running, headers=headers)).status_code == 200
            path = "/games?a=1&authToken=key-of-the-platform&b=2"
            assert (await get(running, path=path)).status_code == 200
            assert place.heads[3].startswith(b"GET /games?a=1&b=2 HTTP/1.1\r\n")
            assert_kept(place, *secrets, "x-api-key", "x-partner-key", "authToken")
            traces = running.ask("/api/traces").text
    said = "\n".join(running.lines)
    assert "/games" in said
    assert not any(secret in said or secret in traces for secret in secrets)


async def test_tls_with_certificates_on_both_sides() -> None:
    """Paths are relative to the configuration; the caller's certificate is its credential."""
    authority, clients = trustme.CA(), trustme.CA()
    platform = ssl.create_default_context()
    own = authority.issue_cert("127.0.0.1")
    authority.configure_trust(platform)
    clients.issue_cert("platform.example").configure_cert(platform)
    stranger = ssl.create_default_context()
    authority.configure_trust(stranger)
    clients.issue_cert("stranger.example").configure_cert(stranger)
    files = {
        "tls/cert.pem": own.cert_chain_pems[0].bytes(),
        "tls/key.pem": own.private_key_pem.bytes(),
        "tls/clients.pem": clients.cert_pem.bytes(),
    }
    server = """
    server:
      drain: {delay: 0s}
      tls: {certificate: tls/cert.pem, key: tls/key.pem, client_ca: tls/clients.pem}
    """
    lists = {"known": "- authentication: {accept: [client_certificate], consumers: [platform]}"}
    async with origin(ok()) as place:
        with gateway(CONFIG + server, lists, {"ORIGIN_URL": place.url}, files=files) as running:
            running.url = running.url.replace("http:", "https:")
            assert (await get(running, verify=platform)).text == "hello"
            assert (await get(running, verify=stranger)).status_code == 401
            anonymous = ssl.create_default_context()
            authority.configure_trust(anonymous)
            assert (await get(running, verify=anonymous)).json()["code"] == "UNAUTHENTICATED"
            with pytest.raises(httpx.ConnectError):
                await get(running, verify=ssl.create_default_context())
        assert b"x-forwarded-proto: https" in place.heads[0].lower()
