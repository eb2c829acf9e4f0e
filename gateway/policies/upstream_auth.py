"""Shows our credentials to the upstream."""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import Awaitable
from hashlib import sha256
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, SecretStr, model_validator

from gateway.consumers import BasicCredential, FilledSecret, HeaderName, Settings, only_one
from gateway.exchange import Exchange, Response
from gateway.mistakes import Mistake
from gateway.policy import Forward, Policy, PolicyConfig
from gateway.services import Services
from gateway.tokens.client_credentials import ClientCredentials, TokenSource
from gateway.units import Pem, is_pem, locate_secret
from gateway.upstream.settings import TlsConfig
from gateway.upstream.tls import content, make_context


def _check_printable(secret: SecretStr) -> SecretStr:
    if any(not 32 <= ord(letter) < 127 for letter in secret.get_secret_value()):
        raise Mistake(
            "a secret that travels in a header may hold printable ASCII only",
            "remove all else, line ends too",
        )
    return secret


HeaderSecret = Annotated[FilledSecret, AfterValidator(_check_printable)]


class UpstreamApiKey(Settings):
    """A key in a header."""

    header: HeaderName = "x-api-key"
    """Which one."""
    value: HeaderSecret
    """The key."""


class ClientCertificate(Settings):
    """A certificate shown in the TLS handshake."""

    certificate: Pem
    """The certificate and its chain: a path, or PEM text."""
    key: Annotated[FilledSecret, AfterValidator(locate_secret)]
    """Its private key: a path, or PEM text."""
    ca: Pem | None = None
    """The only authorities to trust for the upstream's own certificate; by default the system's."""


class UpstreamAuthConfig(PolicyConfig):
    """Shows our credentials to the upstream, in place of any the caller sent. Exactly one kind is given."""

    model_config = ConfigDict(use_attribute_docstrings=True)
    name: ClassVar[str] = "upstream_auth"
    forwards_again: ClassVar[bool] = True
    shadows_itself: ClassVar[bool] = True

    api_key: UpstreamApiKey | None = None
    """A key in a header."""
    basic: BasicCredential | None = None
    """HTTP Basic (RFC 7617)."""
    bearer: HeaderSecret | None = None
    """A fixed token, as `Authorization: Bearer`."""
    oauth2_client_credentials: ClientCredentials | None = None
    """A token that an OAuth2 endpoint issues to us."""
    client_certificate: ClientCertificate | None = None
    """A certificate shown in the TLS handshake."""

    @model_validator(mode="before")
    @classmethod
    def _no_signature(cls, data: object) -> object:
        if isinstance(data, dict) and "signature" in data:
            raise Mistake(
                "signatures arrive with dialects: this version cannot sign yet",
                "show the upstream another credential until then",
            )
        return data

    @model_validator(mode="after")
    def _check(self) -> UpstreamAuthConfig:
        only_one(self, "upstream_auth")
        return self

    def describe(self) -> str:
        if self.api_key is not None:
            return f"shows the upstream our API key in {self.api_key.header}"
        if self.basic is not None:
            return f"shows the upstream our Basic credentials as {self.basic.username}"
        if self.bearer is not None:
            return "shows the upstream our bearer token"
        if self.oauth2_client_credentials is not None:
            host = urlsplit(self.oauth2_client_credentials.token_url).netloc
            return (
                f"shows the upstream a token that {host} issues to us, and a fresh one once if it answers 401"
            )
        assert self.client_certificate is not None
        return "shows the upstream our client certificate"

    def build(self, services: Services) -> Policy:
        if self.mode == "shadow":
            return _watch(only_one(self, "upstream_auth"))
        if self.oauth2_client_credentials is not None:
            settings = self.oauth2_client_credentials
            source = services.state.keep(("oauth2", settings), lambda: TokenSource(settings, services))
            return IssuedToken(source, replay_streams=not services.route.stream)
        if self.client_certificate is not None:
            return _show_certificate(_identity(self.client_certificate, services))
        return _show_header(*self._header())

    def files(self) -> tuple[str, ...]:
        shown = self.client_certificate
        if shown is None:
            return ()
        given = (shown.certificate, shown.key.get_secret_value(), shown.ca)
        return tuple(path for path in given if path is not None and not is_pem(path))

    def _header(self) -> tuple[bytes, bytes]:
        if self.api_key is not None:
            return self.api_key.header.encode(), self.api_key.value.get_secret_value().encode()
        if self.basic is not None:
            return b"authorization", b"Basic " + b64encode(self.basic.on_the_wire())
        assert self.bearer is not None
        return b"authorization", b"Bearer " + self.bearer.get_secret_value().encode()

    async def foresee(self, exchange: Exchange, services: Services) -> str:
        del exchange, services
        return self.describe()


def _watch(kind: str) -> Policy:
    def upstream_auth(exchange: Exchange, forward: Forward) -> Awaitable[Response]:
        exchange.decide("upstream_auth", "would_show", kind)
        return forward(exchange)

    return upstream_auth


def _with_header(exchange: Exchange, name: bytes, value: bytes) -> None:
    exchange.headers = [*(item for item in exchange.headers if item[0] != name), (name, value)]


def _show_header(name: bytes, value: bytes) -> Policy:
    async def upstream_auth(exchange: Exchange, forward: Forward) -> Response:
        callers = exchange.headers
        _with_header(exchange, name, value)
        try:
            return await forward(exchange)
        finally:  # what is outside may turn to another upstream, which our secret is none of
            exchange.headers = callers

    return upstream_auth


def _identity(settings: ClientCertificate, services: Services) -> ssl.SSLContext:
    """The TLS context for a certificate: the same over reloads while its files are, so connections stay."""
    files = {"certificate": settings.certificate, "key": settings.key.get_secret_value(), "ca": settings.ca}
    digest = sha256()
    for name, text in files.items():
        digest.update(sha256(content(text, f"client_certificate.{name}") if text else b"").digest())
    tls = TlsConfig(certificate=settings.certificate, key=settings.key, ca=settings.ca)
    # One per upstream: HTTP/1.1 and HTTP/2 offer different protocols in the handshake, on the context itself.
    key = ("identity", services.route.upstream, settings, digest.digest())
    return services.state.keep(key, lambda: make_context(tls))


def _show_certificate(identity: ssl.SSLContext) -> Policy:
    async def upstream_auth(exchange: Exchange, forward: Forward) -> Response:
        before = exchange.tls_identity
        exchange.tls_identity = identity
        try:
            return await forward(exchange)
        finally:
            exchange.tls_identity = before

    return upstream_auth


class IssuedToken:
    """Shows a token that an OAuth2 endpoint issued; to an upstream that answers 401, a fresh one, once."""

    def __init__(self, source: TokenSource, *, replay_streams: bool) -> None:
        self._source = source
        self._replay_streams = replay_streams
        """Hold small request bodies back until they are whole; never on routes that stream."""

    async def __call__(self, exchange: Exchange, forward: Forward) -> Response:
        callers = exchange.headers
        try:
            return await self._show(exchange, forward)
        finally:
            exchange.headers = callers

    async def _show(self, exchange: Exchange, forward: Forward) -> Response:
        token = self._source.current() or await self._source.fetch()
        _with_header(exchange, b"authorization", b"Bearer " + token)
        if self._replay_streams:
            await exchange.buffer_body()
        whole = isinstance(exchange.body, bytes)
        response = await forward(exchange)
        if response.status != 401 or not whole:
            return response
        try:
            fresh = await self._source.replace(token)
        except BaseException:  # the caller left meanwhile
            response.discard()
            raise
        if fresh is None:
            return response
        exchange.decide("upstream_auth", "retried", "401")
        response.discard()
        _with_header(exchange, b"authorization", b"Bearer " + fresh)
        return await forward(exchange)
