"""JWTs: only what is signed by a known key, for us, now."""

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.consumers import JwtVerification
from gateway.tokens import InvalidCredential
from gateway.tokens.jwt import JwtVerifier, looks_like_jwt, read_jws
from tests.support import make_services
from tests.tokens.issuer import NOW, Signer, raw_jwt

SECRET = "a shared secret of at least 32 bytes, always"
KINDS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
DIGEST = b"d" * 32


def verifier(**fields):
    return JwtVerifier(JwtVerification.model_validate(fields), make_services())


def verify(verifier, token):
    return verifier.verify(hashlib.sha256(token).digest(), read_jws(token))


def hs256(claims, secret=SECRET, **header):
    token = raw_jwt({"alg": "HS256", **header}, claims, b"")
    signed = token.rpartition(b".")[0]
    signature = hmac.digest(secret.encode(), signed, "sha256")
    return signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")


@pytest.mark.parametrize("algorithm", KINDS)
def test_each_algorithm_verifies_with_its_key_and_no_other(algorithm):
    signer = Signer(algorithm)
    ours = verifier(key=signer.pem, algorithms=[algorithm])
    assert verify(ours, signer.sign())["sub"] == "aurora"
    with pytest.raises(InvalidCredential, match="no known key"):
        verify(ours, Signer(algorithm).sign())
    tampered = bytearray(signer.sign())
    tampered[-10] ^= 1
    with pytest.raises(InvalidCredential):
        verify(ours, bytes(tampered))


def test_a_shared_secret_verifies():
    assert verify(verifier(key=SECRET), hs256({"sub": "a", "exp": NOW + 1}))["sub"] == "a"
    with pytest.raises(InvalidCredential):
        verify(verifier(key=SECRET), hs256({"sub": "a", "exp": NOW + 1}, SECRET + "!"))


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", "HS256 ", "XX256", None, 7, ["none"]])
def test_a_token_that_names_no_algorithm_of_ours_is_refused(alg):
    signer = Signer("RS256")
    for signature in (b"", b"x"):
        with pytest.raises(InvalidCredential):
            verify(
                verifier(key=signer.pem), raw_jwt({"alg": alg}, {"sub": "aurora", "exp": NOW + 9}, signature)
            )


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_public_key_is_never_a_shared_secret(algorithm):
    signer = Signer(algorithm)
    for secret in (signer.pem, signer.pem.strip()):
        forged = hs256({"sub": "aurora", "exp": NOW + 9}, secret, kid=signer.kid)
        with pytest.raises(InvalidCredential, match="no known key"):
            verify(verifier(key=signer.pem), forged)


def test_another_algorithm_of_the_same_key_is_refused_unless_listed():
    signer = Signer("RS256")
    signer.algorithm = "RS512"
    with pytest.raises(InvalidCredential):
        verify(verifier(key=signer.pem), signer.sign())
    assert verify(verifier(key=signer.pem, algorithms=["RS512"]), signer.sign())


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"exp": None}, "needs exp"),
        ({"exp": NOW - 31}, "has expired"),
        ({"exp": NOW - 30}, "has expired"),
        ({"exp": "soon"}, "exp is not a time"),
        ({"exp": True}, "exp is not a time"),
        ({"nbf": NOW + 31}, "not valid yet"),
        ({"iat": NOW + 31}, "issued in the future"),
        ({"nbf": "x"}, "nbf is not a time"),
        ({"iss": None}, "another issuer"),
        ({"iss": "https://evil.example"}, "another issuer"),
        ({"iss": ["https://id.example"]}, "another issuer"),
        ({"aud": None}, "another audience"),
        ({"aud": "else"}, "another audience"),
        ({"aud": ["else", 7]}, "another audience"),
        ({"aud": {"gateway": 1}}, "another audience"),
    ],
)
def test_a_token_for_another_time_or_place_is_refused(claims, message):
    signer = Signer()
    ours = verifier(key=signer.pem, issuer="https://id.example", audience=["gateway", "other"])
    good = {"iss": "https://id.example", "aud": "gateway"}
    with pytest.raises(InvalidCredential, match=message):
        verify(ours, signer.sign(**{**good, **claims}))


@pytest.mark.parametrize(
    "claims",
    [{"exp": NOW - 29}, {"exp": NOW + 0.5}, {"nbf": NOW + 29}, {"iat": NOW + 29}, {"aud": ["x", "gateway"]}],
)
def test_clocks_may_differ_a_little(claims):
    signer = Signer()
    assert verify(verifier(key=signer.pem, audience=["gateway"]), signer.sign(**{"aud": "gateway", **claims}))


def test_a_token_for_somebody_is_refused_where_nobody_is_configured():
    signer = Signer()
    with pytest.raises(InvalidCredential, match="audience"):
        verify(verifier(key=signer.pem), signer.sign(aud="else"))


@pytest.mark.parametrize("time", ["NaN", "Infinity", "1e400", "-Infinity", "1e16"])
def test_a_time_that_is_no_number_never_lasts_for_ever(time):
    body = base64.urlsafe_b64encode(b'{"sub": "a", "exp": %s}' % time.encode()).rstrip(b"=")
    head = base64.urlsafe_b64encode(b'{"alg": "HS256"}').rstrip(b"=")
    signature = base64.urlsafe_b64encode(hmac.digest(SECRET.encode(), head + b"." + body, "sha256")).rstrip(
        b"="
    )
    with pytest.raises(InvalidCredential, match="not a time"):
        verify(verifier(key=SECRET), head + b"." + body + b"." + signature)


def test_extensions_that_must_be_understood_are_refused():
    with pytest.raises(InvalidCredential, match="extensions"):
        verify(verifier(key=SECRET), hs256({"sub": "a", "exp": NOW + 1}, crit=["b64"], b64=False))


def test_a_key_id_must_be_text():
    with pytest.raises(InvalidCredential, match="malformed"):
        verify(verifier(key=SECRET), hs256({"sub": "a", "exp": NOW + 1}, kid=7))


@pytest.mark.parametrize(
    "token",
    [
        b"",
        b"a.b",
        b"a.b.c.d",
        b"eyJ.e30.!",
        b"eyJhbGciOiJIUzI1NiJ9.e30=.eA",
        b"eyJhbGciOiJIUzI1NiJ9.e3 0.eA",
        b"a.e30.eA",
        b"W10.e30.eA",
        b"e30.W10.eA",
        b"e30.eyJh.eA",
        b"e30.e30.eA" + b"A" * 20_000,
        base64.urlsafe_b64encode(b"[" * 9_000).rstrip(b"=") + b".e30.eA",
    ],
)
def test_what_is_no_jwt_is_refused(token):
    with pytest.raises(InvalidCredential, match="not a JWT"):
        read_jws(token)


@given(st.binary(max_size=60), st.binary(max_size=60), st.binary(max_size=80))
def test_nothing_odd_gets_past_or_breaks_it(header, claims, signature):
    token = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header, claims, signature))
    with pytest.raises(InvalidCredential):
        verify(verifier(key=SECRET), token)


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "ES512", "EdDSA"])
def test_odd_signatures_are_refused_without_an_error(algorithm):
    signer = Signer(algorithm)
    ours = verifier(key=signer.pem, algorithms=[algorithm])
    for length in (0, 1, 63, 64, 65, 132, 256, 1000):
        for byte in (b"\x00", b"\xff"):
            token = raw_jwt({"alg": algorithm}, {"sub": "aurora", "exp": NOW + 9}, byte * length)
            with pytest.raises(InvalidCredential):
                verify(ours, token)


def test_the_form_of_a_jwt():
    assert looks_like_jwt(Signer().sign())
    assert not looks_like_jwt(b"opaque-token")
    assert not looks_like_jwt(b"a.b.c")


def test_a_verified_token_is_remembered_until_it_ends():
    services = make_services()
    ours = JwtVerifier(JwtVerification.model_validate({"key": SECRET, "leeway": "0s"}), services)
    token = hs256({"sub": "a", "exp": NOW + 5})
    digest = hashlib.sha256(token).digest()
    assert ours.recall(digest) is None
    ours.verify(digest, read_jws(token))
    assert ours.recall(digest) == {"sub": "a", "exp": NOW + 5}
    services.clock.advance(4.9)
    assert ours.recall(digest) is not None
    services.clock.advance(0.2)
    assert ours.recall(digest) is None
    with pytest.raises(InvalidCredential, match="expired"):
        ours.verify(digest, read_jws(token))
