"""Whose client certificate it is. A handshake verified it, here or in front: chain, purpose, possession."""

from __future__ import annotations

from hashlib import sha256

from cryptography import x509

from gateway.consumers import CertificateCredential
from gateway.mistakes import Mistake
from gateway.services import Clock
from gateway.tokens import InvalidCredential
from gateway.tokens.memo import Memo


class CertificateTable:
    """Certificates → consumers. Each certificate is parsed once, then remembered by its fingerprint."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rules: list[tuple[CertificateCredential, x509.Name | None, str]] = []
        self._known: Memo[str] = Memo(1_000)

    def add(self, rule: CertificateCredential, owner: str) -> None:
        """Let certificates that match `rule` prove `owner`. ValueError where it means somebody else."""
        for known, _, other in self._rules:
            if known == rule and other != owner:
                raise Mistake(
                    f"consumers {other} and {owner} have the same client certificate",
                    "give each caller one of its own",
                )
        subject = x509.Name.from_rfc4514_string(rule.subject) if rule.subject is not None else None
        self._rules.append((rule, subject, owner))

    def find(self, der: bytes) -> str:
        """Whose certificate it is. InvalidCredential where it is nobody's, or its time has passed."""
        fingerprint = sha256(der)
        known = self._known.get(fingerprint.digest(), self._clock.time())
        if known is not None:
            return known
        try:
            certificate = x509.load_der_x509_certificate(der)
            names = _alternative_names(certificate)
            subject = certificate.subject
        except ValueError:
            raise InvalidCredential("the client certificate cannot be read") from None
        until = certificate.not_valid_after_utc.timestamp()
        if self._clock.time() >= until:  # a connection may outlive its certificate
            raise InvalidCredential("the client certificate has expired")
        owners = {
            owner
            for rule, wanted, owner in self._rules
            if (wanted is None or wanted == subject)
            and (rule.san is None or rule.san in names or rule.san.lower() in names)
            and (rule.sha256 is None or rule.fingerprint == fingerprint.hexdigest())
        }
        if len(owners) != 1:
            raise InvalidCredential(
                "the client certificate belongs to several consumers at once"
                if owners
                else "the client certificate belongs to no known consumer"
            )
        owner = owners.pop()
        self._known.put(fingerprint.digest(), owner, until)
        return owner

    def __len__(self) -> int:
        return len(self._rules)


def _alternative_names(certificate: x509.Certificate) -> frozenset[str]:
    """Its subject alternative names: DNS names in lower case, URIs and e-mails as they are, addresses."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return frozenset()
    names = extension.value
    return frozenset(
        [name.lower() for name in names.get_values_for_type(x509.DNSName)]
        + names.get_values_for_type(x509.UniformResourceIdentifier)
        + names.get_values_for_type(x509.RFC822Name)
        + [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    )
