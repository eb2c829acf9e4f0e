"""OAuth2 token introspection (RFC 7662): the issuer is asked whether a token is good."""

from __future__ import annotations

import json
from math import isfinite
from typing import Literal

from pydantic import Field

from gateway.consumers import FilledSecret, Settings, Url
from gateway.errors import Refused, UpstreamError
from gateway.services import Answer, Services
from gateway.tokens import InvalidCredential
from gateway.tokens.client_auth import client_auth
from gateway.tokens.flight import Flights
from gateway.tokens.jwt import check_audience
from gateway.tokens.memo import Memo
from gateway.tokens.owners import Claims
from gateway.units import Duration


class IntrospectionAccept(Settings):
    """An opaque token as `Authorization: Bearer`, which its issuer is asked about (RFC 7662)."""

    url: Url
    """The introspection endpoint."""
    client_id: str
    """Who we are to the endpoint."""
    client_secret: FilledSecret
    """Our secret there."""
    client_auth: Literal["basic", "body"] = "basic"
    """How we prove ourselves to the endpoint: HTTP Basic, or fields of the form."""
    issuer: str | None = None
    """What `iss` of the answer must be."""
    audience: tuple[str, ...] = ()
    """`aud` of the answer must hold one of these; without any, `aud` is not looked at."""
    ttl: Duration = Field(default=30.0, ge=0)
    """How long a token counts as active without asking again: the longest a revocation goes unnoticed."""
    negative_ttl: Duration = Field(default=5.0, ge=0)
    """How long a token counts as inactive without asking again."""
    max_in_flight: int = Field(default=100, ge=1)
    """Questions under way at once; one more is refused with BUSY, so that no flood reaches the issuer."""
    timeout: Duration = Field(default=2.0, gt=0)
    """How long the endpoint may take."""


class Introspector:
    """Asks one endpoint about tokens, at most once at a time per token, and remembers what it says.

    Neither a silent endpoint nor one that refuses *us* says anything about the caller's token: such
    calls are refused as UPSTREAM_UNREACHABLE or UPSTREAM_INVALID, never as UNAUTHENTICATED, and no
    older answer stands in, since it could hide a revocation.
    """

    def __init__(self, settings: IntrospectionAccept, services: Services) -> None:
        self.settings = settings
        self._control, self._clock = services.control, services.clock
        self._form, self._auth = client_auth(settings.client_auth, settings.client_id, settings.client_secret)
        self._asked = services.metrics.counter(
            "gateway_introspections_total", "Tokens asked about, by result.", ("result",)
        )
        self._known: Memo[Claims] = Memo()
        self._flights: Flights[Claims] = Flights()

    def recall(self, digest: bytes) -> Claims | None:
        """What the endpoint said of a token; None where it must be asked. InvalidCredential if inactive."""
        claims = self._known.get(digest, self._clock.time())
        return None if claims is None else self._check(claims)

    async def ask(self, digest: bytes, token: bytes) -> Claims:
        """What the endpoint says of a token. InvalidCredential if inactive, Refused where it says nothing."""
        if digest not in self._flights and len(self._flights) >= self.settings.max_in_flight:
            raise Refused("BUSY", "too many tokens are being checked", retry_after=1)
        return self._check(await self._flights.join(digest, lambda: self._ask(digest, token)))

    async def _ask(self, digest: bytes, token: bytes) -> Claims:
        try:
            answer = await self._control.request(
                "POST",
                self.settings.url,
                headers={"accept": "application/json"},
                form={"token": token.decode("latin-1"), "token_type_hint": "access_token", **self._form},
                auth=self._auth,
                timeout=self.settings.timeout,
            )
        except UpstreamError:
            self._asked.add(("failed",))
            raise Refused(
                "UPSTREAM_UNREACHABLE", "the issuer of the token cannot be asked", retry_after=1
            ) from None
        claims = self._read(answer)
        now = self._clock.time()
        if claims["active"]:
            self._asked.add(("active",))
            until = now + self.settings.ttl
            self._known.put(digest, claims, min(until, _time(claims, "exp", until)))
        else:
            self._asked.add(("inactive",))
            self._known.put(digest, claims, now + self.settings.negative_ttl)
        return claims

    def _read(self, answer: Answer) -> Claims:
        try:
            claims = json.loads(answer.body) if answer.status == 200 else None
        except (ValueError, RecursionError):
            claims = None
        if not isinstance(claims, dict) or not isinstance(claims.get("active"), bool):
            self._asked.add(("failed",))
            code = "UPSTREAM_UNREACHABLE" if answer.status >= 500 else "UPSTREAM_INVALID"
            raise Refused(code, "the issuer of the token gave no valid answer about it", retry_after=1)
        return claims

    def _check(self, claims: Claims) -> Claims:
        now = self._clock.time()
        if not claims["active"] or now >= _time(claims, "exp", now + 1) or now < _time(claims, "nbf", now):
            raise InvalidCredential("the token is not active")
        if self.settings.issuer is not None and claims.get("iss") != self.settings.issuer:
            raise InvalidCredential("the token is from another issuer")
        if self.settings.audience:
            check_audience(claims.get("aud"), self.settings.audience)
        return claims

    def __repr__(self) -> str:
        return f"<Introspector {len(self._known)} known, {len(self._flights)} under way>"


def _time(claims: Claims, name: str, otherwise: float) -> float:
    """A NumericDate, Unix seconds. InvalidCredential for what is no finite number."""
    value = claims.get(name)
    if value is None:
        return otherwise
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise InvalidCredential(f"the token's {name} is not a time")
    return float(value)
