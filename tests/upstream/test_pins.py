"""Pinned keys: a trusted certificate with another key gets no call, over either protocol, nor a probe."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme

from gateway.errors import Sent, UpstreamError
from gateway.upstream.pins import insist
from gateway.upstream.settings import TlsConfig
from gateway.upstream.tls import make_context
from tests.upstream.keys import pin
from tests.upstream.origins import body_of, call, ok, origin, upstream
from tests.upstream.test_http2 import App, http2


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def leaf(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert("127.0.0.1")


@pytest.fixture(scope="module")
def other(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert("127.0.0.1")


def trust(authority: trustme.CA, *pins: str) -> dict[str, object]:
    return {"ca": authority.cert_pem.bytes().decode(), "pins": pins}


def showing(leaf: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    return context


async def test_the_pinned_key_is_called(
    authority: trustme.CA, leaf: trustme.LeafCert, other: trustme.LeafCert
) -> None:
    async with origin(ok(), context=showing(leaf)) as place:
        for pins in ([pin(leaf)], [pin(other), pin(leaf)]):
            async with upstream(place, tls=trust(authority, *pins)) as up:
                for _ in range(3):
                    assert (await up(call("POST", body=b"bet"))).body == b"hello"
                assert up.describe().startswith(f"calls {place.url}, whose key is pinned; ")


async def test_another_key_of_the_same_authority_gets_nothing(
    authority: trustme.CA, leaf: trustme.LeafCert, other: trustme.LeafCert
) -> None:
    async with (
        origin(ok(), context=showing(other)) as place,
        upstream(place, tls=trust(authority, pin(leaf))) as up,
    ):
        exchange = call("POST", body=b"bet")
        with pytest.raises(UpstreamError) as caught:
            await up(exchange)
        error = caught.value
        assert (error.code, error.sent, error.reason) == ("UPSTREAM_UNREACHABLE", Sent.NO, "tls")
        assert error.detail == f"The upstream showed the key {pin(other)}, which is not pinned"
        assert [attempt.sent for attempt in exchange.attempts] == [Sent.NO]
        assert place.heads == []
        assert up.targets[0].sender.active == 0, "its place in the pool is free again"


async def test_a_pin_trusts_nobody_by_itself(authority: trustme.CA, leaf: trustme.LeafCert) -> None:
    stranger = trustme.CA()
    async with (
        origin(ok(), context=showing(leaf)) as place,
        upstream(place, tls=trust(stranger, pin(leaf))) as up,
    ):
        with pytest.raises(UpstreamError) as caught:
            await up(call())
        assert (caught.value.reason, "pinned" in caught.value.detail) == ("tls", False)
        assert place.heads == []


async def test_an_identity_of_a_policy_is_held_to_it_too(
    authority: trustme.CA, leaf: trustme.LeafCert, other: trustme.LeafCert
) -> None:
    async with (
        origin(ok(), context=showing(other)) as place,
        upstream(place, tls=trust(authority, pin(leaf))) as up,
    ):
        exchange = call()
        exchange.tls_identity = make_context(TlsConfig.model_validate(trust(authority)))
        with pytest.raises(UpstreamError, match="not pinned"):
            await up(exchange)
        assert place.heads == []


async def test_over_http2(
    authority: trustme.CA, leaf: trustme.LeafCert, other: trustme.LeafCert, tmp_path: Path
) -> None:
    app = App()
    async with http2(app, certificate=leaf, path=tmp_path) as url:
        async with upstream(url, tls=trust(authority, pin(leaf)), http2=True) as up:
            assert await body_of(await up(call("POST", body=b"bet"))) == b"bet"
        async with upstream(url, tls=trust(authority, pin(other)), http2=True) as up:
            with pytest.raises(UpstreamError) as caught:
                await up(call("POST", body=b"bet"))
            error = caught.value
            assert (error.code, error.sent, error.reason) == ("UPSTREAM_UNREACHABLE", Sent.NO, "tls")
            assert error.detail == f"The upstream showed the key {pin(leaf)}, which is not pinned"
            exchange = call()
            exchange.tls_identity = make_context(TlsConfig.model_validate(trust(authority)))
            with pytest.raises(UpstreamError, match="not pinned"):
                await up(exchange)
    assert [scope["http_version"] for scope in app.scopes] == ["2"]


async def test_a_probe_is_held_to_it_too(
    authority: trustme.CA, leaf: trustme.LeafCert, other: trustme.LeafCert
) -> None:
    async with (
        origin(ok(), context=showing(other)) as place,
        upstream(
            place,
            tls=trust(authority, pin(leaf)),
            health={"path": "/", "every": "50ms", "unhealthy_after": 1},
        ) as up,
    ):
        up.start()
        async with asyncio.timeout(10):
            while up.targets[0].health.probed_healthy:
                await asyncio.sleep(0.01)
        assert place.heads == []


def test_what_is_not_pinned_any_more_may_come() -> None:
    context = make_context(TlsConfig())
    usual = context.sslobject_class
    insist(context, ["sha256/a"])
    pinned = context.sslobject_class
    insist(context, ["sha256/a"])
    assert context.sslobject_class is pinned
    insist(context, ["sha256/a", "sha256/b"])
    assert context.sslobject_class not in (usual, pinned)
    insist(context, [])
    assert context.sslobject_class is ssl.SSLObject is usual
