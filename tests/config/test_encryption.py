"""Which routes run without encryption, and what is said about TLS to no effect."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from gateway.config import Finding, examine
from gateway.config.encryption import is_local

CONFIG = """\
version: 1
upstreams:
  near: {targets: [{url: "http://127.0.0.1:1"}]}
  far: {targets: [{url: "https://far.example"}]}
routes:
  - {name: a, match: {methods: [GET], path: /a}, upstream: near, require_tls: false}
  - {name: b, match: {methods: [GET], path: /b}, upstream: far, require_tls: true}
  - {name: c, match: {methods: [GET], path: /c}, upstream: far, policies: [{fallback: {upstream: near}}]}
server: {host: 127.0.0.1}
"""
LOCAL = "server: {host: 127.0.0.1}"


def found(tmp_path: Path, *changes: tuple[str, str]) -> tuple[list[Finding], list[Finding]]:
    """(warnings about encryption, notes)."""
    text = CONFIG
    for before, after in changes:
        assert text.count(before) == 1
        text = text.replace(before, after)
    path = tmp_path / "routes.yaml"
    path.write_text(text)
    config, findings = examine(path, {})
    assert config is not None, findings
    assert not [finding for finding in findings if finding.severity == "note"]
    return [one for one in findings if "authentication" not in one.message], list(config.notes)


def certificates(tmp_path: Path) -> str:
    leaf = trustme.CA().issue_cert("gateway.example")
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    leaf.private_key_pem.write_to_path(tmp_path / "key.pem")
    return "server: {tls: {certificate: cert.pem, key: key.pem%s}}"


ALL_OVER_TLS = (
    ("require_tls: false", "require_tls: redirect"),
    ("upstream: far, policies", "upstream: far, require_tls: true, policies"),
)


def test_callers_without_tls(tmp_path: Path) -> None:
    proxied = "server: {host: 10.0.0.1, trusted_proxies: [10.0.0.7]}"
    warnings, (note,) = found(tmp_path, (LOCAL, proxied))
    assert warnings == []
    assert (note.severity, note.routes) == ("note", ("a", "c"))
    assert note.message == "callers reach routes a and c over plain HTTP, for there is no server.tls"
    assert "require_tls" in note.mend
    assert (note.line, note.excerpt) == (5, "routes:")
    _, notes = found(tmp_path, (LOCAL, proxied), *ALL_OVER_TLS)
    assert notes == []


def test_callers_of_this_machine(tmp_path: Path) -> None:
    _, (note,) = found(tmp_path, ALL_OVER_TLS[0])
    assert note.message == (
        "callers reach route c over plain HTTP, for there is no server.tls; "
        "only from this machine, unless serve says another --host than 127.0.0.1"
    )


def test_all_routes_are_not_named_one_by_one(tmp_path: Path) -> None:
    _, (note,) = found(tmp_path, ("require_tls: true", "require_tls: false"))
    assert note.message.startswith("callers reach all 3 routes over plain HTTP, ")
    assert note.routes == ("a", "b", "c")


def test_a_plain_port_beside_tls(tmp_path: Path) -> None:
    tls = certificates(tmp_path)
    assert found(tmp_path, (LOCAL, tls % "")) == ([], [])
    warnings, (note,) = found(tmp_path, (LOCAL, tls % ", plain_port: 80"))
    assert warnings == []
    assert note.message == "callers reach routes a and c over plain HTTP, on server.tls.plain_port"
    assert found(tmp_path, (LOCAL, tls % ", plain_port: 80"), *ALL_OVER_TLS)[1] == []


def test_upstreams_name_their_routes(tmp_path: Path) -> None:
    tls = (LOCAL, certificates(tmp_path) % "")
    for url, told in (
        (
            "http://10.0.0.1:1",
            "upstream near is reached over plain HTTP: http://10.0.0.1:1, by routes a and c",
        ),
        ("http://localhost:1", ""),
        ("https://10.0.0.1:1", ""),
    ):
        warnings, _ = found(tmp_path, tls, ("http://127.0.0.1:1", url))
        assert [warning.message for warning in warnings] == ([told] if told else [])
        assert all(warning.severity == "warning" for warning in warnings)
        assert [warning.routes for warning in warnings] == ([("a", "c")] if told else [])


def test_credentials_do_not_go_with_redirects(tmp_path: Path) -> None:
    gate = ", policies: [{authentication: {accept: [api_key]}}]"
    key = "consumers: {platform: {credentials: [{api_key: hunter2-hunter2}]}}\nroutes:\n"
    changes = (("routes:\n", key), ("require_tls: false", f"require_tls: redirect{gate}"))
    warnings, _ = found(tmp_path, *changes, (LOCAL, certificates(tmp_path) % ""))
    (warning,) = warnings
    assert warning.message.startswith("route a redirects plain HTTP, and takes credentials: ")
    assert (warning.severity, warning.mend) == ("warning", "say require_tls: true")
    off = f"require_tls: redirect{gate}".replace("api_key]", "api_key], mode: off")
    assert found(tmp_path, changes[0], (changes[1][0], off), (LOCAL, certificates(tmp_path) % ""))[0] == []


def test_what_has_no_effect(tmp_path: Path) -> None:
    warnings, _ = found(tmp_path)
    assert [warning.message for warning in warnings] == [
        "route b cannot be called: HTTPS is required, and neither server.tls nor a trusted proxy brings it"
    ]
    hsts = (LOCAL, (certificates(tmp_path) % "").replace("server: {", "server: {hsts: {max_age: 365d}, "))
    assert found(tmp_path, hsts)[0] == []
    warnings, _ = found(tmp_path, hsts, ("require_tls: true", "require_tls: false"))
    assert [warning.message for warning in warnings] == [
        "server.hsts has no effect: no route says require_tls"
    ]


@pytest.mark.parametrize(
    ("host", "local"),
    [("localhost", True), ("127.8.8.8", True), ("::1", True), ("0.0.0.0", False), ("a.example", False)],
)
def test_what_is_local(host: str, local: bool) -> None:
    assert is_local(host) is local
