"""Keys: each bound to what it may verify."""

import json

import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from gateway.tokens.keys import read_jwk, read_key, read_key_set
from tests.tokens.issuer import Signer


def pem(private):
    return private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.mark.parametrize(
    ("signer", "usual"),
    [("RS256", "RS256"), ("ES256", "ES256"), ("ES384", "ES384"), ("ES512", "ES512"), ("EdDSA", "EdDSA")],
)
def test_a_key_says_its_usual_algorithm(signer, usual):
    assert read_key(Signer(signer).pem).algorithms == {usual}
    assert read_jwk(Signer(signer).jwk()).algorithms == {usual}


def test_secrets():
    assert read_key("x" * 32).algorithms == {"HS256"}
    assert read_key("x" * 64, ("HS256", "HS512")).algorithms == {"HS256", "HS512"}
    with pytest.raises(ValueError, match="at least 32 bytes"):
        read_key("x" * 31)
    with pytest.raises(ValueError, match="HS512 needs a secret of at least 64"):
        read_key("x" * 63, ("HS512",))
    with pytest.raises(ValueError, match="ES256 needs a public key"):
        read_key("x" * 64, ("ES256",))
    assert "xxxx" not in repr(read_key("x" * 32))


def test_a_certificate_is_a_key():
    certificate = trustme.CA().cert_pem.bytes().decode()
    assert read_key(certificate).algorithms <= {"RS256", "ES256"}


@pytest.mark.parametrize(
    ("text", "algorithms", "message"),
    [
        (pem(rsa.generate_private_key(65537, 1024)), (), "at least 2048 bits"),
        (pem(ec.generate_private_key(ec.SECP256K1())), (), "no algorithm uses the curve"),
        (pem(dsa.generate_private_key(2048)), (), "of no kind"),
        (
            rsa.generate_private_key(65537, 2048)
            .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            .decode(),
            (),
            "is a private key",
        ),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", (), "is not a public key"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", (), "is not a public key"),
        (Signer("RS256").pem, ("HS256",), "HS256 does not fit"),
        (Signer("ES256").pem, ("ES384",), "ES384 does not fit"),
    ],
)
def test_unusable_keys_are_told_at_load(text, algorithms, message):
    with pytest.raises(ValueError, match=message):
        read_key(text, algorithms)


@pytest.mark.parametrize(
    "change",
    [
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": None},
        {"use": "enc"},
        {"key_ops": ["encrypt"]},
        {"key_ops": 7},
        {"alg": "HS256"},
        {"alg": "none"},
        {"n": "AQAB"},
        {"n": 7},
        {"e": None},
    ],
)
def test_published_keys_that_are_not_for_verifying_are_left_out(change):
    assert read_jwk(Signer("RS256").jwk(**change)) is None


def test_a_published_key_may_name_its_algorithm():
    jwk = Signer("RS256").jwk(alg="PS512")
    assert read_jwk(jwk).algorithms == {"PS512"}
    assert read_jwk(jwk, ("RS256",)) is None
    assert read_jwk(Signer("RS256").jwk(), ("RS256", "RS384")).algorithms == {"RS256", "RS384"}
    assert read_jwk(Signer("RS256", kid=None).jwk(kid=7)).kid is None


def test_a_private_key_published_by_mistake_verifies_and_signs_nothing():
    import jwt

    signer = Signer("RS256")
    private = jwt.get_algorithm_by_name("RS256").to_jwk(signer.private, as_dict=True) | {
        "key_ops": ["verify"]
    }
    assert not hasattr(read_jwk(private).key, "sign")


def test_fitting_a_header():
    named, unnamed = read_jwk(Signer("ES256").jwk()), read_jwk(Signer("ES256", kid=None).jwk())
    assert named.fits("ES256", "k1")
    assert named.fits("ES256", None)
    assert unnamed.fits("ES256", "any")
    assert not named.fits("ES256", "k2")
    assert not named.fits("RS256", "k1")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"keys": 7}', b"\xff", b"[" * 100_000])
def test_what_is_no_key_set(body):
    with pytest.raises(ValueError, match="not a JSON Web Key Set"):
        read_key_set(body)


def test_a_set_keeps_what_it_can_use():
    body = json.dumps({"keys": [Signer().jwk(), {"kty": "oct", "k": "eA"}, "x", None]}).encode()
    assert [key.kid for key in read_key_set(body)] == ["k1"]
