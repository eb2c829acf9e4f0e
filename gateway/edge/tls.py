"""TLS towards callers: what the files of `server.tls` make, and whether files that replace them are good."""

from __future__ import annotations

import ssl
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from gateway.certificates import lapse
from gateway.files import read_file


class TlsSettings(Protocol):
    """What `server.tls` says: paths of PEM files."""

    @property
    def certificate(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def client_ca(self) -> str | None: ...


def tls_context(settings: TlsSettings) -> ssl.SSLContext:
    """A server context: TLS 1.2 and later, HTTP/1.1; with a `client_ca`, callers are asked for theirs.

    A caller without a certificate may connect: whether a route needs one, `authentication` decides.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(str(settings.certificate), str(settings.key))
    if settings.client_ca:
        context.load_verify_locations(str(settings.client_ca))
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def renewed_context(settings: TlsSettings) -> ssl.SSLContext:
    """The same for files that shall replace those in use.

    OSError or ValueError where they do not fit each other, or where the new certificate does not hold now:
    nobody renews one with what is worse.
    """
    context = tls_context(settings)
    if why := lapse(read_file(Path(settings.certificate))):
        raise ValueError(f"the certificate in {Path(settings.certificate).name} {why}")
    return context


def content_of(settings: TlsSettings) -> bytes:
    """A digest of all that is in the files. OSError where one cannot be read."""
    digest = sha256()
    for path in (settings.certificate, settings.key, settings.client_ca):
        digest.update(sha256(read_file(Path(path)) if path else b"").digest())
    return digest.digest()
