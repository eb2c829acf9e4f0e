"""Published keys: fetched seldom, once for everybody, used for a while when the issuer fails."""

import asyncio

import pytest

from gateway.consumers import JwtVerification
from gateway.errors import Refused
from gateway.tokens import InvalidCredential
from gateway.tokens.jwt import JwtVerifier, read_jws
from tests.support import make_services
from tests.tokens.issuer import Signer


def make(issuer, services, /, **fields):
    return JwtVerifier(JwtVerification.model_validate({"jwks": issuer.url + "/keys", **fields}), services)


async def verify(verifier, token):
    return await verifier.fetch_and_verify(token[-32:], read_jws(token))


async def settle(verifier):
    """Let a background fetch come home."""
    while verifier.keys._flights:
        await asyncio.sleep(0.002)


def fetches(services):
    counter = services.metrics.counter("gateway_jwks_fetches_total", "", ("result",))
    return {labels[0]: count for labels, count in counter.values.items()}


async def test_keys_are_fetched_once_and_serve(issuer, services):
    signer = Signer()
    issuer.body = {"keys": [Signer("RS256", "other").jwk(), signer.jwk()]}
    verifier = make(issuer, services)
    assert not verifier.keys.ready()
    for _ in range(5):
        assert (await verify(verifier, signer.sign()))["sub"] == "aurora"
    assert len(issuer.asked) == 1
    assert repr(verifier.keys) == "<PublishedKeys 2 keys, generation 1>"


async def test_a_thousand_unknown_key_ids_are_one_fetch(issuer, services):
    signer = Signer()
    issuer.body = {"keys": [signer.jwk()]}
    verifier = make(issuer, services)
    await verify(verifier, signer.sign())
    services.clock.advance(11)
    forgers = [Signer(kid="forged")]
    tokens = []
    for number in range(1000):
        forgers[0].kid = f"forged-{number}"
        tokens.append(forgers[0].sign())
    results = await asyncio.gather(*(verify(verifier, token) for token in tokens), return_exceptions=True)
    assert all(isinstance(result, InvalidCredential) for result in results)
    assert len(issuer.asked) == 2  # the first, and one for all of these
    with pytest.raises(InvalidCredential):
        await verify(verifier, tokens[0])
    assert len(issuer.asked) == 2  # not again before the interval has passed


async def test_a_new_key_is_found_and_an_old_one_forgotten(issuer, services):
    old, new = Signer(kid="old"), Signer(kid="new")
    issuer.body = {"keys": [old.jwk()]}
    verifier = make(issuer, services)
    token = old.sign()
    await verify(verifier, token)
    assert verifier.recall(token[-32:]) is not None
    issuer.body = {"keys": [new.jwk()]}
    services.clock.advance(11)
    assert await verify(verifier, new.sign())
    assert verifier.recall(token[-32:]) is None  # verified by a key that is gone
    with pytest.raises(InvalidCredential):
        await verify(verifier, token)


async def test_a_stale_set_serves_while_it_is_refreshed(issuer, services):
    signer = Signer()
    issuer.body = {"keys": [signer.jwk()]}
    verifier = make(issuer, services, jwks_ttl="60s")
    await verify(verifier, signer.sign())
    services.clock.advance(61)
    issuer.hold = asyncio.Event()
    for _ in range(3):
        assert verifier.verify(b"", read_jws(signer.sign(jti="a"))) is not None  # nobody waits
    issuer.hold.set()
    await settle(verifier)
    assert len(issuer.asked) == 2
    assert fetches(services) == {"ok": 2}
    assert verifier.keys.generation == 1  # the same keys: what was verified stays so


async def test_keys_outlive_a_failing_issuer_for_a_while_only(issuer, services):
    signer = Signer()
    issuer.body = {"keys": [signer.jwk()]}
    verifier = make(issuer, services, jwks_ttl="60s", jwks_stale="600s")
    token = signer.sign(exp=2_000_000_000)
    await verify(verifier, token)
    issuer.status = 500
    services.clock.advance(61)
    assert await verify(verifier, token)
    await settle(verifier)
    assert await verify(verifier, token)  # no second try within the interval
    assert len(issuer.asked) == 2
    services.clock.advance(600)
    assert verifier.recall(token[-32:]) is None
    with pytest.raises(Refused) as caught:
        await verify(verifier, token)
    assert caught.value.code == "UPSTREAM_UNREACHABLE"
    assert fetches(services) == {"ok": 1, "failed": 2}


@pytest.mark.parametrize(("status", "body"), [(500, {"keys": []}), (302, {"keys": []}), (200, b"oops")])
async def test_without_any_keys_calls_are_refused_but_not_called_unauthenticated(
    issuer, services, status, body
):
    issuer.status, issuer.body = status, body
    verifier = make(issuer, services)
    token = Signer().sign()
    for _ in range(3):
        with pytest.raises(Refused) as caught:
            await verify(verifier, token)
        assert caught.value.code == "UPSTREAM_UNREACHABLE"
        assert caught.value.retry_after
    assert len(issuer.asked) == 1  # the next only a second later
    issuer.status, issuer.body = 200, {"keys": []}
    services.clock.advance(1)
    with pytest.raises(InvalidCredential):
        await verify(verifier, token)


async def test_an_unreachable_issuer(services):
    verifier = JwtVerifier(JwtVerification.model_validate({"jwks": "http://127.0.0.1:1/keys"}), services)
    with pytest.raises(Refused, match="UPSTREAM_UNREACHABLE"):
        await verify(verifier, Signer().sign())


async def test_no_algorithm_of_secrets_costs_a_fetch(issuer, services):
    from tests.tokens.issuer import NOW, raw_jwt

    signer = Signer()
    issuer.body = {"keys": [signer.jwk()]}
    verifier = make(issuer, services)
    await verify(verifier, signer.sign())
    services.clock.advance(100)
    for alg in ("none", "HS256"):
        with pytest.raises(InvalidCredential):
            await verify(verifier, raw_jwt({"alg": alg, "kid": "k1"}, {"sub": "aurora", "exp": NOW + 999}))
    assert len(issuer.asked) == 1


async def test_without_an_interval_every_stranger_is_asked_about_and_still_refused(issuer, services):
    issuer.body = {"keys": [Signer().jwk()]}
    verifier = make(issuer, services, jwks_interval="0s")
    with pytest.raises(InvalidCredential, match="no known key"):
        await verify(verifier, Signer(kid="forged").sign())


async def test_who_leaves_does_not_take_the_fetch_along(issuer, services):
    signer = Signer()
    issuer.body = {"keys": [signer.jwk()]}
    issuer.hold = asyncio.Event()
    verifier = make(issuer, services)
    leaver = asyncio.create_task(verify(verifier, signer.sign()))
    stayer = asyncio.create_task(verify(verifier, signer.sign()))
    while not issuer.asked:
        await asyncio.sleep(0.005)
    leaver.cancel()
    issuer.hold.set()
    assert (await stayer)["sub"] == "aurora"
    assert leaver.cancelled()
    assert len(issuer.asked) == 1


async def test_a_fixed_key_never_needs_fetching():
    from gateway.tokens.key_sets import make_key_set

    keys = make_key_set(JwtVerification.model_validate({"key": "x" * 32}), make_services())
    await keys.fetch()
    assert keys.ready()
