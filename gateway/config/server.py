"""What `routes.yaml` may say about the gateway itself: `server:`."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated

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
from gateway.units import Duration, Secret, Size


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
