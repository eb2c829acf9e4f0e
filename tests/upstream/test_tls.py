from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest
import trustme

from gateway.errors import Sent, UpstreamError
from gateway.mistakes import Mistake
from gateway.upstream.settings import TlsConfig
from gateway.upstream.tls import fingerprint, load_identity, make_context
from tests.upstream.origins import Visit, call, ok, origin, upstream


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def pem(*blobs: trustme.Blob) -> str:
    return b"".join(blob.bytes() for blob in blobs).decode()


def server_context(authority: trustme.CA, *names: str, client_ca: trustme.CA | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    if client_ca is not None:
        client_ca.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_a_private_authority(authority: trustme.CA, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    context = server_context(authority, "127.0.0.1")
    async with origin(ok(), context=context) as place:
        for ca in (str(path), pem(authority.cert_pem)):
            async with upstream(place, tls={"ca": ca}) as up:
                for _ in range(3):
                    assert (await up(call("POST", body=b"bet"))).body == b"hello"
        assert len(place.visits) == 2


async def test_an_unknown_authority_is_refused(authority: trustme.CA) -> None:
    async with origin(ok(), context=server_context(authority, "127.0.0.1")) as place, upstream(place) as up:
        with pytest.raises(UpstreamError) as caught:
            await up(call())
        error = caught.value
        assert (error.code, error.sent, error.reason) == ("UPSTREAM_UNREACHABLE", Sent.NO, "tls")
        assert place.heads == []


async def test_another_name_is_refused(authority: trustme.CA) -> None:
    context = server_context(authority, "other.example")
    async with (
        origin(ok(), context=context) as place,
        upstream(place, tls={"ca": pem(authority.cert_pem)}) as up,
    ):
        with pytest.raises(UpstreamError) as caught:
            await up(call())
        assert caught.value.reason == "tls"


async def test_the_name_asked_for_is_sent_and_verified(authority: trustme.CA) -> None:
    context = server_context(authority, "games.aurora.example")
    names: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    async with (
        origin(ok(), context=context) as place,
        upstream(place, tls={"ca": pem(authority.cert_pem), "server_name": "games.aurora.example"}) as up,
    ):
        assert (await up(call())).status == 200
        assert names == ["games.aurora.example"]


async def test_an_https_target_that_speaks_no_tls(authority: trustme.CA) -> None:
    async def plain(visit: Visit) -> None:
        await visit.reader.read(100)
        await visit.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with origin(plain) as place, upstream(place.url.replace("http:", "https:")) as up:
        with pytest.raises(UpstreamError) as caught:
            await up(call())
        assert caught.value.reason == "tls"


async def test_a_client_certificate(authority: trustme.CA) -> None:
    context = server_context(authority, "127.0.0.1", client_ca=authority)
    mine = authority.issue_cert("gateway.example")
    subjects: list[object] = []

    async def look(visit: Visit) -> None:
        await visit.request()
        subjects.append(visit.writer.get_extra_info("peercert")["subjectAltName"])
        await visit.say(ok())
        await visit.until_closed()

    identity = {"certificate": pem(*mine.cert_chain_pems), "key": pem(mine.private_key_pem)}
    ca = {"ca": pem(authority.cert_pem)}
    async with origin(look, context=context) as place:
        async with upstream(place, tls={**ca, **identity}) as up:
            assert (await up(call())).status == 200
        async with upstream(place, tls=ca) as up:
            with pytest.raises(UpstreamError):
                await up(call())
            # A policy shows an identity of its own, over connections of its own.
            exchange = call()
            exchange.tls_identity = make_context(TlsConfig.model_validate({**ca, **identity}))
            assert (await up(exchange)).status == 200
            assert up.targets[0].sender.idle == 1
            with pytest.raises(UpstreamError):
                await up(call())
            await up.close()
            other = call()
            other.tls_identity = make_context(TlsConfig.model_validate({**ca, **identity}))
            await up(other)
            assert len(up.targets[0].sender.pools) == 2  # type: ignore[attr-defined]
        assert subjects == [(("DNS", "gateway.example"),)] * 3


def test_files_that_cannot_be_used(authority: trustme.CA, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.pem")
    with pytest.raises(ValueError, match=r"tls\.ca: .*missing"):
        make_context(TlsConfig(ca=missing))
    with pytest.raises(ValueError, match=r"tls\.ca: the PEM text"):
        make_context(TlsConfig(ca="-----BEGIN CERTIFICATE-----\nx"))
    context = make_context(TlsConfig())
    mine, other = authority.issue_cert("a"), authority.issue_cert("b")
    with pytest.raises(ValueError, match=r"tls\.certificate the PEM text and its key cannot be used"):
        load_identity(context, pem(*mine.cert_chain_pems), pem(other.private_key_pem))
    with pytest.raises(ValueError, match="missing"):
        load_identity(context, missing, missing)


def test_it_always_verifies() -> None:
    for context in (make_context(TlsConfig()), make_context(TlsConfig(), http2=True)):
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("name", ["ca", "certificate", "key"])
def test_a_pipe_is_not_waited_for(name: str, authority: trustme.CA, tmp_path: Path) -> None:
    identity = authority.issue_cert("gateway.example")
    os.mkfifo(tmp_path / "pipe")
    settings = {
        "ca": pem(authority.cert_pem),
        "certificate": pem(*identity.cert_chain_pems),
        "key": pem(identity.private_key_pem),
        name: str(tmp_path / "pipe"),
    }
    with pytest.raises(Mistake, match=f"tls.{name}: .* cannot be read: it is a pipe or a device"):
        make_context(TlsConfig.model_validate(settings))


def test_text_that_is_no_pem_after_all_is_not_repeated(authority: trustme.CA) -> None:
    key = f" {pem(authority.issue_cert('a.example').private_key_pem)}"
    for settings in (
        {"ca": key},
        {"certificate": "nowhere.pem", "key": key},
        {"certificate": key, "key": key},
    ):
        with pytest.raises(Mistake) as caught:
            make_context(TlsConfig.model_validate(settings))
        assert "PRIVATE" not in str(caught.value)


def test_a_fingerprint_is_that_of_what_the_files_hold(authority: trustme.CA, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    config = TlsConfig(ca=str(path))
    before = fingerprint(config)
    assert before == fingerprint(TlsConfig(ca=pem(authority.cert_pem))) == fingerprint(config)
    assert before != fingerprint(TlsConfig())
    path.write_text("another")
    assert fingerprint(config) != before
    path.unlink()
    with pytest.raises(Mistake, match=r"tls\.ca"):
        fingerprint(config)
