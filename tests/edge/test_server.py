"""What one server does for all its connections: TLS, drain, certificates."""

from __future__ import annotations

import asyncio
import socket
import ssl
from base64 import b64encode
from pathlib import Path
from types import SimpleNamespace

import pytest
import trustme

from gateway.edge.sampling import Sampling
from gateway.edge.server import EdgeServer
from gateway.exchange import Exchange, Outcome, Response
from tests.edge.scripted import Caller, ScriptedProxy, calling, fed, serving, until
from tests.upstream.keys import der_of

GET = b"GET /games HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(ca: trustme.CA, tmp_path: Path) -> SimpleNamespace:
    settings = SimpleNamespace(
        certificate=str(tmp_path / "cert.pem"),
        key=str(tmp_path / "key.pem"),
        client_ca=str(tmp_path / "ca.pem"),
    )
    issue(ca, settings)
    ca.cert_pem.write_to_path(settings.client_ca)
    return settings


def issue(ca: trustme.CA, settings: SimpleNamespace) -> None:
    issued = ca.issue_cert("localhost")
    Path(settings.key).write_bytes(issued.private_key_pem.bytes())
    Path(settings.certificate).write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))


def trusting(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    ca.configure_trust(context)
    return context


async def test_tls_and_the_callers_certificate(ca: trustme.CA, tls: SimpleNamespace):
    proxy = ScriptedProxy()
    anonymous, known = trusting(ca), trusting(ca)
    client = ca.issue_cert("client@example.org")
    client.configure_cert(known)
    async with serving(proxy, tls=tls) as (_, port):
        for context in (anonymous, known):
            async with calling(port, ssl=context, server_hostname="localhost") as caller:
                assert (await caller.ask(GET))[0] == 200
                assert (await caller.ask(GET))[0] == 200
    assert [e.scheme for e in proxy.seen] == ["https"] * 4
    assert proxy.seen[0].peer_certificate is None
    assert proxy.seen[2].peer_certificate == ssl.PEM_cert_to_DER_cert(
        client.cert_chain_pems[0].bytes().decode()
    )


async def test_a_certificate_of_a_stranger_is_refused(ca: trustme.CA, tls: SimpleNamespace):
    context = trusting(ca)
    trustme.CA().issue_cert("client@example.org").configure_cert(context)
    proxy = ScriptedProxy()
    async with serving(proxy, tls=tls) as (_, port):
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            async with calling(port, ssl=context, server_hostname="localhost") as caller:
                await caller.ask(GET)
    assert not proxy.seen


async def test_certificates_are_reloaded_live(ca: trustme.CA, tls: SimpleNamespace):
    async def served() -> bytes:
        async with calling(port, ssl=trusting(ca), server_hostname="localhost") as caller:
            assert (await caller.ask(GET))[0] == 200
            der: bytes = caller.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            return der

    async with serving(ScriptedProxy(), tls=tls) as (server, port):
        before = await served()
        async with calling(port, ssl=trusting(ca), server_hostname="localhost") as kept:
            await kept.ask(GET)
            issue(ca, tls)
            await server.renew_certificates()
            assert (await kept.ask(GET))[0] == 200
        after = await served()
        assert after != before
        Path(tls.key).write_bytes(ca.issue_cert("localhost").private_key_pem.bytes())
        with pytest.raises(ssl.SSLError):
            await server.renew_certificates()
        assert await served() == after


async def test_authorities_are_replaced_live(ca: trustme.CA, tls: SimpleNamespace):
    """What the old authority vouched for is worth nothing to new connections, not even a resumed session."""
    other = trustme.CA()
    callers = {authority: trusting(ca) for authority in (ca, other)}
    for authority, context in callers.items():
        authority.issue_cert("client@example.org").configure_cert(context)
        context.maximum_version = (
            ssl.TLSVersion.TLSv1_2
        )  # where a session is there as soon as the handshake is

    def connected(context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> ssl.SSLSession | None:
        raw = socket.create_connection(("127.0.0.1", port), timeout=10)
        with context.wrap_socket(raw, server_hostname="localhost", session=session) as caller:
            caller.sendall(GET)
            assert caller.recv(100).startswith(b"HTTP/1.1 200")
            return caller.session

    async with serving(ScriptedProxy(), tls=tls) as (server, port):
        session = await asyncio.to_thread(connected, callers[ca])
        await asyncio.to_thread(connected, callers[ca], session)
        with pytest.raises((OSError, AssertionError)):
            await asyncio.to_thread(connected, callers[other])
        other.cert_pem.write_to_path(tls.client_ca)
        await server.renew_certificates()
        await asyncio.to_thread(connected, callers[other])
        for known in (None, session):
            with pytest.raises((OSError, AssertionError)):
                await asyncio.to_thread(connected, callers[ca], known)


async def test_unchanged_files_renew_nothing(ca: trustme.CA, tls: SimpleNamespace):
    async with serving(ScriptedProxy(), tls=tls) as (server, _):
        listeners = list(server._listeners)
        await server.renew_certificates()
        assert server._listeners == listeners
        issue(ca, tls)
        await server.renew_certificates()
        assert len(server._listeners) == 1
        assert server._listeners != listeners
    issue(ca, tls)
    await server.renew_certificates()  # closed meanwhile
    assert server._listeners == []


async def test_no_connection_is_lost_while_certificates_are_renewed(ca: trustme.CA, tls: SimpleNamespace):
    context = trusting(ca)

    async def call() -> int:
        async with calling(port, ssl=context, server_hostname="localhost") as caller:
            return (await caller.ask(GET))[0]

    async with serving(ScriptedProxy(), tls=tls) as (server, port):
        for _ in range(5):
            calls = [asyncio.create_task(call()) for _ in range(20)]
            issue(ca, tls)
            await server.renew_certificates()
            calls += [asyncio.create_task(call()) for _ in range(20)]
            assert set(await asyncio.gather(*calls)) == {200}


async def test_a_plain_listener_beside_tls(ca: trustme.CA, tls: SimpleNamespace):
    proxy = ScriptedProxy()
    async with serving(proxy, tls=tls) as (server, port):
        _, plain = await server.listen(("127.0.0.1", 0), plain=True)
        async with calling(plain) as caller:
            assert (await caller.ask(GET))[0] == 200
            issue(ca, tls)
            await server.renew_certificates()
        async with calling(plain) as caller:
            assert (await caller.ask(GET))[0] == 200
        async with calling(port, ssl=trusting(ca), server_hostname="localhost") as caller:
            assert (await caller.ask(GET))[0] == 200
    assert [exchange.scheme for exchange in proxy.seen] == ["http", "http", "https"]
    for closed in (port, plain):
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", closed)


async def test_a_proxys_own_certificate_is_not_its_callers(ca: trustme.CA, tls: SimpleNamespace):
    """Where proxies tell certificates, that of their connection to us is theirs alone."""
    context = trusting(ca)
    own = ca.issue_cert("proxy.example")
    own.configure_cert(context)
    told = ca.issue_cert("platform.example")
    field = b"Client-Cert: :%b:\r\n" % b64encode(der_of(told))
    for network, believed in (("127.0.0.1", True), ("192.0.2.1", False)):
        proxy = ScriptedProxy()
        more = {"tls": tls, "trusted_proxies": [network], "certificate_header": "client-cert"}
        async with (
            serving(proxy, **more) as (_, port),
            calling(port, ssl=context, server_hostname="localhost") as caller,
        ):
            for extra in (b"", field):
                assert (await caller.ask(GET[:-2] + extra + b"\r\n"))[0] == 200
        shown = [exchange.peer_certificate for exchange in proxy.seen]
        assert shown == ([None, der_of(told)] if believed else [der_of(own)] * 2)
        assert all(exchange.header(b"client-cert") is None for exchange in proxy.seen)


async def test_without_tls_there_is_nothing_to_renew():
    await EdgeServer(ScriptedProxy()).renew_certificates()


async def test_large_answers_and_refusals_over_tls(ca: trustme.CA, tls: SimpleNamespace):
    async def answer(_: Exchange) -> Response:
        return Response(200, [], fed(*[b"x" * 100_000] * 30))

    async with (
        serving(ScriptedProxy(answer), tls=tls) as (_, port),
        calling(port, ssl=trusting(ca), server_hostname="localhost") as caller,
    ):
        assert len((await caller.ask(GET))[2]) == 3_000_000
        caller.send(b"nonsense\r\n\r\n")
        assert (await caller.answer())[0] == 400


async def test_it_listens_on_a_socket_it_is_given():
    listener = socket.create_server(("127.0.0.1", 0))
    server = EdgeServer(ScriptedProxy())  # type: ignore[arg-type]
    host, port = await server.listen(listener)
    assert (host, port) == listener.getsockname()
    async with calling(port) as caller:
        assert (await caller.ask(GET))[0] == 200
    server.close_listeners()
    await server.drained(1)
    with pytest.raises(ConnectionError):
        await Caller.connect(port)


async def test_drain_lets_calls_end_and_closes_what_is_idle():
    release = asyncio.Event()

    async def answer(_: Exchange) -> Response:
        await release.wait()
        return Response(200, [], b"done")

    proxy = ScriptedProxy(answer)
    async with serving(proxy) as (server, port), calling(port) as busy, calling(port) as idle:
        busy.send(GET)
        await until(lambda: server.under_way and server.connections == 2)
        server.begin_drain()
        server.close_listeners()
        draining = asyncio.create_task(server.drained(30))
        assert await idle.closed() == b""
        release.set()
        status, headers, body = await busy.answer()
        assert (status, headers["connection"], body) == (200, "close", b"done")
        await draining
    assert proxy.outcomes == [Outcome.COMPLETE]


async def test_drain_says_close_on_answers_from_its_beginning():
    async with serving(ScriptedProxy()) as (server, port), calling(port) as caller:
        assert "connection" not in (await caller.ask(GET))[1]
        server.begin_drain()
        assert (await caller.ask(GET))[1]["connection"] == "close"
        assert await caller.closed() == b""


async def test_what_outlives_its_grace_is_cut_and_accounted_for():
    body = fed(b"begun", end=False)

    async def answer(_: Exchange) -> Response:
        return Response(200, [], body)

    proxy = ScriptedProxy(answer)
    async with serving(proxy) as (server, port), calling(port) as caller:
        caller.send(GET)
        await caller.head()
        server.close_listeners()
        await server.drained(0.05)
        assert server.connections == server.under_way == 0
    assert proxy.outcomes == [Outcome.CANCELLED]
    assert body.closed


async def test_new_settings_count_for_new_requests():
    proxy = ScriptedProxy()
    async with serving(proxy) as (server, port):
        async with calling(port) as caller:
            await caller.ask(GET)
        server.configure(trusted_proxies=["127.0.0.1"], sampling=Sampling(0.0))
        async with calling(port) as caller:
            await caller.ask(GET.replace(b"Host", b"X-Forwarded-For: 203.0.113.7\r\nHost"))
    assert [(e.client, e.sampled) for e in proxy.seen] == [("127.0.0.1", True), ("203.0.113.7", False)]
