"""Everything that can go wrong with a forwarded call, and the one set of codes it is told in.

GatewayError
├── Refused          the gateway says no: nothing was sent
├── UpstreamError    the call left, or tried to: `sent` says how far it came
└── ConfigError      a configuration that cannot serve (see `gateway.config`)
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class GatewayError(Exception):
    """Base of every error the gateway raises on purpose."""


class Sent(StrEnum):
    """Did the upstream get the call? `unknown` on a bet is what makes a rollback necessary."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Code(NamedTuple):
    """One error code: the status it is answered with, its title, and whether it is temporary."""

    status: int
    title: str
    temporary: bool = False
    """True where the same call may do better later."""


CODES: dict[str, Code] = {
    # What the gateway itself answers.
    "BAD_REQUEST": Code(400, "The request is malformed"),
    "UNAUTHENTICATED": Code(401, "Credentials are missing or wrong"),
    "REPLAYED": Code(401, "The request was seen before"),
    "FORBIDDEN": Code(403, "The caller may not do this"),
    "IP_NOT_ALLOWED": Code(403, "The caller's address is not allowed"),
    "HTTPS_REQUIRED": Code(403, "The route refuses plain HTTP"),
    "ROUTE_NOT_FOUND": Code(404, "No route matches"),
    "METHOD_NOT_ALLOWED": Code(405, "The route does not take this method"),
    "REQUEST_TIMEOUT": Code(408, "The request did not arrive in time", temporary=True),
    "BODY_TOO_LARGE": Code(413, "The body is larger than the route takes"),
    "URI_TOO_LONG": Code(414, "The request target is too long"),
    "RATE_LIMITED": Code(429, "Too many calls", temporary=True),
    "HEADERS_TOO_LARGE": Code(431, "The request head is too large"),
    "INTERNAL": Code(500, "The gateway failed"),
    "NOT_IMPLEMENTED": Code(501, "The gateway does not support this"),
    "UPSTREAM_UNREACHABLE": Code(502, "The upstream cannot be reached", temporary=True),
    "UPSTREAM_INVALID": Code(502, "The upstream gave no valid HTTP answer", temporary=True),
    "BUSY": Code(503, "Too many calls are in flight", temporary=True),
    "CIRCUIT_OPEN": Code(503, "The upstream is failing; calls to it are paused", temporary=True),
    "UPSTREAM_TIMEOUT": Code(504, "The upstream did not answer in time", temporary=True),
    # What providers and platforms answer, in one vocabulary.
    "OK": Code(200, "Done"),
    "DUPLICATE_OK": Code(200, "Done before"),
    "INSUFFICIENT_FUNDS": Code(402, "The player's balance does not cover the bet"),
    "PLAYER_NOT_FOUND": Code(404, "The player is unknown"),
    "PLAYER_BLOCKED": Code(403, "The player is blocked"),
    "SESSION_INVALID": Code(401, "The session is unknown"),
    "SESSION_EXPIRED": Code(401, "The session has ended"),
    "SIGNATURE_INVALID": Code(401, "The signature is wrong"),
    "PARTNER_INVALID": Code(403, "The operator or partner account is wrong"),
    "AMOUNT_INVALID": Code(422, "The amount is not valid"),
    "CURRENCY_INVALID": Code(422, "The currency is not valid here"),
    "GAME_UNAVAILABLE": Code(404, "The game is not available"),
    "BET_NOT_ALLOWED": Code(403, "The bet is not allowed"),
    "LIMIT_STAKE": Code(403, "A stake limit is reached"),
    "LIMIT_LOSS": Code(403, "A loss limit is reached"),
    "LIMIT_TIME": Code(403, "A time limit is reached"),
    "LIMIT_COUNT": Code(403, "A limit on the number of bets is reached"),
    "TX_NOT_FOUND": Code(404, "The transaction is unknown"),
    "TX_CONFLICT": Code(409, "The transaction id was used for something else"),
    "TX_CANCELLED": Code(409, "The transaction was cancelled"),
    "ROUND_CLOSED": Code(409, "The round is closed"),
    "PARENT_FAILED": Code(409, "The transaction this one refers to failed"),
    "ROLLBACK_REFUSED": Code(409, "The transaction can no longer be rolled back"),
    "ALREADY_ROLLED_BACK": Code(409, "The transaction was rolled back before"),
    "REALITY_CHECK": Code(403, "The player must confirm a reality check"),
    "SELF_EXCLUDED": Code(403, "The player is self-excluded"),
    "NOT_VERIFIED": Code(403, "The player is not verified"),
    "UNDERAGE": Code(403, "The player is under age"),
    "TEMPORARY": Code(502, "The provider failed for now", temporary=True),
    "FINAL": Code(502, "The provider failed for good"),
    "MAINTENANCE": Code(503, "The provider is under maintenance", temporary=True),
}
"""Code → its meaning. Codes of providers and platforms are canonical across all dialects."""

UPSTREAM_CODES = frozenset({"UPSTREAM_UNREACHABLE", "UPSTREAM_INVALID", "UPSTREAM_TIMEOUT"})
"""The codes an `UpstreamError` may carry."""


class Refused(GatewayError):  # noqa: N818 - a refusal is no error
    """The gateway answers this call itself; nothing was sent, so nothing can have taken effect."""

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        retry_after: float | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail
        self.headers = headers
        """Extra answer headers, lower-case names: `allow`, `www-authenticate`, `ratelimit`."""
        self.retry_after = retry_after
        """Seconds; answered as `Retry-After`, rounded up."""
        self.status = status
        """Answered instead of the code's own: 308 where `headers` say where to ask."""


class UpstreamError(GatewayError):
    """A forwarded call that got no usable answer."""

    def __init__(self, code: str, detail: str, *, sent: Sent, reason: str = "") -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        """UPSTREAM_UNREACHABLE, UPSTREAM_INVALID or UPSTREAM_TIMEOUT."""
        self.detail = detail
        self.sent = sent
        self.reason = reason
        """What happened in one word for metrics and spans: refused, reset, dns, tls, connect_timeout, ..."""
        self.headers: tuple[tuple[bytes, bytes], ...] = ()
        """Extra answer headers that a policy adds on the way out: `ratelimit`."""


@dataclass(frozen=True, slots=True)
class Native:
    """A provider's own words about an error, kept beside the canonical code."""

    code: str
    message: str
    status: int
