"""Orders that are fine, and what is only warned about; the dangerous ones are among the broken files."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import check
from tests.config.cases import ENVIRON, unpack

ROUTES = """=== routes.yaml
version: 1
consumers: {platform: {credentials: [{api_key: {env: PLATFORM_API_KEY}}], networks: [10.0.0.0/8]}}
providers: {aurora: {credentials: [{api_key: {env: AURORA_API_KEY}}], networks: [203.0.113.0/24]}}
upstreams:
  aurora: {targets: [{url: "http://127.0.0.1:9201"}]}
  other: {targets: [{url: "http://127.0.0.1:9202"}]}
routes:
  - name: games
    match: {methods: [GET], path: /games}
    provider: aurora
    upstream: aurora
    policies: [%s]
  - name: other
    match: {methods: [GET], path: /other}
    upstream: other
    policies: [{authentication: {accept: [api_key]}}]
"""
AUTH = "{authentication: {accept: [api_key], consumers: [platform]}}"
HEADERS = "{request: {remove: [x-a]}}"


def said(tmp_path: Path, policies: str) -> list[tuple[str, str]]:
    path = unpack(ROUTES % policies.replace("AUTH", AUTH).replace("HEADERS", HEADERS), tmp_path)
    return [(finding.severity, finding.message) for finding in check(path, ENVIRON)]


@pytest.mark.parametrize(
    "policies",
    [
        "AUTH, {cache: {}}, {circuit_breaker: {}}, {retry: {}}, {timeout: {total: 1s}}, {error_codes: {}}",
        "AUTH, {retry: {}}, {circuit_breaker: {}}, {timeout: {total: 1s}}",
        "AUTH, {timeout: {total: 3s}}, {retry: {}}, {timeout: {total: 1s}}",
        "{ip_allow_list: {networks: [10.0.0.0/8]}}, AUTH, {ip_allow_list: {from: consumer}}, {cache: {}}",
        "{ip_allow_list: {from: provider}}, AUTH",
        "AUTH, {rate_limit: {rate: 5/second, by: consumer}}, {rate_limit: {rate: 50/minute, by: client}}",
        "AUTH, {fallback: {when: [unreachable], respond: {status: 200, json: {}}}}, {cache: {}}, {retry: {}}",
        "AUTH, {fallback: {when: [unreachable], stale: 1d}}, {cache: {}}",
        "AUTH, {fallback: {when: [unreachable], upstream: other}}",
        "AUTH, {error_codes: {}}, {upstream_auth: {bearer: {env: AURORA_API_KEY}}}, {headers: HEADERS}",
        "{cache: {mode: off}}, AUTH",
    ],
)
def test_good_orders(policies: str, tmp_path: Path) -> None:
    assert said(tmp_path, policies) == []


@pytest.mark.parametrize(
    ("policies", "warning"),
    [
        ("{timeout: {total: 1s}}", "route games has no authentication: it serves everybody"),
        (
            "{ip_allow_list: {from: provider}}",
            "route games has no authentication: it serves any caller from an allowed address",
        ),
        (
            "{ip_allow_list: {networks: [10.0.0.0/8], mode: shadow}}",
            "route games has no authentication: it serves everybody",
        ),
        (
            "{authentication: {accept: [api_key], mode: shadow}}",
            "on route games, authentication only watches: everybody is let in",
        ),
        (
            "AUTH, {circuit_breaker: {}}, {cache: {}}",
            (
                "on route games, circuit_breaker stands outside cache: "
                "while it is open, not even cached answers are served"
            ),
        ),
    ],
)
def test_what_is_only_warned_about(policies: str, warning: str, tmp_path: Path) -> None:
    assert said(tmp_path, policies) == [("warning", warning)]


@pytest.mark.parametrize(
    "policies",
    [
        "nope, {rate_limit: {rate: 5/second, by: consumer}}, {ip_allow_list: {from: consumer}}",
        "nope, {fallback: {when: [unreachable], stale: 1d}}",
    ],
)
def test_nothing_is_said_about_what_an_unread_list_may_hold(policies: str, tmp_path: Path) -> None:
    assert said(tmp_path, policies) == [("error", "there is no policy list 'nope'")]


def test_orders_are_judged_beside_an_unread_list(tmp_path: Path) -> None:
    assert said(tmp_path, "nope, {cache: {}}, AUTH") == [
        ("error", "there is no policy list 'nope'"),
        (
            "error",
            "on route games, cache stands outside authentication: strangers would be served from the cache",
        ),
    ]
