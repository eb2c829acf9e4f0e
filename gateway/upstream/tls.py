"""TLS towards upstreams: always verified, with the authority and the client certificate that YAML names."""

from __future__ import annotations

import ssl
import tempfile
from hashlib import sha256
from pathlib import Path

from gateway.files import read_file, why
from gateway.mistakes import Mistake
from gateway.units import is_pem
from gateway.upstream.pins import insist
from gateway.upstream.settings import TlsConfig

_PEM = "-----BEGIN "
_PEM_OR_PATH = "give PEM text, or paths relative to the configuration file"


def make_context(config: TlsConfig, *, http2: bool = False) -> ssl.SSLContext:
    """A client context for `config`. Mistake, naming the field, where a file cannot be used."""
    context = ssl.create_default_context() if config.ca is None else _only_trusting(config.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"] if http2 else ["http/1.1"])
    insist(context, config.pins)
    if config.certificate is not None and config.key is not None:
        load_identity(context, config.certificate, config.key.get_secret_value())
    return context


def digest(config: TlsConfig) -> bytes:
    """Tells changed files from unchanged ones. Mistake, naming the field, where one cannot be read."""
    key = config.key.get_secret_value() if config.key is not None else None
    total = sha256()
    for field, value in (("ca", config.ca), ("certificate", config.certificate), ("key", key)):
        total.update(sha256(content(value, f"tls.{field}") if value else b"").digest())
    return total.digest()


def content(value: str, field: str) -> bytes:
    """PEM text, or what is in the file it names. Mistake, naming the field, where that cannot be read."""
    if is_pem(value):
        return value.encode()
    try:
        return read_file(Path(value))
    except OSError as error:
        file = "the file" if field.endswith("key") else _name(value)
        raise Mistake(f"{field}: {file} cannot be read: {why(error)}", _PEM_OR_PATH) from None


def fingerprint(config: TlsConfig) -> bytes:
    """Of what its files hold now: renewed certificates come under old names. Mistake, as from `content`."""
    key = None if config.key is None else config.key.get_secret_value()
    digest = sha256()
    for field, value in (("ca", config.ca), ("certificate", config.certificate), ("key", key)):
        digest.update(sha256(content(value, f"tls.{field}") if value else b"").digest())
    return digest.digest()


def _only_trusting(ca: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies chain and name by default, trusts nobody yet
    content(ca, "tls.ca")
    try:
        if is_pem(ca):
            context.load_verify_locations(cadata=ca)
        else:
            context.load_verify_locations(cafile=ca)
    except (OSError, ValueError) as error:
        raise Mistake(
            f"tls.ca: {_name(ca)} cannot be read as PEM certificates: {error}", _PEM_OR_PATH
        ) from None
    return context


def load_identity(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Let `context` show a client certificate. Mistake where the two do not fit or cannot be read.

    OpenSSL reads only files, so PEM text goes through a temporary one that nobody else can read.
    """
    content(certificate, "tls.certificate")
    content(key, "tls.key")
    with tempfile.TemporaryDirectory() as directory:
        paths: list[Path] = []
        for name, value in (("certificate.pem", certificate), ("key.pem", key)):
            path = Path(value)
            if is_pem(value):
                path = Path(directory) / name
                path.touch(mode=0o600)
                path.write_text(value)
            paths.append(path)
        try:
            context.load_cert_chain(paths[0], paths[1], password=_no_password)
        except OSError as error:
            raise Mistake(
                f"tls.certificate {_name(certificate)} and its key cannot be used: {error.strerror or error}",
                _PEM_OR_PATH,
            ) from None


def _no_password() -> str:
    """Asked for by an encrypted key; without it, OpenSSL would ask the terminal."""
    return ""


def _name(value: str) -> str:
    """What to call a value in a sentence: text that was meant as PEM may hold a key."""
    return "the PEM text" if _PEM in value else value
