"""JWTs (RFC 7519) in the JWS compact form (RFC 7515): read, verified, their claims checked, remembered."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from math import isfinite
from typing import Any, NamedTuple

from jwt.algorithms import get_default_algorithms

from gateway.consumers import JwtVerification
from gateway.services import Services
from gateway.tokens import InvalidCredential
from gateway.tokens.key_sets import make_key_set
from gateway.tokens.memo import Memo
from gateway.tokens.owners import Claims

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_MAX_BYTES = 16 * 1024


class Jws(NamedTuple):
    """A token taken apart; nothing of it is verified."""

    header: Mapping[str, Any]
    claims: Claims
    signed: bytes
    signature: bytes


def looks_like_jwt(token: bytes) -> bool:
    """Has it the three parts of a JWS, the first of them a JSON object in base64url?"""
    return token.count(b".") == 2 and token.startswith(b"eyJ")


def read_jws(token: bytes) -> Jws:
    """Take a token apart. InvalidCredential for all that is not strictly a JWS of a JSON object."""
    parts = token.split(b".")
    if len(parts) != 3 or len(token) > _MAX_BYTES or any(part.translate(None, _ALPHABET) for part in parts):
        raise InvalidCredential("the token is not a JWT")
    try:
        header, claims, signature = (urlsafe_b64decode(part + b"=" * (-len(part) % 4)) for part in parts)
        read_header, read_claims = json.loads(header), json.loads(claims)
    except (ValueError, RecursionError):
        raise InvalidCredential("the token is not a JWT") from None
    if not isinstance(read_header, dict) or not isinstance(read_claims, dict):
        raise InvalidCredential("the token is not a JWT")
    return Jws(read_header, read_claims, parts[0] + b"." + parts[1], signature)


def _time(claims: Claims, name: str) -> float | None:
    """A NumericDate. What is no finite number is refused: NaN is never past anything."""
    value = claims.get(name)
    if value is None:
        return None
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not isfinite(value)
        or abs(value) > 1e15
    ):
        raise InvalidCredential(f"the token's {name} is not a time")
    return float(value)


def check_claims(claims: Claims, settings: JwtVerification, now: float) -> float:
    """Check `exp`, `nbf`, `iat`, `iss` and `aud` (RFC 7519 §4.1) at `now`, Unix seconds; returns `exp`."""
    expires = _time(claims, "exp")
    if expires is None:
        raise InvalidCredential("the token never expires: it needs exp")
    if now >= expires + settings.leeway:
        raise InvalidCredential("the token has expired")
    not_before, issued = _time(claims, "nbf"), _time(claims, "iat")
    if not_before is not None and now < not_before - settings.leeway:
        raise InvalidCredential("the token is not valid yet")
    if issued is not None and now < issued - settings.leeway:
        raise InvalidCredential("the token was issued in the future")
    if settings.issuer is not None and claims.get("iss") != settings.issuer:
        raise InvalidCredential("the token is from another issuer")
    check_audience(claims.get("aud"), settings.audience)
    return expires


def check_audience(audience: object, wanted: tuple[str, ...]) -> None:
    """`aud` must hold one of `wanted`; meant for others, it is refused even where nothing is wanted."""
    if audience is None and not wanted:
        return
    named = audience if isinstance(audience, list) else [audience]
    if not any(one in wanted for one in named if isinstance(one, str)):
        raise InvalidCredential("the token is for another audience")


class JwtVerifier:
    """Verifies JWTs with the keys and for the claims of one setting; remembers them until they end."""

    def __init__(self, settings: JwtVerification, services: Services) -> None:
        self.settings = settings
        self.keys = make_key_set(settings, services)
        self._clock = services.clock
        self._algorithms = get_default_algorithms()
        self._verified: Memo[Claims] = Memo()
        self._generation = 0

    def may_concern(self, jws: Jws) -> bool:
        """Could this token be ours to verify, going by the issuer it claims?"""
        return self.settings.issuer is None or jws.claims.get("iss") == self.settings.issuer

    def recall(self, digest: bytes) -> Claims | None:
        """The claims of a token that was verified before and still holds; `digest` is its SHA-256."""
        if not self.keys.ready():
            return None
        if self._generation != self.keys.generation:
            self._verified.clear()
            self._generation = self.keys.generation
        return self._verified.get(digest, self._clock.time())

    def verify(self, digest: bytes, jws: Jws) -> Claims | None:
        """The claims of a good token; None where keys must be fetched first.

        InvalidCredential for a bad one. What was verified is remembered under `digest`.
        """
        algorithm, kid = jws.header.get("alg"), jws.header.get("kid")
        if not isinstance(algorithm, str) or not (kid is None or isinstance(kid, str)):
            raise InvalidCredential("the token's header is malformed")
        if "crit" in jws.header:  # RFC 7515 §4.1.11: what must be understood, and is not, must be refused
            raise InvalidCredential("the token uses extensions that are not understood here")
        expires = check_claims(jws.claims, self.settings, self._clock.time())
        keys = self.keys.find(algorithm, kid)
        if keys is None:
            return None
        for key in keys:
            if self._algorithms[algorithm].verify(jws.signed, key.key, jws.signature):
                self.recall(digest)  # forgets first what older keys verified
                self._verified.put(digest, jws.claims, expires + self.settings.leeway)
                return jws.claims
        raise InvalidCredential("no known key signed the token")

    async def fetch_and_verify(self, digest: bytes, jws: Jws) -> Claims:
        """Like `verify`, after fetching what it lacks. Refused where no keys can be had."""
        claims = self.verify(digest, jws)
        if claims is None:
            await self.keys.fetch()
            claims = self.verify(digest, jws)
        if claims is None:  # another key id came between: whoever asks again, gets an answer
            raise InvalidCredential("no known key signed the token")
        return claims
