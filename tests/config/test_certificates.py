"""Files of certificates and keys: that they are there, fit and hold now, on the way in and on the way out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from gateway.config import check, load
from tests.config.cases import ENVIRON, FULL, unpack
from tests.config.test_crosschecks import said


def test_certificates_that_are_there(tmp_path: Path) -> None:
    leaf = trustme.CA().issue_cert("gateway.example")
    certificate, key = leaf.cert_chain_pems[0].bytes().decode(), leaf.private_key_pem.bytes().decode()
    tls = "server:\n  tls: {certificate: cert.pem, key: tls/key.pem%s}\n"
    texts = f"=== cert.pem\n{certificate}=== tls/key.pem\n{key}"
    assert said(tmp_path, "server:\n", tls % "", texts) == []
    assert said(tmp_path, "server:\n", tls % ", client_ca: cert.pem", texts) == []
    (told,) = said(tmp_path, "server:\n", tls % ", client_ca: tls/key.pem", texts)
    assert told == "server.tls.client_ca: tls/key.pem holds no certificates in PEM"
    (told,) = said(tmp_path, "server:\n", tls % "", f"=== cert.pem\n{key}=== tls/key.pem\n{key}")
    assert told == "server.tls: cert.pem and tls/key.pem are not a certificate chain and its key in PEM"


def test_upstream_certificates_are_beside_the_configuration(tmp_path: Path) -> None:
    authority = trustme.CA()
    leaf = authority.issue_cert("gateway.example")
    files = {
        "ca.pem": authority.cert_pem.bytes().decode(),
        "cert.pem": leaf.cert_chain_pems[0].bytes().decode(),
        "key.pem": leaf.private_key_pem.bytes().decode(),
    }
    texts = "".join(f"=== tls/{name}\n{text}" for name, text in files.items())
    before, target = 'targets: [{url: "http://127.0.0.1:9200"}]', 'targets: [{url: "https://127.0.0.1:9200"}]'
    tls = "\n    tls: {ca: tls/ca.pem, certificate: tls/cert.pem, key: tls/key.pem}"
    assert said(tmp_path, before, target + tls, texts) == []
    shown = (
        "- upstream_auth: {client_certificate: {certificate: tls/cert.pem, key: tls/key.pem, ca: tls/ca.pem}}"
    )
    timeout = "- timeout: {total: 3s}\n"
    assert said(tmp_path, timeout, f"{timeout}{shown}\n", texts) == []
    (told,) = said(tmp_path, before, target + "\n    tls: {ca: tls/key.pem}", texts)
    assert "cannot be read as PEM certificates" in told


@pytest.mark.parametrize(
    ("since_days", "until_days", "says"),
    [(-4, -2, "expired on "), (2, 4, "is not valid before "), (-2, 2, "")],
)
def test_certificates_that_do_not_hold_now_are_warned_of(
    tmp_path: Path, since_days: int, until_days: int, says: str
) -> None:
    now = datetime.now(UTC)
    since, until = now + timedelta(days=since_days), now + timedelta(days=until_days)
    leaf = trustme.CA().issue_cert("gateway.example", not_before=since, not_after=until)
    texts = (
        f"=== cert.pem\n{leaf.cert_chain_pems[0].bytes().decode()}"
        f"=== key.pem\n{leaf.private_key_pem.bytes().decode()}"
    )
    tls = "tls: {certificate: cert.pem, key: key.pem}"
    told = said(tmp_path, "server:\n", f"server:\n  {tls}\n", texts)
    day = f"{until if until_days < 0 else since:%Y-%m-%d}"
    expected = f"server.tls.certificate: the certificate in cert.pem {says}{day}"
    assert told == ([expected] if says else [])
    before, target = 'targets: [{url: "http://127.0.0.1:9200"}]', 'targets: [{url: "https://127.0.0.1:9200"}]'
    told = said(tmp_path, before, f"{target}\n    {tls}", texts)
    assert told == ([f"upstream platform: the certificate that it is shown {says}{day}"] if says else [])
    path = unpack(FULL.replace(before, f"{target}\n    {tls}") + texts, tmp_path)
    assert {finding.severity for finding in check(path, ENVIRON)} == {"warning"}


def test_every_file_is_watched_and_those_shown_outwards_are_part_of_the_configuration(tmp_path: Path) -> None:
    authority = trustme.CA()
    leaf = authority.issue_cert("gateway.example")
    pem = {
        "ca.pem": authority.cert_pem.bytes().decode(),
        "cert.pem": leaf.cert_chain_pems[0].bytes().decode(),
        "key.pem": leaf.private_key_pem.bytes().decode(),
    }
    texts = "".join(
        f"=== {side}/{name}\n{text}" for side in ("in", "up", "shown") for name, text in pem.items()
    )
    text = FULL
    for before, after in (
        ("server:\n", "server:\n  tls: {certificate: in/cert.pem, key: in/key.pem, client_ca: in/ca.pem}\n"),
        (
            'targets: [{url: "http://127.0.0.1:9200"}]',
            """targets: [{url: "https://127.0.0.1:9200"}]
    tls: {ca: up/ca.pem, certificate: up/cert.pem, key: up/key.pem}""",
        ),
        (
            "- timeout: {total: 3s}\n",
            """- timeout: {total: 3s}
- upstream_auth:
    client_certificate: {certificate: shown/cert.pem, key: shown/key.pem, ca: shown/ca.pem}
""",
        ),
    ):
        assert text.count(before) == 1
        text = text.replace(before, after)
    path = unpack(text + texts, tmp_path)
    config = load(path, ENVIRON)
    files = {str(file.relative_to(tmp_path)) for file in config.files}
    assert files >= {f"{side}/{name}" for side in ("in", "up", "shown") for name in pem}
    for name in sorted(files):
        if name.endswith(".pem"):
            (tmp_path / name).write_text((tmp_path / name).read_text() + "\n")
            changed = load(path, ENVIRON).fingerprint != config.fingerprint
            assert changed == (not name.startswith("in/")), name
            config = load(path, ENVIRON)
