"""What a certificate says of itself."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from gateway.certificates import lapse, pin_of
from tests.upstream.keys import der_of


@pytest.mark.parametrize(
    ("since_days", "until_days", "says"),
    [(-2, 2, ""), (-4, -2, "expired on "), (2, 4, "is not valid before ")],
)
def test_when_it_holds(since_days: int, until_days: int, says: str) -> None:
    now = datetime.now(UTC)
    since, until = now + timedelta(days=since_days), now + timedelta(days=until_days)
    leaf = trustme.CA().issue_cert("a.example", not_before=since, not_after=until)
    told = lapse(b"".join(part.bytes() for part in leaf.cert_chain_pems))
    wrong = until if until_days < 0 else since
    assert told == (f"{says}{wrong:%Y-%m-%d}" if says else "")


def test_what_cannot_be_read_is_not_judged() -> None:
    assert lapse(b"") == lapse(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n") == ""


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the command is openssl's")
@pytest.mark.parametrize("key_type", list(trustme.KeyType))
def test_a_pin_is_what_the_documented_command_prints(key_type: trustme.KeyType, tmp_path: Path) -> None:
    leaf = trustme.CA().issue_cert("a.example", key_type=key_type)
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    command = (
        "openssl x509 -in cert.pem -pubkey -noout | openssl pkey -pubin -outform der"
        " | openssl dgst -sha256 -binary | openssl base64"
    )
    printed = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=20
    )
    assert pin_of(der_of(leaf)) == f"sha256/{printed.stdout.strip()}"
