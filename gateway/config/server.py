"""What `routes.yaml` may say about the gateway itself: `server:` and `telemetry:`."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from gateway.consumers import HeaderName
from gateway.mistakes import Mistake
from gateway.networks import Network
from gateway.observer.masking import MaskSettings, bare, is_personal
from gateway.units import Duration, Percent, Secret, Size


class Settings(BaseModel):
    """Base of all models here: frozen, and strict about keys."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True
    )


class TlsConfig(Settings):
    """The certificate the gateway shows, and which it asks for."""

    certificate: str
    """Path of the certificate chain, PEM, relative to the configuration file."""
    key: str
    """Path of the private key, PEM."""
    client_ca: str | None = None
    """Path of the authorities that clients' certificates must come from; none are asked for without it."""
    plain_port: Annotated[int, Field(ge=0, le=65_535)] | None = None
    """Listen for plain HTTP too, on this port of `host`: routes with `require_tls` refuse or redirect there,
    the others serve. 0 for a free one."""

    @property
    def files(self) -> dict[str, str]:
        """Key → path, of those that are given."""
        paths = {"certificate": self.certificate, "key": self.key, "client_ca": self.client_ca}
        return {key: path for key, path in paths.items() if path is not None}


class HstsConfig(Settings):
    """What browsers are told to do (RFC 6797): use HTTPS with this host, whatever a link says."""

    max_age: Annotated[Duration, Field(ge=0)]
    """For how long after each answer; `0s` takes it back."""
    include_subdomains: bool = False
    """With the host's subdomains too."""


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
    """Open connections per client address; `trusted_proxies`, which carry many clients, are exempt."""


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
    previous_token: Secret | None = None
    """Another one that is taken too, while callers change over to a new `token`."""
    open_metrics: bool = False
    """Let everybody who reaches the admin port read `/metrics`, without a token."""

    @field_validator("token", "previous_token")
    @classmethod
    def _usable(cls, token: SecretStr | None) -> SecretStr | None:
        text = "x" if token is None else token.get_secret_value()
        if not text.strip():
            raise Mistake("the admin token is empty", "is its environment variable or file empty?")
        if text != text.strip() or any(not " " <= char < "\x7f" for char in text):
            raise Mistake(
                "the admin token holds what no header carries as it is",
                "use printable ASCII, without spaces or line ends around it",
            )
        return token

    @model_validator(mode="after")
    def _in_order(self) -> AdminConfig:
        if self.previous_token is not None and self.token is None:
            raise Mistake(
                "previous_token is taken beside token, and there is none",
                "call it token",
                at=("previous_token",),
            )
        return self

    @property
    def tokens(self) -> tuple[str, ...]:
        """All that are taken."""
        given = (self.token, self.previous_token)
        return tuple(token.get_secret_value() for token in given if token is not None)


_NO_CERTIFICATE = frozenset({"authorization", "cookie", "forwarded", "origin", "user-agent"})
"""Headers that mean something else, beside those that no credential may travel in."""


def _check_certificate_header(name: str) -> str:
    if name in _NO_CERTIFICATE:
        raise Mistake(f"{name} means something else", "name a header of its own, like client-cert")
    if "_" in name:
        raise Mistake(f"{name} holds _, and such headers never pass", "write it with -, like client-cert")
    return name


CertificateHeader = Annotated[HeaderName, AfterValidator(_check_certificate_header)]


class ServerConfig(Settings):
    """The edge: where the gateway listens and what it takes."""

    host: str = "127.0.0.1"
    """The address to listen on; `0.0.0.0` or `::` for all."""
    trusted_proxies: tuple[Network, ...] = ()
    """Who may say what the client's address is, and is exempt from `limits.connections_per_client`: load
    balancers, nobody else."""
    client_certificate_header: CertificateHeader | None = None
    """Header in which `trusted_proxies` tell the certificate of a caller whose TLS ends there: `client-cert`
    (RFC 9440). They must have verified it. Dropped from anybody else."""
    tls: TlsConfig | None = None
    """HTTPS instead of HTTP."""
    https_port: Annotated[int, Field(ge=1, le=65_535)] = 443
    """The port that redirects to HTTPS name, as callers reach it."""
    hsts: HstsConfig | None = None
    """Strict-Transport-Security, on what routes with `require_tls` answer over HTTPS."""
    limits: ServerLimitsConfig = ServerLimitsConfig()
    """What a request may cost."""
    drain: DrainConfig = DrainConfig()
    """How it stops."""
    admin: AdminConfig = AdminConfig()
    """The admin port."""
    state_dir: str = "var"
    """Where files of its own are kept, relative to the configuration file: the audit log."""

    @field_validator("host")
    @classmethod
    def _address(cls, host: str) -> str:
        try:
            ip_address(host)
        except ValueError:
            if host != "localhost":
                raise Mistake(
                    f"server.host {host!r} is not an address", "write one like 127.0.0.1, 0.0.0.0 or ::"
                ) from None
        return host


def _is_receiver(url: str) -> bool:
    if re.match(r"https?://[^/@\s]+(/\S*)?$", url) is None:
        return False
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # a bracket left open, a port that is none
        return False


_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""RFC 9110 §5.6.2."""
_EXPORTERS_OWN = frozenset({
    "connection", "content-encoding", "content-length", "content-type", "expect", "host", "keep-alive", "te",
    "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip


class TracesConfig(Settings):
    """Where traces go."""

    endpoint: str | None = None
    """URL of an OTLP http/protobuf receiver, `http://127.0.0.1:4318/v1/traces`; kept in memory without it."""
    headers: dict[str, Secret] = Field(default={})
    """Headers of the export, for a collector that wants a key."""
    sample: Percent | None = None
    """The share of new traces that is recorded; without it `OTEL_TRACES_SAMPLER` decides, else all are."""

    @field_validator("headers")
    @classmethod
    def _sendable(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        seen: set[str] = set()
        for name, value in headers.items():
            if not _HEADER_NAME.fullmatch(name):
                raise Mistake(f"{name!r} is not a header name", "use letters, digits and -", at=(name,))
            if name.lower() in _EXPORTERS_OWN:
                raise Mistake(f"{name} is written by the exporter itself", "leave it out", at=(name,))
            if name.lower() in seen:
                raise Mistake(f"{name} is there twice", "header names know no upper case", at=(name,))
            seen.add(name.lower())
            text = value.get_secret_value()
            if (
                text != text.strip(" \t")
                or any(char < " " and char != "\t" for char in text)
                or "\x7f" in text
            ):
                mend = "remove spaces, line breaks and the like around and in it"
                raise Mistake(
                    "a header value holds no control characters or spaces around it", mend, at=(name,)
                )
            if any(char > "\xff" for char in text):
                mend = "percent-encode the others"
                raise Mistake("a header value holds Latin-1 characters only", mend, at=(name,))
        return headers

    @field_validator("endpoint")
    @classmethod
    def _url(cls, endpoint: str | None) -> str | None:
        if endpoint is not None and not _is_receiver(endpoint):
            raise Mistake("traces.endpoint is not a URL", "write it like http://127.0.0.1:4318/v1/traces")
        return endpoint


class LogsConfig(Settings):
    """What is written to standard output."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe messages shown."""
    format: Literal["json", "text"] = "json"
    """One JSON object per line, or text for people."""
    access: bool = True
    """Write a line for every call. Without it only messages are written; traces and metrics stay."""


Attribute = Literal["client.address", "network.peer.address", "server.address", "user_agent.original"]


class MaskConfig(Settings):
    """A person's data that neither logs nor traces nor `gateway explain` show: `MASKED` stands for it."""

    parameters: tuple[str, ...] = ()
    """Names of query parameters and of `:name`s in paths, beside the well-known ones (see the page on
    secrets); upper and lower case, `-` and `_` make no difference."""
    show: tuple[str, ...] = ()
    """Well-known names whose values are shown all the same."""
    attributes: tuple[Attribute, ...] = ()
    """Span attributes masked as a whole; `client.address` in the access log, too."""
    emails: bool = True
    """Mask e-mail addresses wherever they stand."""
    card_numbers: bool = True
    """Mask what may be a card's number, wherever it stands: 13 to 19 digits that pass the Luhn check."""

    def rules(self) -> MaskSettings:
        """As whoever masks takes them."""
        return MaskSettings.read(self.model_dump())

    @field_validator("parameters", "show")
    @classmethod
    def _names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for index, name in enumerate(names):
            if not bare(name):
                raise Mistake(f"{name!r} is no name", "write it with letters or digits", at=(index,))
        return names

    @field_validator("show")
    @classmethod
    def _well_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for index, name in enumerate(names):
            if not is_personal(name):
                raise Mistake(f"nothing masks {name!r}", "remove it", at=(index,))
        return names


class TelemetryConfig(Settings):
    """What the gateway tells about itself."""

    traces: TracesConfig = TracesConfig()
    """Traces of forwarded calls."""
    logs: LogsConfig = LogsConfig()
    """Access log and messages."""
    mask: MaskConfig = MaskConfig()
    """Personal data."""

    def for_observer(self) -> dict[str, Any]:
        """These settings as plain data for the observer process, secrets shown: they go down a pipe."""
        settings: dict[str, Any] = self.model_dump(mode="json")
        settings["traces"]["headers"] = {
            name: value.get_secret_value() for name, value in self.traces.headers.items()
        }
        return settings
