"""Shows our credentials to the upstream."""

import asyncio
import os
import ssl

import pytest
import trustme
from pydantic import ValidationError

from gateway.errors import Refused, UpstreamError
from gateway.exchange import Outcome, Response
from gateway.policies.upstream_auth import UpstreamAuthConfig
from gateway.services import RouteFacts, State
from gateway.stream import Stream
from gateway.upstream.control import HttpxControlClient
from tests.support import make_exchange, make_services
from tests.tokens.issuer import serve_issuer

CALLERS = [(b"accept", b"*/*"), (b"authorization", b"Bearer hers"), (b"x-api-key", b"hers")]


def config(**fields):
    return UpstreamAuthConfig.model_validate(fields)


class Origin:
    """Answers with statuses from a list (the last one repeats); remembers headers and bodies as they came."""

    def __init__(self, *statuses):
        self.statuses = list(statuses) or [200]
        self.headers = []
        self.bodies = []
        self.answers = []
        self.identities = []

    async def __call__(self, exchange):
        status = self.statuses[min(len(self.headers), len(self.statuses) - 1)]
        self.headers.append(dict(exchange.headers))
        self.identities.append(exchange.tls_identity)
        body = exchange.body
        if isinstance(body, Stream):
            parts = []
            while piece := await body.read():
                parts.append(piece)
            body = b"".join(parts)
        self.bodies.append(body)
        answer = Response(status, [], b"")
        self.answers.append(answer)
        return answer

    @property
    def tokens(self):
        return [headers[b"authorization"] for headers in self.headers]


async def call(policy, origin, body=b""):
    exchange = make_exchange("POST", headers=list(CALLERS), body=body)
    response = await policy(exchange, origin)
    assert exchange.headers == CALLERS  # outside of here, our secrets are nobody's business
    return response, exchange


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"api_key": {"value": "k3y"}}, {b"x-api-key": b"k3y", b"authorization": b"Bearer hers"}),
        ({"api_key": {"header": "X-Aurora", "value": "k3y"}}, {b"x-aurora": b"k3y", b"x-api-key": b"hers"}),
        ({"api_key": {"header": "Authorization", "value": "Token k3y"}}, {b"authorization": b"Token k3y"}),
        ({"basic": {"username": "us", "password": "pä"}}, {b"authorization": b"Basic dXM6cMOk"}),
        ({"bearer": "t0ken"}, {b"authorization": b"Bearer t0ken"}),
    ],
)
async def test_a_fixed_credential_replaces_the_callers(fields, expected):
    origin = Origin()
    await call(config(**fields).build(make_services()), origin)
    assert origin.headers[0].items() >= expected.items()
    assert origin.headers[0][b"accept"] == b"*/*"


async def test_every_copy_of_the_callers_header_goes():
    seen = []

    async def origin(exchange):
        seen.extend(exchange.header_values(b"authorization"))
        return Response(200)

    exchange = make_exchange(headers=[(b"authorization", b"a"), (b"authorization", b"b")])
    await config(bearer="t0ken").build(make_services())(exchange, origin)
    assert seen == [b"Bearer t0ken"]


async def test_our_secret_is_taken_back_when_the_call_fails():
    async def origin(exchange):
        raise Refused("CIRCUIT_OPEN")

    for fields in ({"bearer": "t0ken"},):
        exchange = make_exchange(headers=list(CALLERS))
        with pytest.raises(Refused):
            await config(**fields).build(make_services())(exchange, origin)
        assert exchange.headers == CALLERS


@pytest.fixture
async def issuer():
    async with serve_issuer() as issuer:
        issuer.body = {"access_token": "t1", "token_type": "Bearer", "expires_in": 100}
        yield issuer


@pytest.fixture
async def services():
    control = HttpxControlClient()
    yield make_services(control=control)
    await control.close()


def issued(issuer, **more):
    fields = {"token_url": issuer.url + "/token", "client_id": "gateway", "client_secret": "s3cret", **more}
    return config(oauth2_client_credentials=fields)


async def test_an_issued_token(issuer, services):
    policy, origin = issued(issuer).build(services), Origin()
    for _ in range(3):
        await call(policy, origin)
    assert origin.tokens == [b"Bearer t1"] * 3
    assert len(issuer.asked) == 1


async def test_an_ended_token_is_one_request_for_many_calls(issuer, services):
    policy, origin = issued(issuer).build(services), Origin()
    await call(policy, origin)
    services.clock.advance(100)
    issuer.body = {"access_token": "t2"}
    await asyncio.gather(*(call(policy, origin) for _ in range(1000)))
    assert origin.tokens == [b"Bearer t1"] + [b"Bearer t2"] * 1000
    assert len(issuer.asked) == 2


async def test_a_401_is_retried_once_with_a_fresh_token(issuer, services):
    policy, origin = issued(issuer).build(services), Origin(200, 401, 200)
    await call(policy, origin)
    issuer.body = {"access_token": "t2"}
    response, exchange = await call(policy, origin, b"a bet")
    assert response.status == 200
    assert origin.tokens == [b"Bearer t1", b"Bearer t1", b"Bearer t2"]
    assert origin.bodies[1:] == [b"a bet", b"a bet"]
    assert origin.answers[1].ended is not None  # given up, so that its connection is freed
    assert exchange.decisions == [("upstream_auth", "retried", "401")]


async def test_a_second_401_is_the_callers_answer(issuer, services):
    policy, origin = issued(issuer).build(services), Origin(401)
    await call(policy, origin)
    issuer.body = {"access_token": "t2"}
    services.clock.advance(10)
    for _ in range(5):
        response, _ = await call(policy, origin)
        assert response.status == 401
        assert response.ended is None
    assert len(issuer.asked) <= 4


async def test_a_401_stays_when_no_fresh_token_is_to_be_had(issuer, services):
    policy, origin = issued(issuer).build(services), Origin(200, 401)
    await call(policy, origin)
    issuer.status = 500
    response, exchange = await call(policy, origin)
    assert response.status == 401
    assert response.ended is None
    assert exchange.decisions == []


async def test_a_caller_that_leaves_while_a_fresh_token_is_fetched_frees_the_401(issuer, services):
    policy, origin = issued(issuer).build(services), Origin(200, 401)
    await call(policy, origin)
    issuer.hold = asyncio.Event()
    leaving = asyncio.ensure_future(call(policy, origin))
    while len(origin.answers) < 2:
        await asyncio.sleep(0.01)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    issuer.hold.set()
    assert origin.answers[1].ended is Outcome.DISCARDED


def streamed(*pieces):
    stream = Stream()
    for piece in pieces:
        stream.feed(piece)
    stream.end()
    return stream


async def test_a_small_streamed_body_is_replayed_and_a_large_one_is_not(issuer, services):
    policy, origin = issued(issuer).build(services), Origin(401, 200)
    issuer.body = {"access_token": "t1"}
    await call(policy, origin, b"")
    issuer.body = {"access_token": "t2"}
    services.clock.advance(10)
    origin.headers.clear()
    response, _ = await call(policy, origin, streamed(b"a ", b"bet"))
    assert response.status == 200
    assert origin.bodies[-2:] == [b"a bet", b"a bet"]
    services.clock.advance(10)
    origin.headers.clear()
    response, _ = await call(policy, origin, streamed(b"x" * 40_000, b"x" * 40_000))
    assert response.status == 401
    assert len(origin.bodies[-1]) == 80_000


async def test_routes_that_stream_hold_nothing_back(issuer, services):
    from dataclasses import replace

    policy = issued(issuer).build(replace(services, route=RouteFacts(stream=True)))
    stream = Stream()
    stream.feed(b"first")
    read = []

    async def origin(exchange):
        read.append(await exchange.body.read())  # the end of the body is not here yet, and may never be
        return Response(401)

    response, _ = await call(policy, origin, stream)
    assert response.status == 401
    assert read == [b"first"]


async def test_no_token_means_nothing_was_sent(services):
    class Nowhere:
        url = "http://127.0.0.1:1"

    origin = Origin()
    exchange = make_exchange(headers=list(CALLERS))
    with pytest.raises(UpstreamError) as caught:
        await issued(Nowhere).build(services)(exchange, origin)
    assert (caught.value.code, caught.value.sent) == ("UPSTREAM_UNREACHABLE", "no")
    assert origin.headers == []


async def test_the_token_survives_a_reload_of_the_same_settings_only(issuer, services):
    origin = Origin()
    for more in ({}, {}, {"scope": "games"}, {"client_secret": "n3w"}):
        await call(issued(issuer, **more).build(services), origin)
    assert len(issuer.asked) == 3


@pytest.fixture
def certificates(tmp_path):
    ca = trustme.CA()
    ours, theirs = ca.issue_cert("gateway.example"), ca.issue_cert("127.0.0.1")
    ours.cert_chain_pems[0].write_to_path(tmp_path / "gateway.pem")
    ours.private_key_pem.write_to_path(tmp_path / "gateway.key")
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    theirs.configure_cert(server)
    ca.configure_trust(server)
    server.verify_mode = ssl.CERT_REQUIRED
    return tmp_path, server


def certified(path):
    return config(
        client_certificate={
            "certificate": str(path / "gateway.pem"),
            "key": str(path / "gateway.key"),
            "ca": str(path / "ca.pem"),
        }
    )


async def test_a_client_certificate_is_shown_in_a_real_handshake(certificates):
    path, server_context = certificates
    shown = []

    async def serve(_reader, writer):
        shown.append(writer.get_extra_info("peercert"))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_context)
    port = server.sockets[0].getsockname()[1]
    policy, origin = certified(path).build(make_services()), Origin()
    _, exchange = await call(policy, origin)
    assert exchange.tls_identity is None  # as before the call
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=origin.identities[0])
    await reader.read()
    writer.close()
    server.close()
    await server.wait_closed()
    names = [value for kind, value in shown[0]["subjectAltName"] if kind == "DNS"]
    assert names == ["gateway.example"]


async def test_one_identity_over_reloads_until_its_files_change(certificates):
    path, _ = certificates
    services, origin = make_services(), Origin()
    for _ in range(2):
        await call(certified(path).build(services), origin)
    renewed = trustme.CA().issue_cert("gateway.example")
    renewed.cert_chain_pems[0].write_to_path(path / "gateway.pem")
    renewed.private_key_pem.write_to_path(path / "gateway.key")
    await call(certified(path).build(services), origin)
    first, second, third = origin.identities
    assert first is second is not third


async def test_upstreams_never_share_an_identity(certificates):
    path, _ = certificates
    state, origin = State(), Origin()
    for upstream in ("aurora", "borealis"):
        services = make_services(state=state, route=RouteFacts(upstream=upstream))
        await call(certified(path).build(services), origin)
    assert origin.identities[0] is not origin.identities[1]


async def test_a_certificate_as_text_and_the_systems_authorities(certificates):
    path, _ = certificates
    fields = {"certificate": (path / "gateway.pem").read_text(), "key": (path / "gateway.key").read_text()}
    origin = Origin()
    await call(config(client_certificate=fields).build(make_services()), origin)
    assert origin.identities[0].verify_mode == ssl.CERT_REQUIRED


@pytest.mark.parametrize("missing", ["gateway.pem", "gateway.key", "ca.pem"])
def test_files_that_cannot_be_used_are_told_at_load(certificates, missing):
    path, _ = certificates
    (path / missing).write_text("nonsense")
    with pytest.raises(ValueError, match="cannot be"):
        certified(path).build(make_services())
    (path / missing).unlink()
    with pytest.raises(ValueError, match=r"client_certificate\..*cannot be read: no such"):
        certified(path).build(make_services())
    os.mkfifo(path / missing)
    with pytest.raises(ValueError, match="it is a pipe or a device"):
        certified(path).build(make_services())


async def test_in_shadow_nothing_is_shown():
    shadow, origin = config(bearer="t0ken", mode="shadow"), Origin()
    _, exchange = await call(shadow.build(make_services()), origin)
    assert origin.tokens == [b"Bearer hers"]
    assert exchange.decisions == [("upstream_auth", "would_show", "bearer")]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "exactly one of"),
        ({"bearer": "a", "basic": {"username": "a", "password": "b"}}, "here are basic and bearer"),
        ({"signature": {}}, "arrive with dialects"),
        ({"bearer": ""}, "the secret is empty"),
        ({"bearer": "a\r\nx: y"}, "printable ASCII"),
        ({"api_key": {"value": "ключ"}}, "printable ASCII"),
        ({"api_key": {"header": "Host", "value": "x"}}, "written by the gateway itself"),
        ({"api_key": "x"}, "dictionary"),
        (
            {"oauth2_client_credentials": {"token_url": "idp", "client_id": "a", "client_secret": "b"}},
            "not an http",
        ),
        ({"client_certificate": {"certificate": "a"}}, "key"),
    ],
)
def test_what_makes_no_sense_is_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        config(**fields)


def test_only_a_mapping_configures_it():
    with pytest.raises(ValidationError):
        UpstreamAuthConfig.model_validate("signature")


CLIENT = {"token_url": "https://id.example/token", "client_id": "gateway", "client_secret": "s3cret"}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"api_key": {"header": "X-Key", "value": "s3cret"}}, "shows the upstream our API key in x-key"),
        (
            {"basic": {"username": "us", "password": "s3cret"}},
            "shows the upstream our Basic credentials as us",
        ),
        ({"bearer": "s3cret"}, "shows the upstream our bearer token"),
        (
            {"oauth2_client_credentials": CLIENT},
            "shows the upstream a token that id.example issues to us, and a fresh one once if it answers 401",
        ),
        (
            {"client_certificate": {"certificate": "a.pem", "key": "s3cret"}},
            "shows the upstream our client certificate",
        ),
    ],
)
async def test_it_says_what_it_does_and_no_secret(fields, sentence):
    policy = config(**fields)
    assert policy.describe() == sentence
    assert await policy.foresee(make_exchange(), make_services()) == sentence
    for shown in (repr(policy), policy.model_dump_json(), policy.describe()):
        assert "s3cret" not in shown


def test_its_files_are_told_so_that_they_are_watched():
    pem = "-----BEGIN PRIVATE KEY-----\n"
    assert config(bearer="token").files() == ()
    for shown, files in (
        ({"certificate": "a.pem", "key": "b.pem", "ca": "c.pem"}, ("a.pem", "b.pem", "c.pem")),
        ({"certificate": "a.pem", "key": pem}, ("a.pem",)),
    ):
        assert config(client_certificate=shown).files() == files
