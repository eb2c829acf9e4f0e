"""Ways in: what YAML may accept as proof of who calls, and the schemes that makes."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from pydantic import GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from gateway.consumers import HeaderName, JwtCredential, JwtVerification, Settings, only_one
from gateway.mistakes import Mistake, suggest
from gateway.services import Services
from gateway.tokens.bearer import Bearer, JwtSource
from gateway.tokens.certificates import CertificateTable
from gateway.tokens.introspection import IntrospectionAccept, Introspector
from gateway.tokens.jwt import JwtVerifier
from gateway.tokens.owners import Owners
from gateway.tokens.schemes import Basic, Certificate, HeaderKey, QueryKey, Scheme
from gateway.tokens.secret_table import SecretTable

DEFAULT_KEY_HEADER = "x-api-key"


class ApiKeyAccept(Settings):
    """A key in a header or a query parameter."""

    header: HeaderName | None = None
    """By default `x-api-key`."""
    query: str | None = None
    """A query parameter instead. It ends up in other people's logs; prefer a header."""

    @model_validator(mode="after")
    def _check(self) -> ApiKeyAccept:
        if self.header is not None and self.query is not None:
            raise Mistake("an API key is read from `header` or from `query`", "list api_key twice for both")
        if self.query == "":
            raise Mistake("the name of a query parameter may not be empty", "give its name", at=("query",))
        return self

    @property
    def place(self) -> str:
        """Where the key is, in words."""
        return self.header or (f"the query's {self.query}" if self.query else DEFAULT_KEY_HEADER)


class BasicAccept(Settings):
    """HTTP Basic (RFC 7617)."""


class JwtAccept(JwtVerification):
    """A JWT as `Authorization: Bearer`. Without `key` or `jwks`, each consumer's own key verifies it."""


class CertificateAccept(Settings):
    """The client certificate of the TLS connection, or the one a trusted proxy tells of its own."""


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
            raise Mistake(
                "signatures arrive with dialects: this version cannot verify them yet",
                "accept another credential until then",
            )
        if data == "introspection":
            raise Mistake(
                "introspection needs an endpoint",
                "write {introspection: {url: …, client_id: …, client_secret: …}}",
            )
        if isinstance(data, str):
            if data not in cls.model_fields:
                raise Mistake(f"{data!r} is not known here", suggest(data, cls.model_fields))
            return {data: {}}
        if isinstance(data, dict) and len(data) == 1:  # `- jwt:` with nothing behind it is the bare name
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

    def describe(self) -> str:
        """The way in, in words."""
        if self.api_key is not None:
            return f"an API key in {self.api_key.place}"
        if self.jwt is not None:
            return f"a JWT from {self.jwt.issuer}" if self.jwt.issuer else "a JWT"
        if self.introspection is not None:
            return f"a token that {urlsplit(self.introspection.url).netloc} calls active"
        return "HTTP Basic" if self.basic is not None else "a client certificate"


def credential_places(accepts: tuple[Accept, ...]) -> tuple[frozenset[bytes], frozenset[str]]:
    """(headers, query parameters) that hold credentials, also those that are not accepted here."""
    keys = [accept.api_key for accept in accepts if accept.api_key is not None]
    headers = {key.header.encode() for key in keys if key.header is not None}
    return (
        frozenset(headers | {b"authorization", DEFAULT_KEY_HEADER.encode()}),
        frozenset(key.query for key in keys if key.query is not None),
    )


def make_schemes(accepts: tuple[Accept, ...], services: Services) -> list[Scheme]:
    """The schemes of all ways in, over everybody's credentials. ValueError where two share one."""
    schemes: list[Scheme] = []
    keys = _secrets("api_key", services)
    bearers = [accept for accept in accepts if accept.jwt is not None or accept.introspection is not None]
    if bearers:
        schemes.append(_bearer(bearers, services))
    for accept in accepts:
        if accept.api_key is not None and accept.api_key.query is not None:
            schemes.append(QueryKey(accept.api_key.query, keys))
        elif accept.api_key is not None:
            schemes.append(HeaderKey(accept.api_key.header or DEFAULT_KEY_HEADER, keys))
        elif accept.basic is not None:
            schemes.append(Basic(_secrets("basic", services)))
        elif accept.client_certificate is not None:
            schemes.append(Certificate(_certificates(services)))
    return schemes


def _secrets(kind: str, services: Services) -> SecretTable:
    table = SecretTable(services.random.randbytes(32))
    for name, consumer in services.consumers.items():
        for credential in consumer.credentials:
            if kind == "api_key" and credential.api_key is not None:
                table.add(credential.api_key.get_secret_value().encode(), name)
            if kind == "basic" and credential.basic is not None:
                table.add(credential.basic.on_the_wire(), name)
    return table


def _certificates(services: Services) -> CertificateTable:
    table = CertificateTable(services.clock)
    for name, consumer in services.consumers.items():
        for credential in consumer.credentials:
            if credential.client_certificate is not None:
                table.add(credential.client_certificate, name)
    return table


def _bearer(accepts: list[Accept], services: Services) -> Bearer:
    shared, introspected = Owners(), Owners()
    own: list[tuple[str, JwtCredential]] = []
    for name, consumer in services.consumers.items():
        for credential in consumer.credentials:
            if credential.jwt is not None and credential.jwt.has_keys:
                own.append((name, credential.jwt))
            elif credential.jwt is not None:
                shared.add(credential.jwt.names(), name, credential.jwt.issuer)
            if credential.introspection is not None:
                introspected.add(credential.introspection.names(), name)
    jwts: list[JwtSource] = []
    introspectors: list[tuple[Introspector, Owners]] = []
    asks: list[str] = []
    for accept in accepts:
        if accept.introspection is not None:
            introspectors.append((_introspector(accept.introspection, services), introspected))
            asks.append(urlsplit(accept.introspection.url).netloc)
        elif accept.jwt is not None and accept.jwt.has_keys:
            jwts.append(JwtSource(_verifier(accept.jwt, services), shared, own=False))
            asks += [urlsplit(accept.jwt.jwks).netloc] if accept.jwt.jwks else []
        else:
            assert accept.jwt is not None
            jwts += _own_sources(accept.jwt, own, services)
            asks += [urlsplit(credential.jwks).netloc for _, credential in own if credential.jwks]
    return Bearer(jwts, introspectors, " or ".join(dict.fromkeys(asks)))


def _own_sources(
    accept: JwtVerification, own: list[tuple[str, JwtCredential]], services: Services
) -> list[JwtSource]:
    """A source per consumer with a key of its own; what its credential leaves open, `accept` says."""
    if not own:
        raise Mistake(
            "jwt has nothing to verify with",
            "give it `key` or `jwks`, or give a consumer's jwt credential one",
        )
    inherited = ("algorithms", "issuer", "audience", "leeway")
    sources = []
    for name, credential in own:
        owners = Owners()
        owners.add(credential.names(), name)
        filled = {
            field: getattr(accept, field) for field in inherited if field not in credential.model_fields_set
        }
        verification = JwtVerification.model_validate(
            {field: getattr(credential, field) for field in JwtVerification.model_fields} | filled
        )
        sources.append(JwtSource(_verifier(verification, services), owners, own=True))
    return sources


def _verifier(settings: JwtVerification, services: Services) -> JwtVerifier:
    return services.state.keep(("jwt", settings), lambda: JwtVerifier(settings, services))


def _introspector(settings: IntrospectionAccept, services: Services) -> Introspector:
    return services.state.keep(("introspection", settings), lambda: Introspector(settings, services))
