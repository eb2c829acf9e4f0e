"""Configurations kept as one text file each: `=== name` begins a file."""

from __future__ import annotations

from pathlib import Path

ENVIRON = {
    "PLATFORM_API_KEY": "platform-hunter2",
    "AURORA_API_KEY": "aurora-hunter2",
    "EMPTY": "",
    "TOTAL": "ten-hunter2-seconds",
}
"""What the cases' environment holds."""


def unpack(text: str, folder: Path) -> Path:
    """Write a case's files below `folder`; the path of its routes.yaml."""
    path = folder / "routes.yaml"
    for part in text.split("=== ")[1:]:
        name, _, content = part.partition("\n")
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode())
    return folder / "routes.yaml"


FULL = """=== routes.yaml
version: 1
consumers:
  platform:
    credentials: [{api_key: {env: PLATFORM_API_KEY}}, {api_key: {file: key.txt}}]
    networks: [127.0.0.0/8, 10.0.0.0/8]
providers:
  aurora:
    dialect: aurora
    upstream: aurora
    mode: sandbox
    accept: all
    accounts:
      - {id: op-1, brand: main, verify: {env: AURORA_API_KEY}, sign: {env: AURORA_API_KEY}}
    credentials: [{api_key: {env: AURORA_API_KEY}}]
    networks: [203.0.113.0/24]
    launch_hosts: [games.aurora.example]
    quota: [{rate: 50/second}, {rate: 1/minute, on: games}]
    contacts: {support: "mailto:ops@aurora.example"}
upstreams:
  aurora:
    targets: [{url: {env: AURORA_URL, default: "http://127.0.0.1:9201"}}]
    timeout: {connect: 500ms, response: 5s, total: 10s}
    pool: {max_connections: 256}
    health: {path: /health, every: 5s}
  platform:
    targets: [{url: "http://127.0.0.1:9200"}]
    timeout: {total: 2s}
server:
  trusted_proxies: [192.0.2.0/24]
  limits: {body: 2MiB}
  drain: {delay: 1s}
telemetry:
  traces: {endpoint: "http://127.0.0.1:4318/v1/traces", sample: 100%}
  logs: {level: info, format: json}
state: memory
journal: sqlite:///journal.db
routes:
  - name: aurora-games
    match: {methods: [GET], path: /aurora/games}
    provider: aurora
    upstream: aurora
    rewrite: /v1/games
    policies: [platform-only, metadata, {error_codes: {}}]
  - name: aurora-wallet
    match: {methods: [POST], path: /callbacks/aurora/*, host: Wallet.example}
    provider: aurora
    upstream: platform
    limits: {body: 64MiB}
    require_tls: true
    stream: true
    policies: [{ip_allow_list: {from: provider}}, {authentication: {accept: [api_key], consumers: [aurora]}}]
=== policies/platform-only.yaml
- authentication: {accept: [api_key], consumers: [platform]}
=== policies/metadata.yaml
- rate_limit: {rate: 50/second, by: consumer}
- cache: {ttl: 5m, stale_while_revalidate: 1m, stale_if_error: 1h}
- circuit_breaker: {failures: 5, window: 10s, reset_after: 30s}
- retry: {attempts: 2, budget: 20%}
- timeout: {total: 3s}
=== key.txt
second-hunter2
"""
"""A configuration with nothing wrong in it, that uses most of what there is."""
