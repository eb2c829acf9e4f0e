"""Which routes move money; what they refuse is among the broken files."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import check
from tests.config.cases import ENVIRON, unpack

ROUTES = """=== routes.yaml
version: 1
consumers: {platform: {credentials: [{api_key: {env: PLATFORM_API_KEY}}], networks: [10.0.0.0/8]}}
providers:
  aurora: {upstream: aurora, credentials: [{api_key: {env: AURORA_API_KEY}}], networks: [203.0.113.0/24]}
upstreams:
  aurora: {targets: [{url: "http://127.0.0.1:9201"}]}
  platform: {targets: [{url: "http://127.0.0.1:9202"}]}
routes:
  - {name: one, match: {methods: [%s], path: /one}, provider: aurora, upstream: %s, policies: [%s]}
  - {name: two, match: {methods: [GET], path: /two}, upstream: aurora}
  - {name: three, match: {methods: [GET], path: /three}, upstream: platform}
"""
LIMIT = "{rate_limit: {rate: 5/second}}"
REFUSED = "route one moves money, and rate_limit would turn away wins and rollbacks, too"


def errors(tmp_path: Path, method: str, upstream: str, policies: str) -> list[str]:
    path = unpack(ROUTES % (method, upstream, policies), tmp_path)
    return [finding.message for finding in check(path, ENVIRON) if finding.severity == "error"]


@pytest.mark.parametrize(
    ("method", "upstream", "policies"),
    [
        ("POST", "platform", "{authentication: {accept: [api_key], consumers: [aurora]}}"),
        ("GET", "platform", "{authentication: {accept: [api_key], consumers: [aurora]}}"),
        ("POST", "aurora", "{authentication: {accept: [api_key], consumers: [platform, aurora]}}"),
        ("POST", "platform", "{ip_allow_list: {from: provider}}"),
        ("POST", "platform", "{authentication: {accept: [api_key]}}"),
    ],
)
def test_a_route_that_a_provider_calls(method: str, upstream: str, policies: str, tmp_path: Path) -> None:
    assert errors(tmp_path, method, upstream, f"{policies}, {LIMIT}".strip(", ")) == [REFUSED]


@pytest.mark.parametrize(
    ("method", "upstream", "policies"),
    [
        ("POST", "aurora", "{authentication: {accept: [api_key]}}"),
        ("GET", "platform", "{authentication: {accept: [api_key]}}"),
        ("POST", "platform", "{authentication: {accept: [api_key], consumers: [platform]}}"),
        ("POST", "platform", "{authentication: {accept: [api_key]}}, {ip_allow_list: {from: consumer}}"),
    ],
)
def test_a_route_that_the_platform_calls(method: str, upstream: str, policies: str, tmp_path: Path) -> None:
    assert errors(tmp_path, method, upstream, f"{policies}, {LIMIT}") == []


def test_limits_may_watch(tmp_path: Path) -> None:
    caller = "{authentication: {accept: [api_key], consumers: [aurora]}}"
    watching = LIMIT.replace("5/second", "5/second, mode: shadow")
    assert errors(tmp_path, "POST", "platform", f"{caller}, {watching}, {{cache: {{mode: off}}}}") == []


@pytest.mark.parametrize("policies", ["", "{ip_allow_list: {from: provider, mode: shadow}}"])
def test_one_that_anybody_may_call(policies: str, tmp_path: Path) -> None:
    assert errors(tmp_path, "POST", "platform", policies) == [
        "route one moves money, and anybody may call it"
    ]
    assert errors(tmp_path, "POST", "platform", f"nope, {policies}".strip(", ")) == [
        "there is no policy list 'nope'"
    ]
