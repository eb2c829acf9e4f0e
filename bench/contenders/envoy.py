"""Envoy, as its own advice on benchmarking has it: one worker, no dynamic statistics, no request ids."""

from __future__ import annotations

import json
from typing import Any

from bench.contenders.contender import KEPT, KEY, NETWORKS, RATE, TIMEOUT_SECONDS, Setting, known, program
from bench.processes import PROXY_CORE, Process, start

TYPE = "type.googleapis.com/envoy."
FILTERS = TYPE + "extensions.filters.http."
ONLY_IF_SENT = ("POST", "PATCH")
"""Methods that are tried again only where no connection came about."""


class Envoy:
    """Options: `flush_spans` (int), after how many spans it sends them; Envoy's own default is 5."""

    guards = True
    additions: tuple[str, ...] = ("x-envoy-*",)

    def __init__(self, *, traces: bool = True) -> None:
        self.traces = traces
        self.name = "envoy" if traces else "envoy-untraced"
        self.title = "Envoy" if traces else "Envoy, untraced"
        self.note = "" if traces else "no traces, no log"

    def start(self, setting: Setting) -> Process:
        known(setting.options, "flush_spans")
        config = setting.directory / "envoy.json"
        config.write_text(json.dumps(self._config(setting), indent=1))
        command = [program("envoy"), "-c", str(config), "--concurrency", "1"]
        command += ["--disable-hot-restart", "--log-level", "error"]
        return start(command, core=PROXY_CORE, directory=setting.directory, ready=setting.port)

    def _config(self, setting: Setting) -> dict[str, Any]:
        traced = self.traces and setting.tracing
        runtime = {
            "tracing.opentelemetry.min_flush_spans": setting.options.get("flush_spans", 512),
            "tracing.opentelemetry.flush_interval_ms": 1000,
        }
        clusters = [_origin(setting.origin.port)]
        if traced:
            clusters.append(_cluster("sink", setting.sink.http_port))
        return {
            "layered_runtime": {"layers": [{"name": "static", "static_layer": runtime}]},
            "static_resources": {
                "listeners": [
                    {
                        "name": "calls",
                        "address": _address(setting.port),
                        "filter_chains": [{"filters": [_manager(setting.sink.http_port if traced else 0)]}],
                    }
                ],
                "clusters": clusters,
            },
        }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _manager(sink_port: int) -> dict[str, Any]:
    """The HTTP connection manager; `sink_port` 0 for no tracing."""
    config: dict[str, Any] = {
        "@type": TYPE + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "calls",
        "codec_type": "HTTP1",
        "generate_request_id": False,
        "request_id_extension": {
            "typed_config": {
                "@type": TYPE + "extensions.request_id.uuid.v3.UuidRequestIdConfig",
                "pack_trace_reason": False,
                "use_request_id_for_trace_sampling": False,
            }
        },
        "use_remote_address": True,
        "route_config": {"virtual_hosts": [_virtual_host()]},
        "http_filters": [_allow_list(), _api_key(), _rate_limit(), _router()],
    }
    if sink_port:
        config["tracing"] = {
            "random_sampling": {"value": 100},
            "provider": {
                "name": "envoy.tracers.opentelemetry",
                "typed_config": {
                    "@type": TYPE + "config.trace.v3.OpenTelemetryConfig",
                    "service_name": "envoy",
                    "max_cache_size": 65536,
                    "http_service": {
                        "http_uri": {
                            "uri": f"http://127.0.0.1:{sink_port}/v1/traces",
                            "cluster": "sink",
                            "timeout": "10s",
                        }
                    },
                },
            },
        }
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": config}


def _virtual_host() -> dict[str, Any]:
    again = {"num_retries": 1, "retry_back_off": {"base_interval": "0.05s"}}
    cautious = again | {"retry_on": "connect-failure"}
    bold = again | {"retry_on": "connect-failure,retriable-status-codes", "retriable_status_codes": [503]}
    by_method = [{"name": ":method", "string_match": {"exact": method}} for method in ONLY_IF_SENT]
    matches = [({"prefix": "/", "headers": [method]}, cautious) for method in by_method]
    return {
        "name": "all",
        "domains": ["*"],
        "rate_limits": [
            {"actions": [{"request_headers": {"header_name": "x-consumer", "descriptor_key": "consumer"}}]}
        ],
        "request_headers_to_remove": ["x-consumer"],
        "routes": [
            {
                "match": match,
                "route": {"cluster": "origin", "timeout": f"{TIMEOUT_SECONDS}s", "retry_policy": policy},
            }
            for match, policy in [*matches, ({"prefix": "/"}, bold)]
        ],
    }


def _allow_list() -> dict[str, Any]:
    networks = [network.split("/") for network in NETWORKS]
    anyone_there = [
        {"direct_remote_ip": {"address_prefix": address, "prefix_len": int(length)}}
        for address, length in networks
    ]
    policy = {"permissions": [{"any": True}], "principals": anyone_there}
    return {
        "name": "allow-list",
        "typed_config": {
            "@type": FILTERS + "rbac.v3.RBAC",
            "rules": {"action": "ALLOW", "policies": {"networks": policy}},
        },
    }


def _api_key() -> dict[str, Any]:
    """Names the consumer in a header, for the rate limit, and takes the key away."""
    return {
        "name": "api-key",
        "typed_config": {
            "@type": FILTERS + "api_key_auth.v3.ApiKeyAuth",
            "credentials": [{"key": KEY, "client": "platform"}],
            "key_sources": [{"header": "x-api-key"}],
            "forwarding": {"header": "x-consumer", "hide_credentials": True},
        },
    }


def _rate_limit() -> dict[str, Any]:
    bucket = {"max_tokens": RATE, "tokens_per_fill": RATE, "fill_interval": "1s"}
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    return {
        "name": "rate-limit",
        "typed_config": {
            "@type": FILTERS + "local_ratelimit.v3.LocalRateLimit",
            "stat_prefix": "consumers",
            "token_bucket": bucket,
            "filter_enabled": always,
            "filter_enforced": always,
            "descriptors": [{"entries": [{"key": "consumer", "value": "platform"}], "token_bucket": bucket}],
        },
    }


def _router() -> dict[str, Any]:
    return {
        "name": "router",
        "typed_config": {
            "@type": FILTERS + "router.v3.Router",
            "dynamic_stats": False,
            "suppress_envoy_headers": True,
        },
    }


def _cluster(name: str, port: int) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(port)}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _origin(port: int) -> dict[str, Any]:
    """With outlier detection, and limits of the circuit breaker that no load here reaches."""
    limits = {
        "max_connections": KEPT,
        "max_pending_requests": 10_000,
        "max_requests": 20_000,
        "max_retries": 100,
    }
    return _cluster("origin", port) | {
        "circuit_breakers": {"thresholds": [limits]},
        "outlier_detection": {"consecutive_5xx": 5, "interval": "10s", "base_ejection_time": "30s"},
    }
