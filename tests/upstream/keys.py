"""Certificates of tests, as handshakes and pins have them."""

from __future__ import annotations

import ssl

import trustme

from gateway.certificates import pin_of


def der_of(leaf: trustme.LeafCert) -> bytes:
    """The certificate itself, without its chain."""
    return ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())


def pin(leaf: trustme.LeafCert) -> str:
    """As YAML pins its key."""
    return pin_of(der_of(leaf))
