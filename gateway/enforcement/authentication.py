"""Finds out who calls, and lets in who may."""

from __future__ import annotations

from collections.abc import Awaitable

from gateway.errors import Refused
from gateway.exchange import Exchange, Response
from gateway.networks import NetworkSet
from gateway.policy import Forward
from gateway.services import Services
from gateway.tokens import InvalidCredential
from gateway.tokens.schemes import Proof, Scheme, parameter_name


class Gate:
    """Lets known consumers in. A call whose credentials are known at once never waits."""

    def __init__(
        self,
        schemes: list[Scheme],
        allowed: frozenset[str],
        networks: dict[str, NetworkSet],
        services: Services,
        *,
        hide: tuple[frozenset[bytes], frozenset[str]] | None,
    ) -> None:
        self._schemes, self._allowed, self._networks = schemes, allowed, networks
        self._consumers = services.consumers
        self._hide = hide
        self._route = services.route.name
        self._refusals = services.metrics.counter(
            "gateway_authentication_refused_total",
            "Calls whose caller is unknown or may not call.",
            ("route", "code", "mode"),
        )
        challenges = list(dict.fromkeys(scheme.challenge for scheme in schemes))
        self._challenges = tuple((b"www-authenticate", challenge) for challenge in challenges)
        self._invalid = tuple((b"www-authenticate", _as_invalid(challenge)) for challenge in challenges)

    def __call__(self, exchange: Exchange, forward: Forward) -> Awaitable[Response]:
        try:
            proof, known = self._find(exchange)
            if not known:
                return self._ask(exchange, forward)
            self._admit(exchange, proof)
        except Refused as refusal:
            self._tell(exchange, refusal)
            raise
        if self._hide is not None:
            hide(exchange, self._hide)
        return forward(exchange)

    async def _ask(self, exchange: Exchange, forward: Forward) -> Response:
        try:
            self._admit(exchange, await self._prove(exchange))
        except Refused as refusal:
            self._tell(exchange, refusal)
            raise
        if self._hide is not None:
            hide(exchange, self._hide)
        return await forward(exchange)

    def _find(self, exchange: Exchange) -> tuple[Proof | None, bool]:
        """(whose credentials they are, whether that is known without asking)."""
        proof: Proof | None = None
        for scheme in self._schemes:
            credential = scheme.shown(exchange)
            if credential is None:
                continue
            try:
                found = scheme.find(credential)
            except InvalidCredential as error:
                raise self._unauthenticated(str(error)) from None
            if found is None:
                return None, False
            proof = found if proof is None else self._agree(proof, found)
        return proof, True

    async def _prove(self, exchange: Exchange) -> Proof | None:
        proof: Proof | None = None
        for scheme in self._schemes:
            credential = scheme.shown(exchange)
            if credential is None:
                continue
            try:
                found = scheme.find(credential) or await scheme.ask(credential)
            except InvalidCredential as error:
                raise self._unauthenticated(str(error)) from None
            proof = found if proof is None else self._agree(proof, found)
        return proof

    async def watch(self, exchange: Exchange, forward: Forward) -> Response:
        """In shadow: finds out who calls and takes nothing away, the call passes as if unasked."""
        try:
            self._admit(exchange, await self._prove(exchange))
        except Refused as refusal:
            self._tell(exchange, refusal, "would_refuse")
        return await forward(exchange)

    def foresee(self, exchange: Exchange) -> str:
        """What it would decide without asking anybody. Refused where it would refuse."""
        proof, known = self._find(exchange)
        if not known:
            asked = next(scheme.asks for scheme in self._schemes if scheme.asks and scheme.shown(exchange))
            return f"would ask {asked} about the token"
        self._admit(exchange, proof)
        assert exchange.consumer is not None
        return f"knows {exchange.consumer.name} by {exchange.credential}"

    def _agree(self, proof: Proof, found: Proof) -> Proof:
        """Every credential shown must be good, and all of one consumer; the first is the one named."""
        if proof[0] != found[0]:
            raise self._unauthenticated("the credentials belong to different consumers")
        return proof

    def _admit(self, exchange: Exchange, proof: Proof | None) -> None:
        if proof is None:
            raise Refused("UNAUTHENTICATED", "credentials are missing", headers=self._challenges)
        name, exchange.credential = proof
        exchange.consumer = self._consumers[name]
        if name not in self._allowed:
            raise Refused("FORBIDDEN", f"{name} may not call this")
        networks = self._networks.get(name)
        if networks is not None and exchange.client not in networks:
            raise Refused("IP_NOT_ALLOWED", f"calls of {name} are not allowed from {exchange.client}")

    def _tell(self, exchange: Exchange, refusal: Refused, decision: str = "refused") -> None:
        exchange.decide("authentication", decision, refusal.code)
        self._refusals.add((self._route, refusal.code, "shadow" if decision == "would_refuse" else "enforce"))

    def _unauthenticated(self, detail: str) -> Refused:
        return Refused("UNAUTHENTICATED", detail, headers=self._invalid)


def _as_invalid(challenge: bytes) -> bytes:
    """RFC 6750 §3.1 has a word for a token that is no good; other schemes have none."""
    return challenge + b', error="invalid_token"' if challenge.startswith(b"Bearer") else challenge


def hide(exchange: Exchange, places: tuple[frozenset[bytes], frozenset[str]]) -> None:
    """Take credentials out of what is forwarded: headers, and parameters of the query and the target."""
    headers, parameters = places
    exchange.headers = [item for item in exchange.headers if item[0] not in headers]
    if parameters and exchange.query:
        exchange.query = _without(exchange.query, parameters)
        path, question, query = exchange.target.partition("?")
        if question:
            left = _without(query, parameters)
            exchange.target = f"{path}?{left}" if left else path


def _without(query: str, parameters: frozenset[str]) -> str:
    return "&".join(part for part in query.split("&") if parameter_name(part) not in parameters)
