"""A configuration that can serve: checked, resolved, frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.audit.settings import AuditConfig
from gateway.config.findings import Finding, Place
from gateway.config.models import ProviderConfig, RouteConfig
from gateway.config.server import ServerConfig, TlsConfig
from gateway.config.telemetry import TelemetryConfig
from gateway.consumers import Consumer, ConsumerConfig
from gateway.policy import PolicyConfig
from gateway.upstream.settings import UpstreamConfig


def callers_of(
    consumers: Mapping[str, ConsumerConfig], providers: Mapping[str, ProviderConfig]
) -> dict[str, Consumer]:
    """Name → caller, as policies know them."""
    return {
        **{name: config.consumer(name) for name, config in consumers.items()},
        **{
            name: Consumer(name, "provider", config.networks, config.credentials)
            for name, config in providers.items()
        },
    }


@dataclass(frozen=True, slots=True)
class PlacedPolicy:
    """One policy of a route, and where it stands."""

    config: PolicyConfig
    where: str
    """`routes.yaml:31` or `policies/metadata.yaml:3`, relative to the configuration's folder."""
    place: Place
    """The same place as findings tell it."""
    list_name: str = ""
    """The policy list it came from; empty for an inline one."""


@dataclass(frozen=True, slots=True)
class Config:
    """All that `routes.yaml` and its neighbours say. Pickles: workers build what the supervisor checked."""

    path: Path
    consumers: Mapping[str, ConsumerConfig]
    providers: Mapping[str, ProviderConfig]
    upstreams: Mapping[str, UpstreamConfig]
    routes: tuple[RouteConfig, ...]
    policies: Mapping[str, tuple[PlacedPolicy, ...]]
    """Route name → its policies, outermost first, those of its lists included."""
    places: Mapping[str, str]
    """Route name → where it stands, `routes.yaml:12`."""
    server: ServerConfig
    telemetry: TelemetryConfig
    state: str = field(repr=False)
    """`memory` or a Valkey URL, which may hold a password."""
    journal: str = field(repr=False)
    audit: AuditConfig | None
    wallets: frozenset[str]
    """Names of the routes that move money."""
    fingerprint: str
    """SHA-256 over all that was said, secrets included: the same for the same behaviour."""
    files: tuple[Path, ...]
    """Every file that was read, `{file: …}` ones included: what to watch for changes."""
    warnings: tuple[Finding, ...] = ()
    notes: tuple[Finding, ...] = ()
    """What may well be as it should: routes that run without encryption."""

    @property
    def callers(self) -> dict[str, Consumer]:
        """Everybody who may call: `consumers:` and, under their own names, `providers:`."""
        return callers_of(self.consumers, self.providers)

    @property
    def tls_files(self) -> TlsConfig | None:
        """`server.tls` with its paths as they open from anywhere."""
        tls = self.server.tls
        if tls is None:
            return None
        paths = {key: str(self.beside(path)) for key, path in tls.files.items()}
        return tls.model_copy(update=paths)

    @property
    def state_dir(self) -> Path:
        """Where the gateway keeps files of its own."""
        return self.beside(self.server.state_dir)

    def beside(self, name: str) -> Path:
        """A path that the configuration gives: relative to its folder."""
        return self.path.parent / name

    def __repr__(self) -> str:
        counts = f"{len(self.routes)} routes, {len(self.upstreams)} upstreams"
        return f"<Config {self.path}: {counts}, {self.fingerprint[:8]}>"
