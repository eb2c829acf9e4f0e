"""Tokens as `Authorization: Bearer` (RFC 6750): which are verified here, and which are asked about."""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple

from gateway.errors import Refused
from gateway.exchange import Exchange
from gateway.tokens import InvalidCredential
from gateway.tokens.introspection import Introspector
from gateway.tokens.jwt import Jws, JwtVerifier, looks_like_jwt, read_jws
from gateway.tokens.owners import Owners
from gateway.tokens.schemes import Proof, authorization


class JwtSource(NamedTuple):
    """Keys, and whose tokens they verify."""

    verifier: JwtVerifier
    owners: Owners
    own: bool
    """The key is one consumer's own: only tokens that claim to be theirs are tried against it."""

    def may_concern(self, jws: Jws) -> bool:
        """Is it worth verifying this token here?"""
        return self.verifier.may_concern(jws) and (not self.own or self.owners.claimed(jws.claims))


class Bearer:
    """A token as `Authorization: Bearer` (RFC 6750): a JWT that we verify, or one its issuer is asked about.

    What has the form of a JWT and claims an issuer that we verify for goes to the keys, and to nobody
    else: a token that fails there is refused. All others go to introspection, where that is accepted.
    """

    challenge = b'Bearer realm="gateway"'

    def __init__(
        self, jwts: list[JwtSource], introspectors: list[tuple[Introspector, Owners]], asks: str = ""
    ) -> None:
        self._jwts, self._introspectors = jwts, introspectors
        self.asks = asks

    def shown(self, exchange: Exchange) -> bytes | None:
        return authorization(exchange, b"bearer")

    def find(self, credential: bytes) -> Proof | None:
        digest = sha256(credential).digest()
        if self._jwts and looks_like_jwt(credential):
            for source in self._jwts:
                claims = source.verifier.recall(digest)
                if claims is not None and source.owners.claimed(claims):
                    return source.owners.find(claims), "jwt"
            jws = read_jws(credential)
            concerned = [source for source in self._jwts if source.may_concern(jws)]
            if concerned or not self._introspectors:
                return _verify(concerned, digest, jws)
        if not self._introspectors:
            raise InvalidCredential("the token is not a JWT")
        problem: InvalidCredential | None = None
        for introspector, owners in self._introspectors:
            try:
                claims = introspector.recall(digest)
                if claims is None:
                    return None
                return owners.find(claims), "introspection"
            except InvalidCredential as error:
                problem = problem or error
        assert problem is not None
        raise problem

    async def ask(self, credential: bytes) -> Proof:
        digest = sha256(credential).digest()
        if self._jwts and looks_like_jwt(credential):
            jws = read_jws(credential)
            concerned = [source for source in self._jwts if source.may_concern(jws)]
            if concerned:
                return await _fetch_and_verify(concerned, digest, jws)
        problem: InvalidCredential | None = None
        for introspector, owners in self._introspectors:
            try:
                claims = introspector.recall(digest)
                if claims is None:
                    claims = await introspector.ask(digest, credential)
                return owners.find(claims), "introspection"
            except InvalidCredential as error:
                problem = problem or error
        assert problem is not None
        raise problem


def _verify(sources: list[JwtSource], digest: bytes, jws: Jws) -> Proof | None:
    problem: InvalidCredential | None = None
    waiting = False
    for source in sources:
        try:
            claims = source.verifier.verify(digest, jws)
            if claims is not None:
                return source.owners.find(claims), "jwt"
            waiting = True
        except InvalidCredential as error:
            problem = problem or error
    if waiting:
        return None
    raise problem or InvalidCredential("the token is from another issuer")


async def _fetch_and_verify(sources: list[JwtSource], digest: bytes, jws: Jws) -> Proof:
    problem: InvalidCredential | Refused | None = None
    for source in sources:
        try:
            return source.owners.find(await source.verifier.fetch_and_verify(digest, jws)), "jwt"
        except (InvalidCredential, Refused) as error:
            if problem is None or isinstance(
                error, Refused
            ):  # keys that cannot be had might have verified it
                problem = error
    assert problem is not None
    raise problem
