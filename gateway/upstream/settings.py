"""What YAML may say about one upstream (`upstreams.NAME`): where it is and how long it may take."""

from __future__ import annotations

from binascii import a2b_base64
from hashlib import sha256
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_serializer,
    model_validator,
)

from gateway.mistakes import Mistake, shown_url
from gateway.units import Duration, Pem, PemSecret, Secret, format_duration, is_pem


def _check_url(url: str) -> str:
    """`http://host[:port][/prefix]` or https; the prefix loses its final slash. ValueError for all else."""
    if not url.isascii() or any(character <= " " or character in '\\"<>' for character in url):
        raise Mistake(f"{shown_url(url)} holds characters that a URL may not", "percent-encode them")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Mistake(
            f"{shown_url(url)} is not a URL ({error})",
            "write it like http://127.0.0.1:9201 or http://[::1]:9201",
        ) from None
    if parts.scheme not in ("http", "https"):
        raise Mistake(f"{shown_url(url)} is not a URL to call", "begin it with http:// or https://")
    if "@" in parts.netloc:
        raise Mistake("a target's URL may not hold credentials", "use the upstream_auth policy")
    if not parts.hostname or port == 0:
        raise Mistake(
            f"{shown_url(url)} names no host and port to connect to", "write it like http://127.0.0.1:9201"
        )
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise Mistake(
            f"{shown_url(url)} may not hold a query or a fragment", "leave at most a path behind the host"
        )
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"


class _Settings(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True
    )


class TargetConfig(_Settings):
    """One place where the upstream listens."""

    url: Annotated[str, AfterValidator(_check_url)]
    """`http://host[:port]` or `https://...`, optionally with a path that goes before every forwarded path."""
    weight: int = Field(default=1, ge=1, le=100)
    """Its share of the calls, relative to the other targets'."""

    @property
    def origin(self) -> str:
        """Scheme, host and port, as attempts, metrics and per-target breakers name the target."""
        scheme, _, rest = self.url.partition("://")
        return f"{scheme}://{rest.partition('/')[0]}"


class TimeoutConfig(_Settings):
    """How long one attempt may take. Whichever ends first wins, `timeout` policies included."""

    connect: Duration = Field(default=1.0, gt=0)
    """From the start to a usable connection: waiting for the pool, DNS, TCP and TLS."""
    response: Duration = Field(default=10.0, gt=0)
    """From the last byte of the request to the complete head of the answer."""
    idle: Duration = Field(default=30.0, gt=0)
    """Between two bytes of a body."""
    total: Duration = Field(default=30.0, gt=0)
    """From the start to the last byte of the answer."""

    @model_validator(mode="after")
    def _parts_fit_into_total(self) -> Self:
        for name, seconds in (("connect", self.connect), ("response", self.response)):
            if name in self.model_fields_set and seconds > self.total:  # defaults give way in silence
                total = format_duration(self.total)
                raise Mistake(
                    f"{name} may take {format_duration(seconds)}, but the whole attempt ends after {total}",
                    f"raise total, or lower {name}",
                    at=(name,),
                )
        return self


class PoolConfig(_Settings):
    """The keep-alive connections of one target, in one worker."""

    max_connections: int = Field(default=256, ge=1, le=65_536)
    idle_timeout: Duration = Field(default=30.0, gt=0)
    """How long an unused connection is kept. Less than the upstream's own limit spares stale ones."""


class HealthConfig(_Settings):
    """Active health: every target is probed with a GET, and left alone while it fails."""

    path: str = Field(pattern=r"^/[\x21-\x7e]*$", repr=False)
    every: Duration = Field(default=5.0, gt=0)
    timeout: Duration = Field(default=2.0, gt=0)
    status: tuple[Annotated[int, Field(ge=100, le=599)], ...] = ()
    """The statuses that mean healthy; empty for 200 to 299."""
    healthy_after: int = Field(default=1, ge=1, le=100)
    """So many good probes in a row bring a target back."""
    unhealthy_after: int = Field(default=2, ge=1, le=100)
    """So many bad probes in a row take a target out."""


class PassiveHealthConfig(_Settings):
    """Passive health: connection failures in a row eject a target for a while."""

    failures: int = Field(default=5, ge=1, le=1_000)
    eject_for: Duration = Field(default=10.0, gt=0)


def _always(verify: object) -> object:
    if verify is False:
        raise Mistake("no upstream goes unverified", "remove this; a private authority goes under tls.ca")
    return verify


def _check_pin(pin: str) -> str:
    """`sha256/` and the base64 of 32 bytes (RFC 7469 §2.4)."""
    kind, slash, digest = pin.partition("/")
    try:
        size = len(a2b_base64(digest, strict_mode=True))
    except ValueError:
        size = 0
    if kind != "sha256" or not slash or size != 32:
        raise Mistake(
            f"{pin!r} is not a pin",
            "write sha256/ and 44 characters of base64; docs/tls.md has the command that prints it",
        )
    return pin


Pin = Annotated[
    str,
    AfterValidator(_check_pin),
    Field(examples=["sha256/4a6cPehI7OG6cuDZka5NDZ7FR8a60d3auda+sKfg4Ng="]),
]
"""The SHA-256 of a public key."""


class TlsConfig(_Settings):
    """How an https target proves itself, and how the gateway does. Files, or PEM text itself."""

    ca: Pem | None = None
    """The only authorities to trust; the system's without it."""
    server_name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]+$")
    """The name asked for (SNI) and verified, where it is not the URL's host."""
    certificate: Pem | None = None
    """The gateway's own certificate chain."""
    key: PemSecret | None = None
    """The private key of `certificate`."""
    pins: tuple[Pin, ...] = ()
    """The keys one of which the target's certificate must hold, beside being trusted: `sha256/…`. List the
    next one before it is in use."""
    verify: Annotated[Literal[True], BeforeValidator(_always)] = True
    """Always true: a private authority goes under `ca`."""

    @property
    def files(self) -> tuple[str, ...]:
        """Paths of its files; PEM text is none."""
        key = self.key.get_secret_value() if self.key is not None else None
        return tuple(
            value for value in (self.ca, self.certificate, key) if value is not None and not is_pem(value)
        )

    @field_serializer("key", when_used="json")
    def _digest(self, key: Secret | None) -> str | None:
        """Tells a changed key from an unchanged one, and nothing more."""
        return None if key is None else sha256(key.get_secret_value().encode()).hexdigest()

    @model_validator(mode="after")
    def _both_halves(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise Mistake("tls.certificate and tls.key belong together", "give both or neither")
        return self


class UpstreamConfig(_Settings):
    """A provider or the platform: one or more targets, and how they are called."""

    targets: tuple[TargetConfig, ...] = Field(min_length=1)
    timeout: TimeoutConfig = TimeoutConfig()
    pool: PoolConfig = PoolConfig()
    balance: Literal["round_robin", "least_request"] = "round_robin"
    """In turn by weight, or to the target with the fewest calls under way for its weight."""
    health: HealthConfig | None = None
    passive_health: PassiveHealthConfig = PassiveHealthConfig()
    http2: bool = False
    """Speak HTTP/2: negotiated over https, with prior knowledge over http."""
    tls: TlsConfig = TlsConfig()
    host: Literal["target", "preserve"] = "target"
    """The Host header: the target's own authority, or what the caller asked for."""

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        origins = [target.origin for target in self.targets]
        for origin in origins:
            if origins.count(origin) > 1:
                raise Mistake(f"target {origin} is listed twice", "give it a weight instead")
        tls_given = self.tls != TlsConfig()
        if tls_given and not any(origin.startswith("https:") for origin in origins):
            raise Mistake("tls is given, but no target is https", "make a target https, or remove tls")
        return self

    def describe(self) -> str:
        """One sentence: where calls go and how long they may take."""
        origins = [target.origin for target in self.targets]
        how = "in turn" if self.balance == "round_robin" else "fewest calls first"
        where = origins[0] if len(origins) == 1 else f"{', '.join(origins)} ({how})"
        connect, begin, end = (
            format_duration(seconds)
            for seconds in (self.timeout.connect, self.timeout.response, self.timeout.total)
        )
        extra = ""
        if self.http2:
            extra += ", over HTTP/2"
        if self.tls.pins:
            extra += ", whose key is pinned"
        if self.health is not None:
            path = self.health.path.partition("?")[0]  # a query may hold a key
            extra += f", probed at {path} every {format_duration(self.health.every)}"
        times = f"connects within {connect}, answers begin within {begin} and end within {end}"
        return f"calls {where}{extra}; {times}"
