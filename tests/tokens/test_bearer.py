"""Which tokens are verified here, and which are asked about."""

import hashlib

import pytest

from gateway.consumers import JwtVerification
from gateway.tokens import InvalidCredential
from gateway.tokens.bearer import Bearer, JwtSource
from gateway.tokens.introspection import IntrospectionAccept, Introspector
from gateway.tokens.jwt import JwtVerifier
from gateway.tokens.owners import Owners
from tests.support import make_exchange, make_services
from tests.tokens.issuer import Signer

SIGNER = Signer()


def owners():
    owners = Owners()
    owners.add(("sub", "aurora"), "aurora")
    return owners


def bearer(*, jwt=True, introspection=True, own=False):
    services = make_services()
    verifier = JwtVerifier(JwtVerification.model_validate({"key": SIGNER.pem}), services)
    endpoint = {"url": "http://127.0.0.1:1", "client_id": "a", "client_secret": "b"}
    asker = Introspector(IntrospectionAccept.model_validate(endpoint), services)
    return Bearer(
        [JwtSource(verifier, owners(), own=own)] if jwt else [], [(asker, owners())] if introspection else []
    )


def test_a_jwt_is_ours_to_verify_and_the_rest_is_asked_about():
    assert bearer().find(SIGNER.sign()) == ("aurora", "jwt")
    assert bearer().find(b"opaque") is None
    assert bearer(jwt=False).find(SIGNER.sign()) is None
    with pytest.raises(InvalidCredential, match="not a JWT"):
        bearer(introspection=False).find(b"opaque")


def test_a_consumers_own_key_is_tried_on_tokens_that_claim_to_be_theirs_only():
    scheme = bearer(own=True)
    assert scheme.find(SIGNER.sign()) == ("aurora", "jwt")
    assert scheme.find(SIGNER.sign(sub="borealis")) is None  # somebody else's: the issuer may know it
    with pytest.raises(InvalidCredential, match="another issuer"):
        bearer(own=True, introspection=False).find(SIGNER.sign(sub="borealis"))


def test_a_remembered_token_is_not_verified_again():
    scheme = bearer()
    token = SIGNER.sign()
    digest = hashlib.sha256(token).digest()
    verifier = scheme._jwts[0].verifier
    assert verifier.recall(digest) is None
    scheme.find(token)
    assert verifier.recall(digest)["sub"] == "aurora"
    assert scheme.find(token) == ("aurora", "jwt")


def test_only_bearer_is_read():
    for value, shown in (
        (b"Bearer abc", b"abc"),
        (b"bearer  abc ", b"abc"),
        (b"Basic abc", None),
        (b"Bearer", b""),
    ):
        assert bearer().shown(make_exchange(headers=[(b"authorization", value)])) == shown
    assert bearer().shown(make_exchange()) is None
