"""Where verification keys come from: YAML, or a URL that is asked seldom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.consumers import JwtVerification
from gateway.errors import GatewayError, Refused
from gateway.services import Services
from gateway.tokens.flight import Flights
from gateway.tokens.keys import PUBLIC_ALGORITHMS, VerificationKey, read_key, read_key_set

_RETRY_SECONDS = 1.0
"""Between two attempts while there are no keys at all: callers wait for nothing else."""


class KeySet(Protocol):
    """Keys to verify with."""

    generation: int
    """Changes whenever the keys do: what was verified with older ones is verified again."""

    def ready(self) -> bool:
        """Are there keys that may be used now? Starts a refresh in the background where one is due."""

    def find(self, algorithm: str, kid: str | None) -> Sequence[VerificationKey] | None:
        """The keys a token's header fits; none: it is refused; None: `fetch` first, then ask again."""

    async def fetch(self) -> None:
        """Get the keys. Raises Refused where there are none to be had."""


class FixedKey:
    """The one key that YAML holds."""

    def __init__(self, verification: JwtVerification) -> None:
        assert verification.key is not None
        self._keys = (read_key(verification.key.get_secret_value(), verification.algorithms),)
        self.generation = 0

    def ready(self) -> bool:
        return True

    def find(self, algorithm: str, kid: str | None) -> Sequence[VerificationKey] | None:
        return [key for key in self._keys if key.fits(algorithm, kid)]

    async def fetch(self) -> None:
        """Nothing to get."""


class PublishedKeys:
    """The keys that an issuer publishes (RFC 7517), fetched off the hot path.

    Three ages: fresh; stale, which serves while a refresh runs beside the call; and too old, which
    serves nobody. An unknown key id asks for a fetch, but two fetches are never closer than
    `jwks_interval`, so callers who make ids up cannot flood the issuer, nor fill any memory here.
    """

    def __init__(self, verification: JwtVerification, services: Services) -> None:
        assert verification.jwks is not None
        self._url = verification.jwks
        self._settings = verification
        self._control, self._clock = services.control, services.clock
        self._fetches = services.metrics.counter(
            "gateway_jwks_fetches_total", "Key sets asked for, by result.", ("result",)
        )
        self._flights: Flights[None] = Flights()
        self._keys: tuple[VerificationKey, ...] = ()
        self._body = b""
        self._fetched: float | None = None
        self._tried: float | None = None
        self.generation = 0

    def ready(self) -> bool:
        if self._fetched is None:
            return False
        age = self._clock.now() - self._fetched
        if age < self._settings.jwks_ttl:
            return True
        if age >= self._settings.jwks_ttl + self._settings.jwks_stale:
            return False
        if self._may_fetch(self._settings.jwks_interval):
            self._flights.start("", self._fetch)
        return True

    def find(self, algorithm: str, kid: str | None) -> Sequence[VerificationKey] | None:
        if not self.ready():
            return None
        if algorithm not in PUBLIC_ALGORITHMS:  # no fetch brings a key for `none`, or a secret
            return ()
        found = [key for key in self._keys if key.fits(algorithm, kid)]
        if found or (not self._flights and not self._may_fetch(self._settings.jwks_interval)):
            return found
        return None

    async def fetch(self) -> None:
        known = self.ready()
        least = self._settings.jwks_interval if known else min(_RETRY_SECONDS, self._settings.jwks_interval)
        if self._flights or self._may_fetch(least):
            await self._flights.join("", self._fetch)
        if not self.ready():
            raise Refused(
                "UPSTREAM_UNREACHABLE",
                "the keys that tokens are verified with cannot be had",
                retry_after=_RETRY_SECONDS,
            )

    def _may_fetch(self, least: float) -> bool:
        return self._tried is None or self._clock.now() - self._tried >= least

    async def _fetch(self) -> None:
        self._tried = self._clock.now()
        try:
            answer = await self._control.request("GET", self._url, headers={"accept": "application/json"})
            if answer.status != 200:
                raise ValueError(f"status {answer.status}")
            keys = read_key_set(answer.body, self._settings.algorithms)
        except (GatewayError, ValueError):  # the keys at hand serve on, for as long as they may
            self._fetches.add(("failed",))
            return
        self._fetches.add(("ok",))
        self._fetched = self._clock.now()
        if answer.body != self._body:
            self._body, self._keys = answer.body, keys
            self.generation += 1

    def __repr__(self) -> str:
        return f"<PublishedKeys {len(self._keys)} keys, generation {self.generation}>"


def make_key_set(verification: JwtVerification, services: Services) -> KeySet:
    """The keys that YAML names. ValueError where `key` is unusable."""
    return FixedKey(verification) if verification.key is not None else PublishedKeys(verification, services)
