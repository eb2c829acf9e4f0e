"""Ours, with each part of it to be had apart."""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jwt

from bench.contenders.contender import KEPT, KEY, NETWORKS, RATE, TIMEOUT_SECONDS, Setting, known, program
from bench.processes import PROXY_CORE, Process, free_port, start

POLICIES: dict[str, dict[str, Any]] = {
    "ip_allow_list": {"networks": list(NETWORKS)},
    "authentication": {"accept": ["api_key"]},
    "rate_limit": {"rate": f"{RATE}/second", "by": "consumer"},
    "circuit_breaker": {"failures": 5, "window": "10s", "reset_after": "30s"},
    "retry": {"attempts": 1, "on": ["unreachable", "temporary"]},
    "timeout": {"total": f"{TIMEOUT_SECONDS}s"},
}
"""What a route has unless the options say otherwise, outermost first."""

CALLBACK_POLICIES: list[dict[str, Any]] = [
    {"ip_allow_list": {"from": "provider"}},
    {"authentication": {"accept": ["api_key"], "consumers": ["studio"]}},
    {"timeout": {"total": "2s"}},
]
"""What a wallet route has: no retry, no limit, no cache, for money moves there."""

PATHS = {
    "games": "/games",
    "game": "/games/*",
    "cached": "/cached/*",
    "size": "/size/*",
    "echo": "/echo",
    "down": "/down",
}
"""Route → path, of those that the origin answers."""

JWT_SECRET = "a secret of the bench, and long enough for HS256"
COMPILED = Path(__file__).parents[2] / ".venv" / "compiled"
"""The package with its hot path compiled, as `make compiled` leaves it."""
FAR_AWAY = 4_000_000_000
"""When tokens end, in seconds since 1970."""


def bearer(subject: str = "platform") -> str:
    """What `Authorization` holds where `jwt` is on: a token signed with HS256."""
    return "Bearer " + jwt.encode({"sub": subject, "exp": FAR_AWAY}, JWT_SECRET, algorithm="HS256")


class Gateway:
    """As it is installed for use, its hot path compiled; or as it runs from its source.

    Options, all of them optional:

    - `policies`: names out of `POLICIES`, outermost first, or mappings as YAML would have them; [] for none;
    - `jwt` (bool): callers show a JWT (`bearer()`) in place of the API key;
    - `wallet` (bool): all routes are those of wallet callbacks, from the provider `studio`, with the same
      key (or `bearer("studio")`); `/callbacks/*` is there too, rewritten to `/*`;
    - `cache` (bool): a cache behind the rate limit;
    - `upstream`: "tls" for the origin's TLS port;
    - `routes` (int): how many there are in all;
    - `workers` (int);
    - `access_log` (bool): a JSON line per call, off by default.
    """

    traces = True
    guards = True
    additions: tuple[str, ...] = ("ratelimit", "ratelimit-policy", "age", "cache-status")

    def __init__(self, *, compiled: bool = True) -> None:
        self.compiled = compiled and COMPILED.exists()
        self.name = "gateway" if compiled else "gateway-interpreted"
        self.title = "Provider Gateway" if compiled else "Provider Gateway, interpreted"
        self.note = "" if self.compiled else "its hot path is not compiled"

    def start(self, setting: Setting) -> Process:
        known(
            setting.options,
            "policies",
            "jwt",
            "wallet",
            "cache",
            "upstream",
            "routes",
            "workers",
            "access_log",
        )
        path = setting.directory / "routes.yaml"
        path.write_text(json.dumps(configuration(setting), indent=1))
        workers = setting.options.get("workers", 1)
        admin_port = free_port()
        command = [program("gateway"), "serve", "--config", str(path), "--workers", str(workers)]
        command += ["--port", str(setting.port), "--admin-port", str(admin_port)]
        return start(
            command,
            core=PROXY_CORE,
            directory=setting.directory,
            env={"PYTHONPATH": str(COMPILED)} if self.compiled else {},
            ready=lambda: _ready(admin_port),
            timeout=120,
        )


def configuration(setting: Setting) -> dict[str, Any]:
    """`routes.yaml`, as data."""
    options = setting.options
    wallet = bool(options.get("wallet"))
    subject = "studio" if wallet else "platform"
    credential = {"jwt": {"key": JWT_SECRET, "subject": subject}} if options.get("jwt") else {"api_key": KEY}
    caller: dict[str, Any] = {"credentials": [credential]}
    who = (
        {"providers": {"studio": caller | {"networks": list(NETWORKS)}}}
        if wallet
        else {"consumers": {"platform": caller}}
    )
    return {
        "version": 1,
        **who,
        "upstreams": {"origin": _upstream(setting)},
        "routes": _routes(setting),
        "server": {
            "limits": {"connections": 20_000, "connections_per_client": 20_000, "idle_timeout": "1h"},
            "drain": {"delay": "0s", "grace": "2s"},
        },
        "telemetry": {
            "traces": {
                "endpoint": f"http://127.0.0.1:{setting.sink.http_port}/v1/traces",
                "sample": "100%" if setting.tracing else "0%",
            },
            "logs": {"level": "warning", "access": bool(options.get("access_log"))},
        },
    }


def _upstream(setting: Setting) -> dict[str, Any]:
    upstream: dict[str, Any] = {
        "targets": [{"url": f"http://127.0.0.1:{setting.origin.port}"}],
        "timeout": {"connect": "1s", "response": f"{TIMEOUT_SECONDS}s", "total": f"{TIMEOUT_SECONDS}s"},
        "pool": {"max_connections": KEPT},
    }
    if setting.options.get("upstream") == "tls":
        upstream["targets"] = [{"url": f"https://127.0.0.1:{setting.origin.tls_port}"}]
        upstream["tls"] = {"ca": str(setting.origin.ca_file)}
    return upstream


def _routes(setting: Setting) -> list[dict[str, Any]]:
    """Those that the origin answers first, then as many others as were asked for."""
    wallet = bool(setting.options.get("wallet"))
    common: dict[str, Any] = {"upstream": "origin", "policies": _policies(setting)}
    if wallet:
        common["provider"] = "studio"
    routes = [
        {"name": name, "match": {"methods": ["GET", "POST"], "path": path}, **common}
        for name, path in PATHS.items()
    ]
    if wallet:
        match = {"methods": ["POST"], "path": "/callbacks/*"}
        routes.append({"name": "callbacks", "match": match, "rewrite": "/*", **common})
    for number in range(setting.options.get("routes", 0) - len(routes)):
        path = f"/p{number}/games" + ("/:code" if number % 3 == 0 else "")
        routes.append({"name": f"r{number}", "match": {"methods": ["GET", "POST"], "path": path}, **common})
    return routes


def _policies(setting: Setting) -> list[dict[str, Any]]:
    options = setting.options
    if options.get("wallet"):
        policies = CALLBACK_POLICIES
    else:
        policies = [_policy(policy) for policy in options.get("policies", list(POLICIES))]
    if options.get("jwt"):
        policies = [_by_token(policy) for policy in policies]
    if options.get("cache"):
        policies = _with_cache(policies)
    if options.get("workers", 1) > 1:
        policies = [_per_worker(policy) for policy in policies]
    return policies


def _policy(asked: str | dict[str, Any]) -> dict[str, Any]:
    return {asked: POLICIES[asked]} if isinstance(asked, str) else asked


def _by_token(policy: dict[str, Any]) -> dict[str, Any]:
    if "authentication" in policy:
        return {"authentication": policy["authentication"] | {"accept": ["jwt"]}}
    return policy


def _with_cache(policies: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Inside of whatever tells or limits callers, outside of whatever watches over the origin."""
    outside = [
        policy for policy in policies if policy.keys() & {"ip_allow_list", "authentication", "rate_limit"}
    ]
    return [*outside, {"cache": {"ttl": "60s"}}, *(policy for policy in policies if policy not in outside)]


def _per_worker(policy: dict[str, Any]) -> dict[str, Any]:
    """Without a shared store, each worker counts for itself, and has to be told so."""
    return {
        name: settings | {"scope": "worker"} if name in {"rate_limit", "circuit_breaker"} else settings
        for name, settings in policy.items()
    }


def _ready(admin_port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", admin_port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
