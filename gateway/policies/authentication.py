"""Only known consumers pass."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from gateway.consumers import FilledSecret, JwtVerification, Settings, Url, only_one
from gateway.policy import PolicyConfig
from gateway.units import Duration


class ApiKeyAccept(Settings):
    """A key in a header or a query parameter."""

    header: str | None = None
    """By default `x-api-key`."""
    query: str | None = None
    """A query parameter instead. It ends up in other people's logs; prefer a header."""

    @model_validator(mode="after")
    def _check(self) -> ApiKeyAccept:
        if self.header is not None and self.query is not None:
            raise ValueError("an API key is read from `header` or from `query`: list api_key twice for both")
        if self.header == "" or self.query == "":
            raise ValueError("the name of a header or query parameter may not be empty")
        return self


class BasicAccept(Settings):
    """HTTP Basic (RFC 7617)."""


class JwtAccept(JwtVerification):
    """A JWT as `Authorization: Bearer`. Without `key` or `jwks`, each consumer's own key verifies it."""


class IntrospectionAccept(Settings):
    """An opaque token as `Authorization: Bearer`, which its issuer is asked about (RFC 7662)."""

    url: Url
    """The introspection endpoint."""
    client_id: str
    client_secret: FilledSecret
    client_auth: Literal["basic", "body"] = "basic"
    """How we prove ourselves to the endpoint: HTTP Basic, or fields of the form."""
    issuer: str | None = None
    """What `iss` of the answer must be."""
    audience: tuple[str, ...] = ()
    """`aud` of the answer must hold one of these."""
    ttl: Duration = 30.0
    """How long a token counts as active without asking again: the longest a revocation goes unnoticed."""
    negative_ttl: Duration = 5.0
    """How long a token counts as inactive without asking again."""
    max_in_flight: int = 100
    """Questions under way at once; one more is refused with BUSY, so that no flood reaches the issuer."""
    timeout: Duration = 2.0
    """How long the endpoint may take."""


class CertificateAccept(Settings):
    """The client certificate of the TLS connection."""


class Accept(Settings):
    """One way in: a bare name, or a mapping with exactly one key."""

    api_key: ApiKeyAccept | None = None
    basic: BasicAccept | None = None
    jwt: JwtAccept | None = None
    introspection: IntrospectionAccept | None = None
    client_certificate: CertificateAccept | None = None

    @model_validator(mode="before")
    @classmethod
    def _read(cls, data: object) -> object:
        if data == "signature" or (isinstance(data, dict) and "signature" in data):
            raise ValueError("signature arrives with dialects: this version cannot verify signatures yet")
        if data == "introspection":
            raise ValueError(
                "introspection needs an endpoint: {introspection: {url, client_id, client_secret}}"
            )
        if isinstance(data, str):
            if data not in cls.model_fields:
                raise ValueError(f"{data!r} is not one of {', '.join(cls.model_fields)}")
            return {data: {}}
        if isinstance(data, dict):  # `- jwt:` with nothing behind it means the same as the bare name
            return {key: {} if value is None else value for key, value in data.items()}
        return data

    @model_validator(mode="after")
    def _check(self) -> Accept:
        only_one(self, "an accepted credential")
        return self

    @property
    def kind(self) -> str:
        """api_key, basic, jwt, introspection or client_certificate."""
        return only_one(self, "an accepted credential")

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        bare = [name for name in cls.model_fields if name != "introspection"]
        return {"anyOf": [{"type": "string", "enum": bare}, handler(schema)]}


class AuthenticationConfig(PolicyConfig):
    """Only known consumers pass; from here on the call has a consumer."""

    model_config = ConfigDict(use_attribute_docstrings=True)
    name: ClassVar[str] = "authentication"
    shadows_itself: ClassVar[bool] = True

    accept: tuple[Accept, ...]
    """Ways to prove who one is, any of which will do: `api_key`, `basic`, `jwt`, `client_certificate`, ..."""
    consumers: tuple[str, ...] = ()
    """Who may call; empty for every known consumer."""
    forward_credentials: bool = False
    """Let the caller's credentials travel on to the upstream."""

    @model_validator(mode="after")
    def _check(self) -> AuthenticationConfig:
        if not self.accept:
            raise ValueError("authentication must accept something: api_key, basic, jwt, ...")
        return self
