"""Trusted networks: those of load balancers pass, those that hold callers are told of."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import check, render_findings
from tests.config.cases import ENVIRON, FULL, unpack

BEFORE = "trusted_proxies: [192.0.2.0/24]"


def told(tmp_path: Path, networks: str, **environ: str) -> str:
    assert FULL.count(BEFORE) == 1
    path = unpack(FULL.replace(BEFORE, f"trusted_proxies: {networks}"), tmp_path)
    findings = [one for one in check(path, ENVIRON | environ) if "trust" in one.message]
    assert all(finding.severity == "warning" for finding in findings)
    return render_findings(findings).replace(f"{tmp_path}/", "")


def test_a_network_that_holds_everybody_is_told_at_its_place(tmp_path: Path) -> None:
    assert (
        told(tmp_path, '[10.0.0.0/8, 0.0.0.0/0, "::/0"]')
        == """\
routes.yaml:29:33: warning: server.trusted_proxies trusts 0.0.0.0/0: every caller in it may forge its address
   29 |   trusted_proxies: [10.0.0.0/8, 0.0.0.0/0, "::/0"]
                                        ^
      = list the addresses of your load balancers, like 10.0.0.7 or 10.0.0.0/24
routes.yaml:29:44: warning: server.trusted_proxies trusts ::/0: every caller in it may forge its address
   29 |   trusted_proxies: [10.0.0.0/8, 0.0.0.0/0, "::/0"]
                                                   ^
      = list the addresses of your load balancers, like 10.0.0.7 or 10.0.0.0/24
"""
    )


@pytest.mark.parametrize(
    ("network", "warned"),
    [
        ("0.0.0.0/1", True),
        ("128.0.0.0/7", True),
        ("10.0.0.0/8", False),
        ("192.0.2.1", False),
        ("2000::/3", True),
        ("fc00::/7", True),
        ("fd00::/16", False),
        ("2001:db8::1", False),
        ("::ffff:0:0/96", True),  # all of IPv4, as IPv6 writes it
    ],
)
def test_how_wide_is_too_wide(tmp_path: Path, network: str, warned: bool) -> None:
    assert bool(told(tmp_path, f'["{network}"]')) is warned


def test_a_network_from_a_variable_is_not_repeated(tmp_path: Path) -> None:
    said = told(tmp_path, "[{env: PROXIES}]", PROXIES="0.0.0.0/0")
    assert "server.trusted_proxies trusts a network that wide: every caller" in said
    assert "0.0.0.0/0" not in said


def test_a_header_that_tells_certificates_makes_it_worse(tmp_path: Path) -> None:
    said = told(tmp_path, "[0.0.0.0/0]\n  client_certificate_header: client-cert")
    assert "every caller in it may forge its address and its certificate" in said


def test_a_network_that_is_wrong_is_not_called_missing(tmp_path: Path) -> None:
    path = unpack(
        FULL.replace(BEFORE, "trusted_proxies: [10.0.0.300]\n  client_certificate_header: client-cert"),
        tmp_path,
    )
    errors = [finding.message for finding in check(path, ENVIRON) if finding.severity == "error"]
    assert len(errors) == 1
    assert "10.0.0.300" in errors[0]


def test_a_section_that_is_wrong_elsewhere_is_warned_about_too(tmp_path: Path) -> None:
    assert "server.trusted_proxies trusts 0.0.0.0/0" in told(tmp_path, "[0.0.0.0/0]\n  drian: {}")
