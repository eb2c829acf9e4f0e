"""Client certificates: whose they are."""

import datetime as dt
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from gateway.consumers import CertificateCredential
from gateway.services import FakeClock
from gateway.tokens import InvalidCredential
from gateway.tokens.certificates import CertificateTable
from tests.tokens.issuer import NOW

KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(common_name="aurora", san=(), days=30):
    start = dt.datetime.fromtimestamp(NOW, dt.UTC) - dt.timedelta(days=1)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Aurora Games"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(KEY.public_key())
        .serial_number(7)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=days))
    )
    if san:
        builder = builder.add_extension(x509.SubjectAlternativeName(san), critical=False)
    return builder.sign(KEY, SHA256())


def der(certificate):
    return certificate.public_bytes(Encoding.DER)


def table(*rules):
    table = CertificateTable(FakeClock())
    for owner, rule in rules:
        table.add(CertificateCredential.model_validate(rule), owner)
    return table


ALL_NAMES = certificate(
    san=[
        x509.DNSName("Aurora.example"),
        x509.UniformResourceIdentifier("spiffe://aurora/Wallet"),
        x509.RFC822Name("ops@aurora.example"),
        x509.IPAddress(ip_address("203.0.113.7")),
    ]
)


@pytest.mark.parametrize(
    "rule",
    [
        {"subject": "CN=aurora,O=Aurora Games"},
        {"san": "aurora.EXAMPLE"},
        {"san": "spiffe://aurora/Wallet"},
        {"san": "ops@aurora.example"},
        {"san": "203.0.113.7"},
        {"sha256": ALL_NAMES.fingerprint(SHA256()).hex()},
        {"sha256": ALL_NAMES.fingerprint(SHA256()).hex(":").upper(), "san": "aurora.example"},
    ],
)
def test_what_a_rule_names_is_its_owners(rule):
    known = table(("borealis", {"san": "borealis.example"}), ("aurora", rule))
    assert known.find(der(ALL_NAMES)) == "aurora"
    assert known.find(der(ALL_NAMES)) == "aurora"  # remembered
    assert len(known) == 2


@pytest.mark.parametrize(
    "rule",
    [
        {"subject": "CN=aurora"},
        {"subject": "CN=Aurora,O=Aurora Games"},
        {"san": "evil.example"},
        {"sha256": "0" * 64},
        {"subject": "CN=aurora,O=Aurora Games", "san": "evil.example"},
    ],
)
def test_what_a_rule_does_not_name_is_nobodys(rule):
    for one in (ALL_NAMES, certificate()):
        with pytest.raises(InvalidCredential, match="no known consumer"):
            table(("aurora", rule)).find(der(one))


def test_a_certificate_of_two_is_nobodys():
    known = table(
        ("aurora", {"san": "aurora.example"}), ("borealis", {"subject": "CN=aurora,O=Aurora Games"})
    )
    with pytest.raises(InvalidCredential, match="several consumers"):
        known.find(der(ALL_NAMES))


def test_one_rule_for_two_is_refused_at_load():
    with pytest.raises(ValueError, match="aurora and borealis"):
        table(("aurora", {"san": "x"}), ("borealis", {"san": "x"}))


def test_a_connection_does_not_prolong_its_certificate():
    known = table(("aurora", {"subject": "CN=aurora,O=Aurora Games"}))
    short = der(certificate(days=2))
    assert known.find(short) == "aurora"
    known._clock.advance(86_400)
    with pytest.raises(InvalidCredential, match="expired"):
        known.find(short)


@pytest.mark.parametrize("bad", [b"", b"not a certificate", der(ALL_NAMES)[:-9]])
def test_what_is_no_certificate(bad):
    with pytest.raises(InvalidCredential, match="cannot be read"):
        table(("aurora", {"san": "x"})).find(bad)
