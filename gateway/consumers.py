"""Who calls: the platform, or a provider calling back; and what each may prove itself with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal
from unicodedata import normalize

from cryptography import x509
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    HttpUrl,
    SecretStr,
    TypeAdapter,
    model_validator,
)

from gateway.mistakes import Mistake, shown_url
from gateway.networks import AnyNetwork, Network
from gateway.units import Duration, Secret

Algorithm = Literal[
    "HS256",
    "HS384",
    "HS512",
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
]
"""JWS algorithms (RFC 7518 §3.1, RFC 8037). `none` is not among them, and never will be."""

_OURS = frozenset(
    {
        *(
            "connection",
            "content-length",
            "expect",
            "host",
            "keep-alive",
            "te",
            "trailer",
            "transfer-encoding",
        ),
        *("upgrade", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "traceparent", "tracestate"),
    }
)
"""Headers about the message or written last by the gateway."""

_URL: TypeAdapter[HttpUrl] = TypeAdapter(HttpUrl)


def _check_url(text: str) -> str:
    try:
        url = _URL.validate_python(text)
    except ValueError:
        raise Mistake(
            f"{shown_url(text)} is not an http or https URL", "write it like https://login.example/keys"
        ) from None
    if url.username or url.password:
        raise Mistake("a URL may not carry a user name or password", "give them in their own fields")
    return text


Url = Annotated[str, AfterValidator(_check_url)]
"""An absolute http or https URL without user name and password."""


def _check_secret(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value():
        raise Mistake("the secret is empty", "is its environment variable or file empty?")
    return secret


FilledSecret = Annotated[Secret, AfterValidator(_check_secret)]
"""A secret that is not empty: an empty one would let in who sends nothing."""


_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")


def _check_header(name: str) -> str:
    lower = name.lower()
    if not lower or not _TOKEN.issuperset(lower):
        raise Mistake(f"{name!r} is not a header name", "use letters, digits and -")
    if lower in _OURS:
        raise Mistake(
            f"{name} is written by the gateway itself and cannot carry a credential", "name another header"
        )
    return lower


HeaderName = Annotated[str, AfterValidator(_check_header)]
"""A request header that may carry a credential; lower-case once read."""


class Settings(BaseModel):
    """Base of the nested models: strict and frozen, hence usable as a key of kept state."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True
    )


def only_one(model: BaseModel, what: str) -> str:
    """The name of the one field that is given; ValueError where there are none or several."""
    names = [name for name in type(model).model_fields if name != "mode"]
    given = [name for name in names if getattr(model, name) is not None]
    if len(given) == 1:
        return given[0]
    rule = f"{what} is exactly one of {', '.join(names)}"
    if given:
        raise Mistake(f"{rule}; here are {' and '.join(given)}", "keep one of them")
    empty = next((name for name in names if name in model.model_fields_set), None)
    if empty is not None:
        mend = "give it a value, and its `default` too where it has one"
        raise Mistake(f"{empty} is empty", mend, at=(empty,))
    raise Mistake(f"{rule}; here is none", "give one of them")


class BasicCredential(Settings):
    """HTTP Basic (RFC 7617)."""

    username: str
    """Without a colon: it ends the name on the wire."""
    password: FilledSecret

    @model_validator(mode="after")
    def _check(self) -> BasicCredential:
        password = self.password.get_secret_value()
        if ":" in self.username or not self.username:
            raise Mistake(
                "a username may not be empty or hold a colon (RFC 7617)", "write it without", at=("username",)
            )
        if any(ord(letter) < 32 or ord(letter) == 127 for letter in self.username + password):
            raise Mistake("a username or password may not hold control characters (RFC 7617)", "remove them")
        return self

    def on_the_wire(self) -> bytes:
        """`username:password` in UTF-8, NFC, as RFC 7617 §2.1 has clients send it."""
        return normalize("NFC", f"{self.username}:{self.password.get_secret_value()}").encode()


class JwtVerification(Settings):
    """How JWTs are verified (RFC 7519): with one key, or with the keys a URL publishes."""

    key: FilledSecret | None = None
    """A shared secret (HS256 and kin), or a public key or certificate in PEM (all others)."""
    jwks: Url | None = None
    """Where the issuer publishes its keys (RFC 7517)."""
    algorithms: tuple[Algorithm, ...] = ()
    """The only ones believed; by default what fits the key: HS256, RS256, ES256 or its kin, EdDSA."""
    issuer: str | None = None
    """What `iss` must be."""
    audience: tuple[str, ...] = ()
    """`aud` must hold one of these; without any, a token that has an `aud` is refused."""
    leeway: Duration = 30.0
    """How far the issuer's clock may be off, for `exp`, `nbf` and `iat`."""
    jwks_ttl: Duration = 600.0
    """How long fetched keys count as fresh."""
    jwks_stale: Duration = 3600.0
    """How much longer they are used while the URL fails."""
    jwks_interval: Duration = 10.0
    """The least time between two fetches, whatever key ids callers make up."""

    @model_validator(mode="after")
    def _check(self) -> JwtVerification:
        if self.key is not None and self.jwks is not None:
            raise Mistake("a JWT is verified with `key` or with `jwks`, not with both", "remove one of them")
        shared = [name for name in self.algorithms if name.startswith("HS")]
        if self.jwks is not None and shared:
            raise Mistake(f"{shared[0]} needs a shared secret, which no URL may publish", "give it as `key`")
        if shared and len(shared) < len(self.algorithms):
            raise Mistake(
                "HS algorithms and public-key algorithms may not share a key", "make two `jwt` entries"
            )
        return self

    @property
    def has_keys(self) -> bool:
        """Is there something to verify with?"""
        return self.key is not None or self.jwks is not None


class JwtCredential(JwtVerification):
    """Which JWTs are this consumer's: by subject, or by another claim; and its key, if it has its own."""

    subject: str | None = None
    """What `sub` must be."""
    claim: str | None = None
    """Another claim that tells whose token it is: `client_id`, `azp`."""
    value: str | None = None
    """What that claim must be, or hold where it is a list."""

    @model_validator(mode="after")
    def _check_identity(self) -> JwtCredential:
        if (self.subject is None) == (self.claim is None) or (self.claim is None) != (self.value is None):
            raise Mistake(
                "a jwt credential says whose token it is, and in one way",
                "give `subject`, or `claim` and `value`",
            )
        alone = {"subject", "claim", "value", "issuer"}
        if not self.has_keys and not self.model_fields_set <= alone:
            extra = ", ".join(sorted(self.model_fields_set - alone))
            raise Mistake(
                f"a jwt credential with {extra} needs a `key` or `jwks` of its own",
                "give one, or say this under authentication",
            )
        return self

    def names(self) -> tuple[str, str]:
        """(claim, value) that make a token this consumer's."""
        if self.claim is not None and self.value is not None:
            return self.claim, self.value
        return "sub", self.subject or ""


class IntrospectionCredential(Settings):
    """Which introspected tokens are this consumer's (RFC 7662 §2.2)."""

    client_id: str | None = None
    """What `client_id` must be."""
    subject: str | None = None
    """What `sub` must be."""

    @model_validator(mode="after")
    def _check(self) -> IntrospectionCredential:
        if (self.client_id is None) == (self.subject is None):
            raise Mistake(
                "an introspection credential says whose token it is, and in one way",
                "give `client_id` or `subject`",
            )
        return self

    def names(self) -> tuple[str, str]:
        """(claim, value) that make a token this consumer's."""
        return ("client_id", self.client_id) if self.client_id is not None else ("sub", self.subject or "")


class CertificateCredential(Settings):
    """Which client certificates are this consumer's. What is given must all match."""

    subject: str | None = None
    """The whole subject as RFC 4514 writes it: `CN=aurora,O=Aurora Games`."""
    san: str | None = None
    """One subject alternative name: a DNS name, URI, e-mail or IP address."""
    sha256: str | None = None
    """The certificate's SHA-256 fingerprint in hex, colons allowed."""

    @model_validator(mode="after")
    def _check(self) -> CertificateCredential:
        if self.subject is None and self.san is None and self.sha256 is None:
            raise Mistake(
                "a client_certificate credential says which certificate it is",
                "give `subject`, `san` or `sha256`",
            )
        if self.subject is not None:
            try:
                x509.Name.from_rfc4514_string(self.subject)
            except ValueError:
                raise Mistake(
                    f"{self.subject!r} is not a subject",
                    "write it as RFC 4514 does, CN=aurora,O=Aurora Games",
                ) from None
        if self.sha256 is not None and not re.fullmatch("[0-9a-f]{64}", self.fingerprint):
            raise Mistake(
                "a sha256 fingerprint has 64 hexadecimal digits",
                "write what `openssl x509 -fingerprint -sha256` tells",
                at=("sha256",),
            )
        return self

    @property
    def fingerprint(self) -> str:
        """Lower-case hex without colons; empty where none is asked for."""
        return (self.sha256 or "").replace(":", "").lower()


class CredentialConfig(Settings):
    """One way to prove to be a consumer: a mapping with exactly one key."""

    api_key: FilledSecret | None = None
    basic: BasicCredential | None = None
    jwt: JwtCredential | None = None
    introspection: IntrospectionCredential | None = None
    client_certificate: CertificateCredential | None = None

    @model_validator(mode="after")
    def _check(self) -> CredentialConfig:
        only_one(self, "a credential")
        return self

    @property
    def kind(self) -> str:
        """api_key, basic, jwt, introspection or client_certificate."""
        return only_one(self, "a credential")


class ConsumerConfig(Settings):
    """Who calls, other than providers."""

    credentials: tuple[CredentialConfig, ...] = ()
    """Any of these proves the caller; several, so that they can be rotated."""
    networks: tuple[Network, ...] = ()
    """Where its calls may come from; empty for anywhere."""

    def consumer(self, name: str, kind: str = "consumer") -> Consumer:
        """The runtime's view."""
        return Consumer(name, kind, self.networks, self.credentials)


@dataclass(frozen=True, slots=True)
class Consumer:
    """A caller that the gateway knows."""

    name: str
    kind: str = "consumer"
    """consumer | provider."""
    networks: tuple[AnyNetwork, ...] = ()
    """Where its calls may come from; empty for anywhere."""
    credentials: tuple[CredentialConfig, ...] = ()
    """Any of which proves the caller."""
