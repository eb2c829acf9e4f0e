"""Contexts of the edge: what they demand, and which files may replace those in use."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import trustme

from gateway.edge.tls import content_of, renewed_context, tls_context


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


def settings(folder: Path, leaf: trustme.LeafCert, client_ca: trustme.CA | None = None) -> SimpleNamespace:
    (folder / "cert.pem").write_bytes(b"".join(part.bytes() for part in leaf.cert_chain_pems))
    (folder / "key.pem").write_bytes(leaf.private_key_pem.bytes())
    named = SimpleNamespace(certificate=str(folder / "cert.pem"), key=str(folder / "key.pem"), client_ca=None)
    if client_ca is not None:
        named.client_ca = str(folder / "ca.pem")
        client_ca.cert_pem.write_to_path(named.client_ca)
    return named


def test_what_it_demands(ca: trustme.CA, tmp_path: Path) -> None:
    leaf = ca.issue_cert("gateway.example")
    context = tls_context(settings(tmp_path, leaf))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_NONE
    asking = tls_context(settings(tmp_path, leaf, ca))
    assert asking.verify_mode is ssl.CERT_OPTIONAL
    assert len(asking.get_ca_certs()) == 1


def test_each_file_counts(ca: trustme.CA, tmp_path: Path) -> None:
    leaf = ca.issue_cert("gateway.example")
    named = settings(tmp_path, leaf, ca)
    seen = {content_of(named)}
    assert content_of(named) in seen
    for path in (named.certificate, named.key, named.client_ca):
        Path(path).write_bytes(Path(path).read_bytes() + b"\n")
        seen.add(content_of(named))
    assert len(seen) == 4
    Path(named.client_ca).unlink()
    with pytest.raises(OSError, match="No such file"):
        content_of(named)


def test_a_good_pair_may_come_in(ca: trustme.CA, tmp_path: Path) -> None:
    assert renewed_context(settings(tmp_path, ca.issue_cert("gateway.example"), ca)).get_ca_certs()


@pytest.mark.parametrize(("since_days", "until_days"), [(-4, -2), (2, 4)])
def test_one_that_does_not_hold_now_may_not(
    ca: trustme.CA, tmp_path: Path, since_days: int, until_days: int
) -> None:
    now = datetime.now(UTC)
    leaf = ca.issue_cert(
        "gateway.example",
        not_before=now + timedelta(days=since_days),
        not_after=now + timedelta(days=until_days),
    )
    named = settings(tmp_path, leaf)
    assert tls_context(named), "a start shows what there is, and `check` warns of it"
    with pytest.raises(
        ValueError, match=r"^the certificate in cert\.pem (expired on|is not valid before) 20"
    ):
        renewed_context(named)


def test_nor_may_halves_that_do_not_fit(ca: trustme.CA, tmp_path: Path) -> None:
    named = settings(tmp_path, ca.issue_cert("gateway.example"))
    Path(named.key).write_bytes(ca.issue_cert("gateway.example").private_key_pem.bytes())
    with pytest.raises(ssl.SSLError):
        renewed_context(named)
