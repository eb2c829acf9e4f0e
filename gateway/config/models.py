"""What `routes.yaml` may say, as frozen models. Policies, upstreams and credentials bring their own."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
)

from gateway.audit.settings import AuditConfig
from gateway.config.paths import check_path, check_rewrite
from gateway.config.server import ServerConfig, Settings
from gateway.config.telemetry import TelemetryConfig
from gateway.consumers import ConsumerConfig, CredentialConfig
from gateway.mistakes import Mistake
from gateway.networks import Network
from gateway.units import RateText, Secret, Size
from gateway.upstream.settings import UpstreamConfig

_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]")
_METHOD = re.compile(r"[A-Z][A-Z-]*")
_REFUSED_METHODS = frozenset({"CONNECT", "TRACE"})


def _check_host(host: object) -> object:
    if isinstance(host, str) and not _HOST.fullmatch(host.lower()):
        mend = (
            "list each host in a route of its own"
            if "*" in host
            else "write it like games.example, without port"
        )
        raise Mistake(f"{host!r} is not a host name", mend)
    return host.lower() if isinstance(host, str) else host


def _check_method(method: object) -> object:
    if isinstance(method, str):
        if not _METHOD.fullmatch(method):
            raise Mistake(f"{method!r} is not a method", "write an upper-case word, like GET or POST")
        if method in _REFUSED_METHODS:
            raise Mistake(f"{method} is never forwarded", "remove it")
    return method


def _is_valkey(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    if parts.scheme == "unix":
        return not parts.netloc and len(parts.path) > 1
    place = bool(parts.hostname and port) and re.fullmatch(r"(/\d*)?", parts.path) is not None
    return place and parts.scheme in ("valkey", "valkeys")


def _check_state(url: str) -> str:
    if url == "memory" or _is_valkey(url):
        return url
    if url.startswith(("redis://", "rediss://")):
        kept = "state is kept in Valkey, which speaks Redis's protocol"
        raise Mistake(kept, "write valkey://host:port/database, with valkeys:// for TLS")
    raise Mistake("state is kept in `memory` or in Valkey", "write valkey://host:port/database")


def _check_journal(url: str) -> str:
    if not re.match(r"(sqlite:///|postgresql://)", url):
        raise Mistake(
            "the journal is SQLite or PostgreSQL", "write sqlite:///journal.db or postgresql://host/database"
        )
    return url


Name = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100),
    Field(examples=["aurora-games"]),
]
"""Letters, digits, `.`, `_` and `-`."""
Host = Annotated[str, BeforeValidator(_check_host)]
Method = Annotated[str, BeforeValidator(_check_method)]


class AccountConfig(Settings):
    """One of our accounts at a provider: one per brand or currency."""

    id: str
    """The account's name at the provider."""
    brand: str | None = None
    """The brand it serves."""
    currency: str | None = None
    """The currency it holds, ISO 4217."""
    verify: Secret | None = None
    """The key that verifies what the provider signs."""
    sign: Secret | None = None
    """The key that signs what we send."""


class QuotaConfig(Settings):
    """How many calls a provider takes."""

    rate: RateText
    """Calls per period."""
    on: str | None = None
    """The operation it holds for; all of them without it."""


class ProviderConfig(Settings):
    """Everything about one provider in one place."""

    dialect: Name | None = None
    """How it speaks: a file in `policies/dialects/`. No effect in this version."""
    upstream: Name | None = None
    """The upstream that reaches it."""
    mode: Literal["sandbox", "live"] = "sandbox"
    """Which of its environments this is. No effect in this version."""
    accept: Literal["all", "settle_only", "none"] = "all"
    """Which of its wallet calls are taken: `settle_only` refuses new bets. No effect in this version."""
    accounts: tuple[AccountConfig, ...] = ()
    """Our accounts there. No effect in this version."""
    credentials: tuple[CredentialConfig, ...] = ()
    """How its callbacks prove who they are; any one of these does."""
    networks: tuple[Network, ...] = ()
    """Where its callbacks come from; empty for anywhere."""
    launch_hosts: tuple[Host, ...] = ()
    """The hosts its games are launched from. No effect in this version."""
    quota: tuple[QuotaConfig, ...] = ()
    """The call rates it publishes. No effect in this version: hold them with `rate_limit`."""
    contacts: dict[str, str] = Field(default={})
    """Whom to ask: a word → an address, `support: "mailto:ops@aurora.example"`."""


class MatchConfig(Settings):
    """Which requests a route takes."""

    methods: Annotated[frozenset[Method], Field(min_length=1, examples=[["GET"]])]
    """Methods; GET answers HEAD too."""
    path: Annotated[str, AfterValidator(check_path), Field(examples=["/aurora/games"])]
    """An exact path; `:name` stands for one segment, a final `/*` for all that follows."""
    host: Host | None = None
    """The host asked for, without port; any without it."""


class RouteLimitsConfig(Settings):
    """Limits of one route's own."""

    body: Size | None = None
    """The largest request body; the server's limit without it."""


class RouteConfig(Settings):
    """Which requests go to which upstream, under which policies."""

    name: Name
    """As logs, metrics and traces call it."""
    match: MatchConfig
    """Which requests it takes."""
    provider: Name | None = None
    """The provider it belongs to."""
    upstream: Annotated[Name, Field(examples=["aurora"])]
    """Where its calls go."""
    rewrite: Annotated[str, AfterValidator(check_rewrite)] | None = None
    """The path as forwarded, where it is another; `:name` and a final `/*` stand for what was matched."""
    policies: tuple[Any, ...] = Field(default=(), repr=False)
    """Names of policy lists and inline policies, outermost first."""
    limits: RouteLimitsConfig = RouteLimitsConfig()
    """Limits of its own."""
    require_tls: bool | Literal["redirect"] = False
    """Refuse plain HTTP. `redirect`, for public routes, sends GET and HEAD on to HTTPS instead (308)."""
    stream: bool = False
    """Deadlines end at the head of the answer: for downloads, server-sent events and WebSocket."""


class RoutesFile(Settings):
    """The whole of `routes.yaml`."""

    version: Literal[1]
    """The form of this file: 1."""
    consumers: dict[Name, ConsumerConfig] = Field(default={})
    """Who calls, other than providers."""
    providers: dict[Name, ProviderConfig] = Field(default={})
    """Everything about each provider."""
    upstreams: dict[Name, UpstreamConfig] = Field(default={})
    """Where calls go."""
    routes: tuple[RouteConfig, ...] = ()
    """Which requests go where, under which policies."""
    server: ServerConfig = ServerConfig()
    """The edge."""
    telemetry: TelemetryConfig = TelemetryConfig()
    """Traces and logs."""
    audit: AuditConfig | None = None
    """The append-only record of who called what, and of all that was changed; none is kept without it."""
    state: Annotated[str, AfterValidator(_check_state)] = Field(default="memory", repr=False)
    """Where limits and caches keep what they share: `memory`, or Valkey at `valkey://host:port/database`;
    `valkeys://` over TLS, `unix:///path` through a socket."""
    journal: Annotated[str, AfterValidator(_check_journal)] = Field(
        default="sqlite:///journal.db", repr=False
    )
    """Where money transactions are recorded. No effect in this version."""
