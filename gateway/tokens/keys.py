"""Keys that JWTs are verified with, each bound to the algorithms it may be used for.

The binding is what makes RS256→HS256 confusion impossible: a token's `alg` picks among keys that
were made for it, never the way a key is used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from gateway.mistakes import Mistake

_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
PUBLIC_ALGORITHMS = frozenset({*_RSA, *_CURVES.values(), "EdDSA"})
"""Those whose keys may be published."""
_SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
_RSA_BITS = 2048


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key, its id where it has one, and what it may be used for."""

    key: Any = field(repr=False)
    algorithms: frozenset[str]
    kid: str | None = None

    def fits(self, algorithm: str, kid: str | None) -> bool:
        """May a token with this header be tried against it? A missing id on either side fits any."""
        return algorithm in self.algorithms and (kid is None or self.kid is None or kid == self.kid)


def fitting(public: object) -> tuple[str, ...]:
    """The algorithms a public key can verify, the usual one first. ValueError for keys that none may use."""
    if isinstance(public, RSAPublicKey):
        if public.key_size < _RSA_BITS:
            raise Mistake(
                f"an RSA key needs at least {_RSA_BITS} bits (RFC 7518 §3.3), this has {public.key_size}",
                "make a longer one",
            )
        return _RSA
    if isinstance(public, EllipticCurvePublicKey):
        if public.curve.name in _CURVES:
            return (_CURVES[public.curve.name],)
        raise Mistake(f"no algorithm uses the curve {public.curve.name}", "use P-256, P-384 or P-521")
    if isinstance(public, Ed25519PublicKey | Ed448PublicKey):
        return ("EdDSA",)
    raise Mistake("the key is of no kind that JWTs use", "give an RSA, EC or Ed25519 key")


def read_key(text: str, algorithms: tuple[str, ...] = ()) -> VerificationKey:
    """A key as YAML holds it: PEM of a public key or certificate, else a shared secret.

    ValueError where it is unusable, or none of `algorithms` fits it; by default the usual one.
    """
    if "-----BEGIN" not in text:
        secret = text.encode()
        wanted = algorithms or ("HS256",)
        for name in wanted:
            if name not in _SECRET_BYTES:
                raise Mistake(
                    f"{name} needs a public key in PEM, and `key` is a shared secret",
                    "give the issuer's public key, or use HS256 and kin",
                )
            if len(secret) < _SECRET_BYTES[name]:
                raise Mistake(
                    f"{name} needs a secret of at least {_SECRET_BYTES[name]} bytes (RFC 7518 §3.2), "
                    f"this has {len(secret)}",
                    "make a longer one",
                )
        return VerificationKey(secret, frozenset(wanted))
    if "PRIVATE KEY" in text:
        raise Mistake(
            "`key` is a private key, and verifying needs the public one",
            "give that, and never share the other",
        )
    try:
        if "BEGIN CERTIFICATE" in text:
            public: object = x509.load_pem_x509_certificate(text.encode()).public_key()
        else:
            public = load_pem_public_key(text.encode())
    except ValueError:
        raise Mistake(
            "`key` is not a public key or certificate in PEM",
            "give the whole of it, BEGIN and END lines included",
        ) from None
    able = fitting(public)
    for name in algorithms:
        if name not in able:
            raise Mistake(f"{name} does not fit the key", f"the key can verify {', '.join(able)}")
    return VerificationKey(public, frozenset(algorithms or able[:1]))


def read_jwk(jwk: Mapping[str, Any], algorithms: tuple[str, ...] = ()) -> VerificationKey | None:
    """A key of a key set (RFC 7517 §4); None for one that is not for verifying our tokens.

    Shared secrets (`oct`) are never taken from a URL.
    """
    kid, use, operations = jwk.get("kid"), jwk.get("use", "sig"), jwk.get("key_ops", ["verify"])
    if jwk.get("kty") not in ("RSA", "EC", "OKP") or use != "sig":
        return None
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    public_part = {
        name: value
        for name, value in jwk.items()
        if name not in ("d", "p", "q", "dp", "dq", "qi", "oth", "alg")
    }
    try:
        public = PyJWK(public_part).key
        able = fitting(public)
    except (PyJWTError, ValueError, TypeError):  # a key that we cannot read verifies nothing; others may
        return None
    named = jwk.get("alg")
    if named is not None:
        able = tuple(name for name in able if name == named)
    wanted = frozenset(able).intersection(algorithms) if algorithms else frozenset(able[:1])
    return VerificationKey(public, wanted, kid if isinstance(kid, str) else None) if wanted else None


def read_key_set(body: bytes, algorithms: tuple[str, ...] = ()) -> tuple[VerificationKey, ...]:
    """The usable keys of a published set (RFC 7517 §5). ValueError for what is no key set."""
    try:
        document = json.loads(body)
        listed = document["keys"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ValueError("the answer is not a JSON Web Key Set") from None
    if not isinstance(listed, list):
        raise ValueError("the answer is not a JSON Web Key Set")  # noqa: TRY004 - of what came in, not of our code
    keys = (read_jwk(jwk, algorithms) for jwk in listed if isinstance(jwk, dict))
    return tuple(key for key in keys if key is not None)
