"""Shows our credentials to the upstream."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict, model_validator

from gateway.consumers import BasicCredential, FilledSecret, Settings, Url, only_one
from gateway.policy import PolicyConfig
from gateway.units import Duration

_OURS = frozenset(
    "connection content-length expect host keep-alive te trailer transfer-encoding upgrade "
    "x-forwarded-for x-forwarded-host x-forwarded-proto traceparent tracestate".split()
)
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")


def _check_header(name: str) -> str:
    lower = name.lower()
    if not lower or not _TOKEN.issuperset(lower):
        raise ValueError(f"{name!r} is not a header name")
    if lower in _OURS:
        raise ValueError(f"{name} is written by the gateway itself and cannot carry a key")
    return lower


HeaderName = Annotated[str, AfterValidator(_check_header)]
"""A request header that may carry a credential; lower-case once read."""


class UpstreamApiKey(Settings):
    """A key in a header."""

    header: HeaderName = "x-api-key"
    value: FilledSecret


class ClientCredentials(Settings):
    """A token from an OAuth2 token endpoint (RFC 6749 §4.4), fetched when needed and refreshed early."""

    token_url: Url
    client_id: str
    client_secret: FilledSecret
    scope: str | None = None
    """Space-separated, as the endpoint knows them."""
    audience: str | None = None
    """For endpoints that ask for one."""
    client_auth: Literal["basic", "body"] = "basic"
    """How we prove ourselves to the endpoint: HTTP Basic, or fields of the form."""
    lifetime: Duration = 300.0
    """How long a token is used whose lifetime the endpoint does not tell."""
    timeout: Duration = 5.0
    """How long the endpoint may take."""


class ClientCertificate(Settings):
    """A certificate shown in the TLS handshake."""

    certificate: str
    """Path of the certificate and its chain, PEM."""
    key: str
    """Path of its private key, PEM."""
    ca: str | None = None
    """Path of the authorities the upstream's certificate is verified against; by default the system's."""


class UpstreamAuthConfig(PolicyConfig):
    """Shows our credentials to the upstream, in place of any the caller sent. Exactly one kind is given."""

    model_config = ConfigDict(use_attribute_docstrings=True)
    name: ClassVar[str] = "upstream_auth"
    forwards_again: ClassVar[bool] = True

    api_key: UpstreamApiKey | None = None
    """A key in a header."""
    basic: BasicCredential | None = None
    """HTTP Basic (RFC 7617)."""
    bearer: FilledSecret | None = None
    """A fixed token, as `Authorization: Bearer`."""
    oauth2_client_credentials: ClientCredentials | None = None
    """A token that an OAuth2 endpoint issues to us."""
    client_certificate: ClientCertificate | None = None
    """A certificate shown in the TLS handshake."""

    @model_validator(mode="before")
    @classmethod
    def _no_signature(cls, data: object) -> object:
        if isinstance(data, dict) and "signature" in data:
            raise ValueError(
                "upstream_auth: {signature: {}} arrives with dialects: this version cannot sign yet"
            )
        return data

    @model_validator(mode="after")
    def _check(self) -> UpstreamAuthConfig:
        only_one(self, "upstream_auth")
        return self
