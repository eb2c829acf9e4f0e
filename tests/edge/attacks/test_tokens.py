"""Forged and stolen tokens against a running gateway that takes those of one issuer, for one audience."""

from __future__ import annotations

import base64
import gzip
import hmac
import json
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import jwt
import pytest

from tests.edge.attacks.raw import get, told
from tests.scenarios.running import Gateway, gateway, resident_bytes
from tests.scenarios.scripted import Request, ScriptedOrigin, answer, call_all
from tests.tokens.issuer import Signer, raw_jwt

CONFIG = """
version: 1
consumers:
  platform: {{credentials: [{{jwt: {{subject: platform}}}}]}}
upstreams: {{origin: {{targets: [{{url: "{origin}"}}]}}}}
server: {{drain: {{delay: 0s, grace: 1s}}, limits: {{head: 64KiB}}}}
routes:
"""
ROUTE = """
  - name: {name}
    match: {{methods: [GET], path: /{name}}}
    upstream: origin
    policies:
      - authentication:
          accept:
            - jwt:
                jwks: "{issuer}/{name}"
                issuer: "https://id.example"
                audience: [gateway]
                leeway: 1s
                jwks_ttl: {ttl}
                jwks_stale: {stale}
                jwks_interval: {interval}
          consumers: [platform]
"""
NOW = int(time.time())
GOOD: dict[str, Any] = {
    "sub": "platform",
    "iss": "https://id.example",
    "aud": "gateway",
    "iat": NOW,
    "exp": NOW + 3600,
}
ISSUER, RSA, STRANGER = Signer("ES256", "k1"), Signer("RS256", "k2"), Signer("ES256", "k1")
JWKS = json.dumps({"keys": [ISSUER.jwk(), RSA.jwk()]}).encode()

pytestmark = pytest.mark.attack(26)


def b64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def signed(signer: Signer = ISSUER, header: dict[str, Any] | None = None, **claims: Any) -> bytes:
    """A token for the platform, by the issuer unless said otherwise; a claim of None is left out."""
    content = {name: value for name, value in {**GOOD, **claims}.items() if value is not None}
    said = {"kid": signer.kid, **(header or {})}
    head = {name: value for name, value in said.items() if value is not None}
    return jwt.PyJWS().encode(json.dumps(content).encode(), signer.private, signer.algorithm, head).encode()


def unsigned(signature: bytes = b"", **header: Any) -> bytes:
    return raw_jwt(header, GOOD, signature)


def by_secret(secret: bytes, **header: Any) -> bytes:
    """HS256, as a forger computes it who has no private key."""
    text = raw_jwt({"alg": "HS256", **header}, GOOD, b"").rpartition(b".")[0]
    return text + b"." + b64(hmac.digest(secret, text, "sha256"))


def by_header(header: bytes) -> bytes:
    """Signed by the issuer's own key, below a header that is spelled out."""
    text = b64(header) + b"." + b64(json.dumps(GOOD).encode())
    signature = jwt.get_algorithm_by_name("ES256").sign(text, ISSUER.private)
    return text + b"." + b64(signature)


def altered() -> bytes:
    head, _, signature = signed().split(b".")
    return head + b"." + b64(json.dumps(GOOD | {"scope": "all"}).encode()) + b"." + signature


FORGED: dict[str, Callable[[], bytes]] = {
    "alg none": lambda: unsigned(alg="none"),
    "alg None": lambda: unsigned(alg="None", typ="JWT"),
    "alg NONE with a signature": lambda: unsigned(b"x", alg="NONE"),
    "alg nOnE and the issuer's key id": lambda: unsigned(alg="nOnE", kid="k1"),
    "alg empty": lambda: unsigned(alg=""),
    "alg left out": lambda: unsigned(kid="k1"),
    "alg null": lambda: unsigned(alg=None),
    "alg of a list": lambda: unsigned(alg=["ES256", "none"]),
    "alg in small letters": lambda: unsigned(b"x" * 64, alg="es256", kid="k1"),
    "alg with a space": lambda: unsigned(b"x" * 64, alg="ES256 ", kid="k1"),
    "alg said twice": lambda: by_header(b'{"alg":"ES256","kid":"k1","alg":"none"}'),
    "HS256 with the RSA key's PEM": lambda: by_secret(RSA.pem.encode(), kid="k2"),
    "HS256 with that PEM, stripped": lambda: by_secret(RSA.pem.strip().encode(), kid="k2"),
    "HS256 with the EC key's PEM": lambda: by_secret(ISSUER.pem.encode(), kid="k1"),
    "HS256 with the key set": lambda: by_secret(JWKS, kid="k1"),
    "HS256 with the modulus": lambda: by_secret(RSA.jwk()["n"].encode(), kid="k2"),
    "HS256 with nothing": lambda: by_secret(b""),
    "ES256 of zeros": lambda: unsigned(b"\0" * 64, alg="ES256", kid="k1"),
    "ES256 of no signature": lambda: signed().rpartition(b".")[0] + b".",
    "ES256 of half a signature": lambda: signed()[:-43],
    "ES256 in DER": lambda: unsigned(b"\x30\x06\x02\x01\x00\x02\x01\x00", alg="ES256", kid="k1"),
    "RS256 of nothing": lambda: unsigned(b"", alg="RS256", kid="k2"),
    "PS256 by the key of RS256": lambda: signed(RSA, {"alg": "PS256"}),
    "another key of the same id": lambda: signed(STRANGER),
    "another key without an id": lambda: signed(STRANGER, {"kid": None}),
    "another key's id": lambda: signed(ISSUER, {"kid": "k2"}),
    "claims that were changed": altered,
    "another issuer": lambda: signed(iss="https://evil.example"),
    "an issuer with a slash more": lambda: signed(iss="https://id.example/"),
    "an issuer in a list": lambda: signed(iss=["https://id.example"]),
    "no issuer": lambda: signed(iss=None),
    "another audience": lambda: signed(aud="elsewhere"),
    "other audiences": lambda: signed(aud=["elsewhere", "gateway2", 7]),
    "audience in capitals": lambda: signed(aud="GATEWAY"),
    "no audience": lambda: signed(aud=None),
    "expired": lambda: signed(exp=NOW - 60),
    "expired in text": lambda: signed(exp=str(NOW + 60)),
    "never expires": lambda: signed(exp=None),
    "expires at no number": lambda: raw_jwt({"alg": "ES256"}, GOOD | {"exp": float("inf")}),
    "expires at true": lambda: signed(exp=True),
    "not yet": lambda: signed(nbf=NOW + 3600),
    "issued tomorrow": lambda: signed(iat=NOW + 86400),
    "another subject": lambda: signed(sub="evil"),
    "no subject": lambda: signed(sub=None),
    "a subject in a list": lambda: signed(sub=["platform"]),
    "key id of a path": lambda: by_secret(b"", kid="../../../../../../dev/null"),
    "key id of a file": lambda: by_secret(b"", kid="/proc/sys/kernel/randomize_va_space"),
    "key id of SQL": lambda: by_secret(b"x", kid="k1' UNION SELECT 'x"),
    "key id of a command": lambda: by_secret(b"x", kid="k1|/usr/bin/id"),
    "key id of a number": lambda: unsigned(alg="ES256", kid=1),
    "key id of an object": lambda: unsigned(alg="ES256", kid={"k1": 1}),
    "critical extension": lambda: signed(header={"crit": ["exp"]}),
    "critical extension that is unknown": lambda: signed(header={"crit": ["x"], "x": 1}),
    "a payload that is not encoded": lambda: signed(header={"b64": False, "crit": ["b64"]}),
    "its own key": lambda: signed(STRANGER, {"jwk": STRANGER.jwk()}),
    "its own key, without an id": lambda: signed(STRANGER, {"jwk": STRANGER.jwk(), "kid": "new"}),
    "nested": lambda: b".".join([b64(b'{"alg":"none","cty":"JWT"}'), b64(signed()), b""]),
    "encrypted": lambda: b".".join([b64(b'{"alg":"dir","enc":"A128GCM"}'), b"", b"a", b"a", b"a"]),
    "an array": lambda: b".".join([b64(b"[]"), b64(b"[]"), b""]),
    "padding": lambda: signed().replace(b".", b"=."),
    "two dots at the end": lambda: signed() + b"..",
    "20 KB of claims": lambda: signed(padding="a" * 20_000),
    "brackets 5,000 deep": lambda: by_header(b"[" * 5_000),
    "zipped": lambda: signed(STRANGER, {"zip": "DEF"}),
}


PUBLISHED: dict[str, bytes] = {
    "a-failure": answer(500),
    "a-redirect": answer(302, b"{}", "location: /games"),
    "an-empty-list": answer(200, b'{"keys": []}'),
    "no-list": answer(200, b'{"keys": {"kid": "k1"}}'),
    "brackets-without-end": answer(200, b'{"keys": ' + b"[" * 100_000),
    "8-MiB": answer(200, b'{"keys": [' + b" " * (8 << 20) + b"]}"),
    "30-MiB-in-30-KiB": answer(200, gzip.compress(b" " * (30 << 20)), "content-encoding: gzip"),
    "shared-secrets": answer(
        200, json.dumps({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "k1", "alg": "HS256"}]}).encode()
    ),
    "a-key-of-512-bits": answer(
        200, json.dumps({"keys": [{"kty": "RSA", "kid": "k2", "e": "AQAB", "n": "a" * 86}]}).encode()
    ),
}
"""Route → what its issuer publishes, and never should."""


class Issuer:
    """Publishes keys, and counts who asks for what."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.fails = False

    def __call__(self, request: Request) -> bytes:
        name = request.line.split()[1][1:]
        self.asked.append(name)
        return answer(500) if name == "aging" and self.fails else PUBLISHED.get(name, answer(200, JWKS))


@pytest.fixture(scope="module")
def issuer() -> Iterator[tuple[Issuer, str]]:
    made = Issuer()
    with ScriptedOrigin(made) as place:
        yield made, place.url


@pytest.fixture(scope="module")
def edge(issuer: tuple[Issuer, str]) -> Iterator[Gateway]:
    long = {"ttl": "10m", "stale": "1h", "interval": "2s", "issuer": issuer[1]}
    short = {"ttl": "500ms", "stale": "500ms", "interval": "100ms", "issuer": issuer[1]}
    routes = [ROUTE.format(name=name, **long) for name in ("games", *PUBLISHED)]
    routes.append(ROUTE.format(name="aging", **short))
    with (
        ScriptedOrigin(lambda _: answer(200, b'"passed"')) as origin,
        gateway(CONFIG.format(origin=origin.url) + "".join(routes)) as running,
    ):
        yield running


def ask(running: Gateway, token: bytes, route: str = "games") -> int:
    return told(running.port, get(b"/" + route.encode(), b"Authorization: Bearer " + token)).status


@pytest.mark.parametrize(
    "make",
    [signed, lambda: signed(RSA), lambda: signed(header={"kid": None}), lambda: signed(aud=["a", "gateway"])],
    ids=["by ES256", "by RS256", "without a key id", "of two audiences"],
)
def test_what_is_signed_for_us_passes(make: Callable[[], bytes], edge: Gateway) -> None:
    """Or all of the following would show nothing."""
    assert ask(edge, make()) == 200


@pytest.mark.parametrize("name", FORGED)
def test_what_is_not_is_refused(name: str, edge: Gateway) -> None:
    assert ask(edge, FORGED[name]()) == 401


@pytest.mark.parametrize("field", ["jku", "x5u"])
def test_an_address_in_a_token_is_never_asked(field: str, edge: Gateway, issuer: tuple[Issuer, str]) -> None:
    made, url = issuer
    assert ask(edge, signed(STRANGER, {field: url + "/planted", "kid": "planted"})) == 401
    assert "planted" not in made.asked


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ((b"Authorization: Bearer %b", b"Authorization: Bearer %b"), 400),
        ((b"Authorization: Basic %b",), 401),
        ((b"Authorization: %b",), 401),
        ((b"Authorization: Bearer",), 401),
        ((b"Authorization: Bearer %b, Bearer %b",), 401),
        ((b"X-Authorization: Bearer %b",), 401),
        ((b"Proxy-Authorization: Bearer %b",), 401),
        ((b"Cookie: access_token=%b",), 401),
    ],
)
def test_a_good_token_in_a_wrong_place(fields: tuple[bytes, ...], status: int, edge: Gateway) -> None:
    token = signed()
    assert told(edge.port, get(b"/games", *(f.replace(b"%b", token) for f in fields))).status == status
    assert told(edge.port, get(b"/games?access_token=" + token)).status == 401


def test_a_flood_of_made_up_key_ids_is_one_question_per_interval(
    edge: Gateway, issuer: tuple[Issuer, str]
) -> None:
    made, _ = issuer
    assert ask(edge, signed()) == 200
    began, before = time.monotonic(), len(made.asked)
    flood = [
        b"GET /games HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer %b\r\n\r\n"
        % signed(STRANGER, {"kid": f"forged-{uuid4()}"})
        for _ in range(600)
    ]
    answers = call_all(edge.port, flood, connections=50)
    assert {status for status, _ in answers.values()} == {401}
    asked = len(made.asked) - before
    assert asked <= 1 + (time.monotonic() - began) // 2, "the issuer was flooded along"
    assert ask(edge, signed()) == 200


@pytest.mark.parametrize("name", PUBLISHED)
def test_keys_that_are_none_let_nobody_in_and_cost_little(
    name: str, edge: Gateway, issuer: tuple[Issuer, str]
) -> None:
    games = issuer[0].asked.count("games")
    [worker] = edge.worker_pids()
    before = resident_bytes(worker)
    assert ask(edge, signed(), name) in (401, 502)
    assert ask(edge, by_secret(b"secret", kid="k1"), name) in (401, 502)
    assert name in issuer[0].asked
    assert issuer[0].asked.count("games") == games, "the redirect was followed"
    assert resident_bytes(worker) - before < 24 << 20


def test_keys_that_are_too_old_let_nobody_in(edge: Gateway, issuer: tuple[Issuer, str]) -> None:
    """Fresh for 0.5 s, used for as long again while the issuer fails; then nobody passes, and it heals."""
    token, until = signed(), time.monotonic() + 10
    assert ask(edge, token, "aging") == 200
    issuer[0].fails = True
    while (status := ask(edge, token, "aging")) == 200 and time.monotonic() < until:
        time.sleep(0.05)
    assert status == 502, "it was verified once, by keys that nobody vouches for any more"
    issuer[0].fails = False
    while ask(edge, token, "aging") != 200:
        assert time.monotonic() < until
        time.sleep(0.05)
