"""What a certificate says of itself: when it holds, and which key is its own."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def lapse(chain: bytes) -> str:
    """Why the first certificate of a PEM chain does not hold now, as the end of a sentence.

    Empty where it holds, and where it cannot be read: whether it is one at all is OpenSSL's to judge.
    """
    try:
        certificate = x509.load_pem_x509_certificate(chain)
    except ValueError:
        return ""
    now = datetime.now(UTC)
    if now >= certificate.not_valid_after_utc:
        return f"expired on {certificate.not_valid_after_utc:%Y-%m-%d}"
    if now < certificate.not_valid_before_utc:
        return f"is not valid before {certificate.not_valid_before_utc:%Y-%m-%d}"
    return ""


def pin_of(der: bytes) -> str:
    """`sha256/` and base64 of the SHA-256 of its public key: the SubjectPublicKeyInfo of RFC 7469 §2.4."""
    key = x509.load_der_x509_certificate(der).public_key()
    info = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"sha256/{b64encode(sha256(info).digest()).decode()}"
