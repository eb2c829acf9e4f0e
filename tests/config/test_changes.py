from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import diff, load
from tests.config.cases import ENVIRON, FULL, unpack


def changes(tmp_path: Path, *edits: tuple[str, str], environ: dict[str, str] | None = None) -> list[str]:
    old = load(unpack(FULL, tmp_path / "old"), ENVIRON)
    text = FULL
    for before, after in edits:
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    new = load(unpack(text, tmp_path / "new"), environ or ENVIRON)
    back = diff(new, old)
    forth = diff(old, new)
    assert bool(back) == bool(forth)
    assert "hunter2" not in "".join(back + forth)
    return forth


def test_nothing(tmp_path: Path) -> None:
    assert changes(tmp_path) == []
    path = unpack(FULL, tmp_path)
    assert diff(load(path, ENVIRON), load(path, ENVIRON)) == []


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (
            "rewrite: /v1/games",
            "rewrite: /v2/games",
            "route aurora-games: rewrite changes from /v1/games to /v2/games",
        ),
        (
            "path: /aurora/games}",
            "path: /aurora/all}",
            "route aurora-games: match.path changes from /aurora/games to /aurora/all",
        ),
        (
            "methods: [POST]",
            "methods: [PUT, POST]",
            'route aurora-wallet: match.methods changes from ["POST"] to ["POST", "PUT"]',
        ),
        (
            "require_tls: true",
            "require_tls: false",
            "route aurora-wallet: require_tls changes from true to false",
        ),
        ("limits: {body: 64MiB}", "limits: {}", "route aurora-wallet: limits.body is no longer 64MiB"),
        ("ttl: 5m", "ttl: 10m", "route aurora-games: policy cache: ttl changes from 5m to 10m"),
        ("- timeout: {total: 3s}\n", "", "route aurora-games: policy timeout is removed"),
        ("connect: 500ms", "connect: 1s", "upstream aurora: timeout.connect changes from 500ms to 1s"),
        (
            "health: {path: /health, every: 5s}",
            "balance: least_request",
            "upstream aurora: health.path is no longer /health",
        ),
        (
            "networks: [203.0.113.0/24]",
            "networks: [203.0.113.0/25]",
            "provider aurora: networks changes from ",
        ),
        ("drain: {delay: 1s}", "drain: {delay: 2s}", "server: drain.delay changes from 1s to 2s"),
        (
            "server:\n",
            "server:\n  host: 0.0.0.0\n",
            "server: host changes from 127.0.0.1 to 0.0.0.0, from the next start on",
        ),
        ("level: info", "level: debug", "telemetry: logs.level changes from info to debug"),
        (
            "state: memory",
            "state: valkey://user:hunter2@127.0.0.1:6379/0",
            "state is kept elsewhere, from the next start on",
        ),
        ("  drain:", "  admin: {token: hunter2}\n  drain:", "server: admin.token is added"),
        (
            "health: {path: /health, every: 5s}",
            "health: {path: '/health?key=hunter2', every: 5s}",
            "upstream aurora: health.path changes from /health to /health?key=REDACTED",
        ),
        (
            "rewrite: /v1/games\n",
            "rewrite: /v1/games\n    limits: {body: 2MiB}\n",
            "route aurora-games: limits.body is now 2MiB",
        ),
        ("journal: sqlite:///journal.db", "journal: sqlite:///other.db", "the journal is kept elsewhere"),
        (", {api_key: {file: key.txt}}", "", "consumer platform: credentials[2].api_key is removed"),
    ],
)
def test_each_change_is_a_sentence(before: str, after: str, told: str, tmp_path: Path) -> None:
    said = changes(tmp_path, (before, after))
    assert any(sentence.startswith(told) for sentence in said), said


def test_a_rotated_secret_changes_without_being_shown(tmp_path: Path) -> None:
    said = changes(tmp_path, environ={**ENVIRON, "PLATFORM_API_KEY": "new-hunter2"})
    assert said == ["consumer platform: credentials[1].api_key is changed"]


HEADERS = "headers: {request: {set: {authorization: %s}, add: {x-tag: %s}}}"


def test_a_header_that_is_set_changes_without_being_shown(tmp_path: Path) -> None:
    before = FULL.replace("- timeout: {total: 3s}", f"- {HEADERS % ('hunter2', 'hunter2-b')}")
    after = before.replace("hunter2,", "hunter2-c,").replace(
        "authorization: hunter2", "authorization: hunter2-c"
    )
    old, new = (load(unpack(text, tmp_path / name), ENVIRON) for text, name in ((before, "a"), (after, "b")))
    said = diff(old, new)
    assert said == ["route aurora-games: policy headers: request.set.authorization is changed"]


def test_routes_come_and_go(tmp_path: Path) -> None:
    said = changes(tmp_path, ("name: aurora-games", "name: games"))
    assert said == [
        "route aurora-games is removed: GET /aurora/games to aurora",
        (
            "route games is added: GET /aurora/games to aurora, with authentication, rate_limit, cache, "
            "circuit_breaker, retry, timeout, error_codes"
        ),
    ]


def test_upstreams_and_consumers_come_and_go(tmp_path: Path) -> None:
    said = changes(
        tmp_path,
        ("upstreams:\n", 'upstreams:\n  spare: {targets: [{url: "http://127.0.0.1:1"}]}\n'),
        ("consumers:\n", "consumers:\n  partner: {}\n"),
    )
    assert said == ["upstream spare is added", "consumer partner is added"]


def test_the_order_of_policies_and_second_ones_count(tmp_path: Path) -> None:
    said = changes(
        tmp_path,
        ("[platform-only, metadata, {error_codes: {}}]", "[platform-only, {timeout: {total: 9s}}, metadata]"),
    )
    assert any(sentence.startswith("route aurora-games: policy timeout (2) is added (") for sentence in said)
    assert any(
        sentence.startswith("route aurora-games: policy error_codes is removed (") for sentence in said
    )
    assert any(sentence.startswith("route aurora-games: the order of policies becomes") for sentence in said)
