"""Where in a request a credential is shown, and whose it is."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from typing import Protocol
from urllib.parse import unquote_plus, unquote_to_bytes

from gateway.errors import Refused
from gateway.exchange import Exchange
from gateway.tokens import InvalidCredential
from gateway.tokens.certificates import CertificateTable
from gateway.tokens.secret_table import SecretTable

Proof = tuple[str, str]
"""(consumer's name, kind of credential)."""


class Scheme(Protocol):
    """One way to show a credential."""

    challenge: bytes
    """What `WWW-Authenticate` says of it (RFC 9110 §11.6.1)."""
    asks: str
    """Whom it may have to ask, for `gateway explain`; empty for nobody."""

    def shown(self, exchange: Exchange) -> bytes | None:
        """The credential in this request, None without one. Refused where there are two."""

    def find(self, credential: bytes) -> Proof | None:
        """Whose it is; None where that takes asking. InvalidCredential where it proves nothing."""

    async def ask(self, credential: bytes, /) -> Proof:
        """Whose it is, however long that takes. Refused where nobody answers."""


class _Offline:
    """What every scheme has that never asks anybody."""

    asks = ""

    async def ask(self, _credential: bytes) -> Proof:
        raise AssertionError("this scheme knows at once")


def _single(exchange: Exchange, name: bytes) -> bytes | None:
    """A header that may come once: of two, each side of us could believe another."""
    found = None
    for key, value in exchange.headers:
        if key == name:
            if found is not None:
                raise Refused("BAD_REQUEST", f"the header {name.decode('latin-1')} comes more than once")
            found = value
    return found


def authorization(exchange: Exchange, scheme: bytes) -> bytes | None:
    """What follows `scheme` in Authorization; None where the header is absent or of another scheme."""
    value = _single(exchange, b"authorization")
    if value is None:
        return None
    name, _, credential = value.partition(b" ")
    return credential.strip() if name.lower() == scheme else None


class HeaderKey(_Offline):
    """An API key in a header."""

    def __init__(self, header: str, keys: SecretTable) -> None:
        self._header = header.encode("latin-1")
        self._keys = keys
        self.challenge = b'ApiKey realm="gateway", header="%s"' % self._header

    def shown(self, exchange: Exchange) -> bytes | None:
        return _single(exchange, self._header)

    def find(self, credential: bytes) -> Proof:
        return _key_owner(self._keys, credential)


class QueryKey(_Offline):
    """An API key in a query parameter."""

    def __init__(self, parameter: str, keys: SecretTable) -> None:
        self._parameter = parameter
        self._keys = keys
        self.challenge = b'ApiKey realm="gateway"'

    def shown(self, exchange: Exchange) -> bytes | None:
        if not exchange.query:
            return None
        found = [part for part in exchange.query.split("&") if parameter_name(part) == self._parameter]
        if len(found) > 1:
            raise Refused("BAD_REQUEST", f"the query parameter {self._parameter} comes more than once")
        return unquote_to_bytes(found[0].partition("=")[2].replace("+", " ")) if found else None

    def find(self, credential: bytes) -> Proof:
        return _key_owner(self._keys, credential)


def parameter_name(part: str) -> str:
    """The decoded name in `name=value`: `%6bey` is `key` to whoever decodes it after us."""
    return unquote_plus(part.partition("=")[0])


def _key_owner(keys: SecretTable, credential: bytes) -> Proof:
    owner = keys.find(credential)
    if owner is None:
        raise InvalidCredential("the API key is unknown")
    return owner, "api_key"


class Basic(_Offline):
    """HTTP Basic (RFC 7617). Name and password are looked up as one: no name costs more than another."""

    challenge = b'Basic realm="gateway", charset="UTF-8"'

    def __init__(self, keys: SecretTable) -> None:
        self._keys = keys

    def shown(self, exchange: Exchange) -> bytes | None:
        return authorization(exchange, b"basic")

    def find(self, credential: bytes) -> Proof:
        try:
            pair = b64decode(credential, validate=True)
        except Base64Error:
            raise InvalidCredential("the Basic credentials are malformed") from None
        owner = self._keys.find(pair)
        if owner is None:
            raise InvalidCredential("the user name or password is wrong")
        return owner, "basic"


class Certificate(_Offline):
    """The client certificate: of the handshake here, or of one that a trusted proxy tells of."""

    challenge = b'ClientCertificate realm="gateway"'

    def __init__(self, certificates: CertificateTable) -> None:
        self._certificates = certificates

    def shown(self, exchange: Exchange) -> bytes | None:
        return exchange.peer_certificate

    def find(self, credential: bytes) -> Proof:
        return self._certificates.find(credential), "client_certificate"
