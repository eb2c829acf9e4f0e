"""The files of certificates and keys that a configuration names: are they there, good, and do they fit?"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

from gateway.certificates import lapse
from gateway.config.document import Document
from gateway.config.findings import Finding
from gateway.config.models import RoutesFile
from gateway.config.server import TlsConfig
from gateway.files import open_file, read_file, why
from gateway.mistakes import Mistake
from gateway.units import is_pem
from gateway.upstream.tls import load_identity, make_context

_LAPSED = "peers that verify it will refuse it: renew it"


def check_certificates(file: RoutesFile, document: Document, folder: Path) -> Iterator[Finding]:
    """What is wrong with those of `server.tls`, and of each upstream's `tls`."""
    for name, upstream in file.upstreams.items():
        place = document.place(("upstreams", name, "tls"))
        if upstream.tls.ca is None and upstream.tls.certificate is None:
            continue
        try:
            make_context(upstream.tls)
        except Mistake as mistake:
            yield Finding.at(place, f"upstream {name}: {mistake.what}", mistake.mend)
            continue
        shown = upstream.tls.certificate
        if shown is not None and (lapsed := lapse(shown.encode()) if is_pem(shown) else _lapse(Path(shown))):
            message = f"upstream {name}: the certificate that it is shown {lapsed}"
            yield Finding.at(place, message, _LAPSED, severity="warning")
    if file.server.tls is not None:
        yield from _own(file.server.tls, document, folder)


def _lapse(path: Path) -> str:
    try:
        return lapse(read_file(path))
    except OSError:  # gone since it was looked at
        return ""


def _own(tls: TlsConfig, document: Document, folder: Path) -> Iterator[Finding]:
    missing = False
    for key, name in tls.files.items():
        try:
            open_file(folder / name).close()
        except OSError as error:
            message = f"server.tls.{key}: the file {name} cannot be read: {why(error)}"
            mend = "paths are relative to the configuration file"
            if "-----BEGIN" in name:  # which may be the key itself
                message, mend = f"server.tls.{key} is PEM text", "put it into a file, and give its path"
            yield Finding.at(document.place(("server", "tls", key)), message, mend)
            missing = True
    if missing:  # what is not there needs no further look
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    place = document.place(("server", "tls"))
    try:
        load_identity(context, str(folder / tls.certificate), str(folder / tls.key))
    except ValueError:
        message = (
            f"server.tls: {tls.certificate} and {tls.key} are not a certificate chain and its key in PEM"
        )
        yield Finding.at(place, message, "give files that fit each other, the key without a password")
    else:
        if lapsed := _lapse(folder / tls.certificate):
            message = f"server.tls.certificate: the certificate in {tls.certificate} {lapsed}"
            place = document.place(("server", "tls", "certificate"))
            yield Finding.at(place, message, _LAPSED, severity="warning")
    if tls.client_ca is not None:
        try:
            context.load_verify_locations(str(folder / tls.client_ca))
        except OSError:
            message = f"server.tls.client_ca: {tls.client_ca} holds no certificates in PEM"
            yield Finding.at(
                document.place(("server", "tls", "client_ca")), message, "give the authorities' certificates"
            )
