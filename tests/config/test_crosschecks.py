"""What is left beside the broken files: the cases that are fine."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import check
from tests.config.cases import ENVIRON, FULL, unpack


def said(tmp_path: Path, before: str, after: str, extra: str = "") -> list[str]:
    assert FULL.count(before) == 1
    path = unpack(FULL.replace(before, after) + extra, tmp_path)
    return [finding.message for finding in check(path, ENVIRON) if "has no effect" not in finding.message]


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("http://localhost:1", False),
        ("http://[::1]:1", False),
        ("https://provider.example", False),
        ("http://provider.example", True),
        ("http://10.0.0.7", True),
    ],
)
def test_plain_http_is_fine_on_this_machine_only(url: str, warned: bool, tmp_path: Path) -> None:
    told = said(tmp_path, "http://127.0.0.1:9200", url)
    by = "by route aurora-wallet"
    assert told == ([f"upstream platform is reached over plain HTTP: {url}, {by}"] if warned else [])


def test_a_url_from_a_variable_is_not_repeated(tmp_path: Path) -> None:
    path = unpack(FULL, tmp_path)
    told = [finding.message for finding in check(path, {**ENVIRON, "AURORA_URL": "http://hidden.example"})]
    assert "upstream aurora is reached over plain HTTP: the target, by route aurora-games" in told


def test_every_route_that_serves_everybody_is_named(tmp_path: Path) -> None:
    routes = "".join(
        f"  - {{name: r{number}, match: {{methods: [GET], path: /r{number}}}, upstream: aurora{policies}}}\n"
        for number, policies in enumerate(["", "", ", policies: [open]", ", policies: [open]"])
    )
    told = said(tmp_path, "routes:\n", f"routes:\n{routes}", "=== policies/open.yaml\n- timeout: {}\n")
    assert told == [f"route r{number} has no authentication: it serves everybody" for number in range(4)]


def test_routes_that_differ_in_host_or_method_do_not_tie(tmp_path: Path) -> None:
    twin = """  - name: twin
    match: {methods: [%s], path: /aurora/games%s}
    upstream: aurora
    policies: [platform-only]
=== policies/platform-only.yaml
"""
    for methods, host in (("POST", ""), ("HEAD", ""), ("GET", ", host: eu.example")):
        assert said(tmp_path, "=== policies/platform-only.yaml\n", twin % (methods, host)) == []


def test_names_in_a_broken_section_are_not_called_unknown(tmp_path: Path) -> None:
    told = said(tmp_path, "    timeout: {total: 2s}", "    timeout: {totl: 2s}")
    assert told == ["unknown key 'totl'"]
    told = said(tmp_path, "    contacts: {", "    kontacts: {")
    assert told == ["unknown key 'kontacts'"]
    told = said(tmp_path, "  platform:\n    credentials", "  platform:\n    certificates: 1\n    credentials")
    assert told == ["unknown key 'certificates'"]
