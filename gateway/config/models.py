"""What `routes.yaml` may say, as frozen models. Policies, upstreams and credentials bring their own."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from gateway.config.paths import check_path, check_rewrite
from gateway.consumers import ConsumerConfig, CredentialConfig
from gateway.networks import Network
from gateway.units import Duration, Percent, RateText, Secret, Size
from gateway.upstream.settings import UpstreamConfig

_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]")
_METHOD = re.compile(r"[A-Z][A-Z-]*")
_REFUSED_METHODS = frozenset({"CONNECT", "TRACE"})


def _check_host(host: object) -> object:
    if isinstance(host, str) and not _HOST.fullmatch(host.lower()):
        mend = "list each host in a route of its own" if "*" in host else "write it like games.example, without port"
        raise ValueError(f"{host!r} is not a host name: {mend}")
    return host.lower() if isinstance(host, str) else host


def _check_method(method: object) -> object:
    if isinstance(method, str):
        if not _METHOD.fullmatch(method):
            raise ValueError(f"{method!r} is not a method: methods are upper-case words, like GET or POST")
        if method in _REFUSED_METHODS:
            raise ValueError(f"{method} is never forwarded: remove it")
    return method


def _check_state(url: str) -> str:
    if url != "memory" and not re.match(r"(valkey|valkeys|redis|rediss|unix)://.", url):
        raise ValueError("state is kept in `memory` or in Valkey: write valkey://host:port/database")
    return url


def _check_journal(url: str) -> str:
    if not re.match(r"(sqlite:///|postgresql://)", url):
        raise ValueError("the journal is SQLite or PostgreSQL: write sqlite:///journal.db or postgresql://host/database")
    return url


Name = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
]
"""Letters, digits, `.`, `_` and `-`."""
Host = Annotated[str, BeforeValidator(_check_host)]
Method = Annotated[str, BeforeValidator(_check_method)]


class Settings(BaseModel):
    """Base of all models here: frozen, and strict about keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


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
    contacts: dict[str, str] = {}
    """Whom to ask: a word → an address, `support: "mailto:ops@aurora.example"`."""


class MatchConfig(Settings):
    """Which requests a route takes."""

    methods: Annotated[frozenset[Method], Field(min_length=1)]
    """Methods; GET answers HEAD too."""
    path: Annotated[str, AfterValidator(check_path)]
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
    upstream: Name
    """Where its calls go."""
    rewrite: Annotated[str, AfterValidator(check_rewrite)] | None = None
    """The path as forwarded, where it is another; `:name` and a final `/*` stand for what was matched."""
    policies: tuple[Any, ...] = ()
    """Names of policy lists and inline policies, outermost first."""
    limits: RouteLimitsConfig = RouteLimitsConfig()
    """Limits of its own."""
    require_tls: bool = False
    """Refuse plain HTTP."""
    stream: bool = False
    """Deadlines end at the head of the answer: for downloads, server-sent events and WebSocket."""

    @model_validator(mode="after")
    def _placeholders(self) -> Self:
        if self.rewrite is not None:
            check_rewrite(self.rewrite, self.match.path)
        return self


class TlsConfig(Settings):
    """The certificate the gateway shows, and which it asks for."""

    certificate: str
    """Path of the certificate chain, PEM, relative to the configuration file."""
    key: str
    """Path of the private key, PEM."""
    client_ca: str | None = None
    """Path of the authorities that clients' certificates must come from; none are asked for without it."""


class ServerLimitsConfig(Settings):
    """What a request may cost before any route is known."""

    head: Size = 32 * 1024
    """Request line and headers together."""
    headers: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Number of headers."""
    target: Size = 8 * 1024
    """Path and query."""
    body: Size = 1024 * 1024
    """Request body; a route may say otherwise."""
    head_timeout: Annotated[Duration, Field(gt=0)] = 5.0
    """For the whole head."""
    body_timeout: Annotated[Duration, Field(gt=0)] = 10.0
    """Between two pieces of a body."""
    idle_timeout: Annotated[Duration, Field(gt=0)] = 60.0
    """Between two requests of a connection."""
    write_timeout: Annotated[Duration, Field(gt=0)] = 30.0
    """For a caller that does not read its answer."""
    connections: Annotated[int, Field(ge=1)] = 10_000
    """Open connections in all."""
    connections_per_client: Annotated[int, Field(ge=1)] = 1_000
    """Open connections per client address."""


class DrainConfig(Settings):
    """How the gateway stops."""

    delay: Annotated[Duration, Field(ge=0)] = 5.0
    """After SIGTERM, how long new calls are still taken, for load balancers to notice."""
    grace: Annotated[Duration, Field(ge=0)] = 30.0
    """After that, how long calls under way may take to end."""


class AdminConfig(Settings):
    """The admin port."""

    token: Secret | None = None
    """What callers of the admin port show as bearer token; needed where it is reachable from outside."""


class ServerConfig(Settings):
    """The edge: where the gateway listens and what it takes."""

    host: str = "127.0.0.1"
    """The address to listen on; `0.0.0.0` or `::` for all."""
    trusted_proxies: tuple[Network, ...] = ()
    """Who may say what the client's address is."""
    tls: TlsConfig | None = None
    """HTTPS instead of HTTP."""
    limits: ServerLimitsConfig = ServerLimitsConfig()
    """What a request may cost."""
    drain: DrainConfig = DrainConfig()
    """How it stops."""
    admin: AdminConfig = AdminConfig()
    """The admin port."""
    state_dir: str = "var"
    """Where files of its own are kept, relative to the configuration file."""

    @model_validator(mode="after")
    def _address(self) -> Self:
        try:
            ip_address(self.host)
        except ValueError:
            if self.host != "localhost":
                raise ValueError(
                    f"server.host {self.host!r} is not an address: write one like 127.0.0.1, 0.0.0.0 or ::"
                ) from None
        return self


class TracesConfig(Settings):
    """Where traces go."""

    endpoint: str | None = None
    """URL of an OTLP http/protobuf receiver, `http://127.0.0.1:4318/v1/traces`; kept in memory without it."""
    headers: dict[str, Secret] = {}
    """Headers of the export, for a collector that wants a key."""
    sample: Percent = 1.0
    """The share of new traces that is recorded."""

    @model_validator(mode="after")
    def _url(self) -> Self:
        if self.endpoint is not None and not re.match(r"https?://[^/@\s]+(/\S*)?$", self.endpoint):
            raise ValueError("traces.endpoint is not a URL: write it like http://127.0.0.1:4318/v1/traces")
        return self


class LogsConfig(Settings):
    """What is written to standard output."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe messages shown."""
    format: Literal["json", "text"] = "json"
    """One JSON object per line, or text for people."""


class TelemetryConfig(Settings):
    """What the gateway tells about itself."""

    traces: TracesConfig = TracesConfig()
    """Traces of forwarded calls."""
    logs: LogsConfig = LogsConfig()
    """Access log and messages."""


class RoutesFile(Settings):
    """The whole of `routes.yaml`."""

    version: Literal[1]
    """The form of this file: 1."""
    consumers: dict[Name, ConsumerConfig] = {}
    """Who calls, other than providers."""
    providers: dict[Name, ProviderConfig] = {}
    """Everything about each provider."""
    upstreams: dict[Name, UpstreamConfig] = {}
    """Where calls go."""
    routes: tuple[RouteConfig, ...] = ()
    """Which requests go where, under which policies."""
    server: ServerConfig = ServerConfig()
    """The edge."""
    telemetry: TelemetryConfig = TelemetryConfig()
    """Traces and logs."""
    state: Annotated[str, AfterValidator(_check_state)] = Field(default="memory", repr=False)
    """Where limits, breakers and caches keep what they share: `memory` or `valkey://host:port/database`."""
    journal: Annotated[str, AfterValidator(_check_journal)] = Field(default="sqlite:///journal.db", repr=False)
    """Where money transactions are recorded. No effect in this version."""
