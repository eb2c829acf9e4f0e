"""Tokens that an OAuth2 endpoint issues to us for what we are (RFC 6749 §4.4)."""

from __future__ import annotations

import json
import re
from math import isfinite
from typing import Any, Literal

from pydantic import Field

from gateway.consumers import FilledSecret, Settings, Url
from gateway.errors import Sent, UpstreamError
from gateway.services import Answer, Services
from gateway.tokens.client_auth import client_auth
from gateway.tokens.flight import Flights
from gateway.units import Duration

_BACK_OFF_SECONDS = 1.0
"""After a failure, nobody asks the endpoint again for this long."""
_YOUNG_SECONDS = 10.0
"""An upstream that refuses a token this young, fetched because it refused the one before, means us."""
_TOKEN = re.compile(r"[\x21-\x7e]+")
_ERROR = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]{1,64}")
"""RFC 6749 §5.2: what `error` may look like."""


class ClientCredentials(Settings):
    """A token from an OAuth2 token endpoint (RFC 6749 §4.4), refreshed early."""

    token_url: Url
    """The token endpoint."""
    client_id: str
    """Who we are to it."""
    client_secret: FilledSecret
    """Our secret there."""
    scope: str | None = None
    """What is asked for, space-separated, as the endpoint knows it."""
    audience: str | None = None
    """For endpoints that ask for one."""
    client_auth: Literal["basic", "body"] = "basic"
    """How we prove ourselves to the endpoint: HTTP Basic, or fields of the form."""
    lifetime: Duration = Field(default=300.0, gt=0)
    """How long a token is used whose lifetime the endpoint does not tell."""
    timeout: Duration = Field(default=5.0, gt=0)
    """How long the endpoint may take."""


class TokenSource:
    """The current token of one client, fetched once for everybody.

    It is refreshed at 80 % of its lifetime, or 30 s before its end where that is sooner, beside the
    calls: they go on with the old one while it lasts. Only without a valid token do calls wait.
    """

    def __init__(self, settings: ClientCredentials, services: Services) -> None:
        self.settings = settings
        self._control, self._clock = services.control, services.clock
        self._fetches = services.metrics.counter(
            "gateway_token_fetches_total", "OAuth2 tokens asked for, by result.", ("result",)
        )
        fields, self._auth = client_auth(settings.client_auth, settings.client_id, settings.client_secret)
        self._form = {"grant_type": "client_credentials", **fields}
        if settings.scope is not None:
            self._form["scope"] = settings.scope
        if settings.audience is not None:
            self._form["audience"] = settings.audience
        self._flights: Flights[bytes] = Flights()
        self._token = b""
        self._refresh_at = self._expires_at = self._blocked_until = float("-inf")
        self._fetched_at = self._believed_until = float("-inf")

    def current(self) -> bytes | None:
        """The valid token, None where one must be fetched. Starts an early refresh where it is time."""
        now = self._clock.now()
        if now >= self._expires_at:
            return None
        if now >= self._refresh_at and now >= self._blocked_until:
            self._flights.start("", self._fetch)
        return self._token

    async def fetch(self) -> bytes:
        """A valid token, fetched where there is none. UpstreamError where none can be had."""
        token = self.current()
        if token is not None:
            return token
        if not self._flights and self._clock.now() < self._blocked_until:
            raise _failed("asked a moment ago, in vain", Sent.NO)
        return await self._flights.join("", self._fetch)

    async def replace(self, refused: bytes) -> bytes | None:
        """Another token than the one the upstream refused; None where there is no use in trying.

        Whoever comes first throws it away and fetches; the others find a newer one, or wait for it.
        An upstream that also refuses the new one is believed, or each of its 401s would cost the
        endpoint a token.
        """
        if refused == self._token:
            if self._clock.now() < self._believed_until:
                return None
            self._expires_at = float("-inf")
        try:
            token = await self.fetch()
        except UpstreamError:
            return None
        self._believed_until = max(self._believed_until, self._fetched_at + _YOUNG_SECONDS)
        return token if token != refused else None

    async def _fetch(self) -> bytes:
        try:
            answer = await self._control.request(
                "POST",
                self.settings.token_url,
                headers={"accept": "application/json"},
                form=self._form,
                auth=self._auth,
                timeout=self.settings.timeout,
            )
            token, lifetime = self._read(answer)
        except UpstreamError as error:
            self._fetches.add(("failed",))
            self._blocked_until = self._clock.now() + _BACK_OFF_SECONDS
            raise _failed(error.detail, Sent.NO) from None
        self._fetches.add(("ok",))
        now = self._clock.now()
        self._token, self._fetched_at = token, now
        self._expires_at = now + lifetime
        self._refresh_at = now + max(lifetime / 2, min(lifetime * 0.8, lifetime - 30))
        return token

    def _read(self, answer: Answer) -> tuple[bytes, float]:
        """(token, lifetime in seconds) of RFC 6749 §5.1; UpstreamError for all else."""
        try:
            document: Any = json.loads(answer.body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            document = {}
        if answer.status != 200:
            error = document.get("error")
            known = error if isinstance(error, str) and _ERROR.fullmatch(error) else f"status {answer.status}"
            raise _failed(f"it answered {known}", Sent.YES)
        token, kind = document.get("access_token"), document.get("token_type", "bearer")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise _failed("its answer holds no usable access_token", Sent.YES)
        if not isinstance(kind, str) or kind.lower() != "bearer":
            raise _failed("its token is not of the type bearer", Sent.YES)
        return token.encode(), self._lifetime(document.get("expires_in"))

    def _lifetime(self, told: object) -> float:
        """Seconds. Some endpoints write the number as text; what makes no sense counts as not told."""
        try:
            seconds = float(told) if isinstance(told, str | int | float) else self.settings.lifetime
        except ValueError:
            return self.settings.lifetime
        return seconds if isfinite(seconds) and seconds > 0 else self.settings.lifetime

    def __repr__(self) -> str:
        left = self._expires_at - self._clock.now()
        return f"<TokenSource {'no token' if left <= 0 else f'token for {left:.0f} s more'}>"


def _failed(why: str, sent: Sent) -> UpstreamError:
    return UpstreamError(
        "UPSTREAM_UNREACHABLE", f"The token endpoint gave no token: {why}", sent=sent, reason="token"
    )
