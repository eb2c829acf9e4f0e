"""Traefik, from files. Its API key is a router's rule; who has none meets a router that lets nobody in."""

from __future__ import annotations

import http.client
import json
from typing import Any

from bench.contenders.contender import KEPT, KEY, NETWORKS, RATE, TIMEOUT_SECONDS, Setting, known, program
from bench.processes import PROXY_CORE, Process, start

NOBODY = "nobody:$2y$05$dFo4wQ2wOnDSmH7xPNz/BOskUyZ2hKjCrA8Km7bGTEPtJ5YbPjx8i"
"""A user whose password nobody has: HTTP Basic is Traefik's only way to answer 401."""
ENVIRONMENT = {
    "GOMAXPROCS": "1",
    "OTEL_BSP_MAX_QUEUE_SIZE": "65536",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2048",
    "OTEL_BSP_SCHEDULE_DELAY": "1000",
}
"""One core; and a queue for spans that is long enough to lose none."""


class Traefik:
    """No options."""

    name = "traefik"
    title = "Traefik"
    traces = True
    guards = True
    note = "no retry of a 503 (it would buffer every body, at thrice the cost); the API key is a routing rule"
    additions: tuple[str, ...] = ()

    def start(self, setting: Setting) -> Process:
        known(setting.options)
        static, dynamic = setting.directory / "traefik.json", setting.directory / "dynamic.json"
        dynamic.write_text(json.dumps(_dynamic(setting.origin.port), indent=1))
        static.write_text(json.dumps(_static(setting, str(dynamic)), indent=1))
        return start(
            [program("traefik"), f"--configFile={static}"],
            core=PROXY_CORE,
            directory=setting.directory,
            env=ENVIRONMENT,
            ready=lambda: _ready(setting.port),
        )


def _static(setting: Setting, dynamic: str) -> dict[str, Any]:
    config: dict[str, Any] = {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "log": {"level": "ERROR"},
        "entryPoints": {
            "calls": {
                "address": f"127.0.0.1:{setting.port}",
                "transport": {"respondingTimeouts": {"idleTimeout": "1h"}},
            }
        },
        "providers": {"file": {"filename": dynamic, "watch": False}},
    }
    if setting.tracing:
        endpoint = f"http://127.0.0.1:{setting.sink.http_port}/v1/traces"
        config["tracing"] = {"sampleRate": 1.0, "otlp": {"http": {"endpoint": endpoint}}}
    return config


def _dynamic(origin_port: int) -> dict[str, Any]:
    by_consumer = {"requestHeaderName": "X-Api-Key"}
    policies: dict[str, Any] = {
        "networks": {"ipAllowList": {"sourceRange": list(NETWORKS)}},
        "limit": {
            "rateLimit": {"average": RATE, "burst": RATE, "period": "1s", "sourceCriterion": by_consumer}
        },
        "breaker": {
            "circuitBreaker": {
                "expression": "NetworkErrorRatio() > 0.5 || ResponseCodeRatio(500, 600, 0, 600) > 0.5"
            }
        },
        "again": {"retry": {"attempts": 2, "initialInterval": "50ms"}},
        "keyless": {"headers": {"customRequestHeaders": {"X-Api-Key": ""}}},
    }
    return {
        "http": {
            "routers": {
                "calls": {
                    "rule": f"Header(`X-Api-Key`, `{KEY}`)",
                    "middlewares": list(policies),
                    "service": "origin",
                },
                "others": {
                    "rule": "PathPrefix(`/`)",
                    "middlewares": ["networks", "nobody"],
                    "service": "origin",
                },
            },
            "middlewares": policies | {"nobody": {"basicAuth": {"users": [NOBODY]}}},
            "services": {
                "origin": {
                    "loadBalancer": {
                        "servers": [{"url": f"http://127.0.0.1:{origin_port}"}],
                        "serversTransport": "kept",
                        "passHostHeader": False,
                    }
                }
            },
            "serversTransports": {
                "kept": {
                    "maxIdleConnsPerHost": KEPT,
                    "forwardingTimeouts": {
                        "dialTimeout": "1s",
                        "responseHeaderTimeout": f"{TIMEOUT_SECONDS}s",
                        "idleConnTimeout": "1h",
                    },
                }
            },
        }
    }


def _ready(port: int) -> bool:
    """It listens before it has read its routers, and knows no path until then."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 401
    except OSError:
        return False
    finally:
        connection.close()
