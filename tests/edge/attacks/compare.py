"""`make edge-compare`: the same attacks on nginx, HAProxy and Envoy, each hardened as its manual advises.

All are held to one demand: what two servers could read in two ways is refused. Exit status 1 where one of
them fails fewer cases than we do. It is no ranking: a proxy that drops Content-Length beside a
coding, or ignores an upgrade, does what RFC 9110 and 9112 allow, and is counted here all the same.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.contenders.contender import program
from bench.processes import PROXY_CORE, StartError, free_port, start
from tests.edge.attacks.cases import CASES
from tests.edge.attacks.conversation import attack, origin_in_a_thread
from tests.edge.attacks.families import FAMILIES
from tests.edge.attacks.test_attacks import CONFIG
from tests.scenarios.running import gateway

PATIENCE_SECONDS = 3.0
CLAIMS = """
X-Forwarded-Port X-Forwarded-Server X-Forwarded-Prefix X-Forwarded-User Forwarded X-Real-IP True-Client-IP
X-Client-IP CF-Connecting-IP X-Cluster-Client-IP Client-IP
Client-Cert Client-Cert-Chain X-Forwarded-Client-Cert
X-HTTP-Method-Override X-HTTP-Method X-Method-Override X-Original-URL X-Rewrite-URL
""".split()  # noqa: SIM905

NGINX = """
daemon off; worker_processes 1; pid nginx.pid; error_log nginx.err crit;
events { worker_connections 256; }
http {
  access_log off; server_tokens off; client_body_temp_path body; proxy_temp_path proxy;
  fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  client_header_timeout 1s; client_body_timeout 1s; keepalive_timeout 1s;
  proxy_http_version 1.1;
  proxy_set_header Host $http_host; proxy_set_header Connection "";
  proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
  proxy_set_header X-Forwarded-Host $http_host;
  CLAIMS
  server {
    listen 127.0.0.1:PORT;
    location /files/ { proxy_pass http://127.0.0.1:ORIGIN/base/; }
    location / { proxy_pass http://127.0.0.1:ORIGIN; }
  }
}
"""
HAPROXY = """
global
  maxconn 256
  expose-experimental-directives
  log stdout format raw local0 emerg
defaults
  mode http
  log global
  timeout connect 1s
  timeout client 1s
  timeout server 5s
  timeout http-request 1s
frontend calls
  bind 127.0.0.1:PORT
  http-request deny deny_status 400 if { path_sub -i %2f %5c %00 %25 // .. }
  http-request normalize-uri path-strip-dot
  http-request normalize-uri path-strip-dotdot full
  http-request set-header X-Forwarded-For %[src]
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  CLAIMS
  http-request replace-path ^/files/(.*) /base/\\1
  default_backend origin
backend origin
  server only 127.0.0.1:ORIGIN
"""


@contextmanager
def ours(origin: int) -> Iterator[int]:
    with gateway(CONFIG.format(port=origin)) as running:
        yield running.port


def _envoy_config() -> dict[str, Any]:
    kind = "type.googleapis.com/envoy.extensions."
    route = {"cluster": "origin", "timeout": "5s"}
    manager = {
        "@type": kind + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "calls",
        "codec_type": "HTTP1",
        "use_remote_address": True,
        "request_timeout": "1s",
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"},
        "route_config": {
            "request_headers_to_remove": CLAIMS,
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [
                        {"match": {"prefix": "/files/"}, "route": route | {"prefix_rewrite": "/base/"}},
                        {"match": {"prefix": "/"}, "route": route},
                    ],
                }
            ],
        },
        "http_filters": [
            {"name": "router", "typed_config": {"@type": kind + "filters.http.router.v3.Router"}}
        ],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    return {
        "static_resources": {
            "listeners": [
                {"name": "calls", "address": _address("PORT"), "filter_chains": [{"filters": filters}]}
            ],
            "clusters": [
                {
                    "name": "origin",
                    "connect_timeout": "1s",
                    "load_assignment": {
                        "cluster_name": "origin",
                        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address("ORIGIN")}}]}],
                    },
                }
            ],
        }
    }


def _address(port: str) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


@contextmanager
def theirs(name: str, origin: int) -> Iterator[int]:
    config, options = PROXIES[name]
    with tempfile.TemporaryDirectory(prefix="edge-compare-") as folder:
        port, path = free_port(), Path(folder) / "config"
        for word, number in (("PORT", port), ("ORIGIN", origin)):
            config = config.replace(f'"{word}"', str(number)).replace(f":{word}", f":{number}")
        path.write_text(config)
        command = [program(name), *options, str(path)]
        with start(command, core=PROXY_CORE, directory=path.parent, ready=port):
            yield port


PROXIES = {
    "nginx": (
        NGINX.replace("CLAIMS", " ".join(f'proxy_set_header {name} "";' for name in CLAIMS)),
        ["-p", ".", "-c"],
    ),
    "haproxy": (
        HAPROXY.replace("CLAIMS", "\n  ".join(f"http-request del-header {name}" for name in CLAIMS)),
        ["-db", "-f"],
    ),
    "envoy": (
        json.dumps(_envoy_config()),
        ["--concurrency", "1", "--disable-hot-restart", "--log-level", "off", "-c"],
    ),
}
"""Program → its configuration, and its options up to the path of that."""
EDGES = {"gateway": ours, **{name: partial(theirs, name) for name in PROXIES}}


def main(argv: list[str]) -> int:
    """`-v` tells every failure. Returns the exit status."""
    console = Console(width=None if sys.stdout.isatty() else 132)
    failures: dict[str, Counter[int]] = {}
    for name, edge in EDGES.items():
        told = []
        try:
            with origin_in_a_thread() as origin, edge(origin.port) as port:
                failures[name] = Counter()
                for case in track(
                    CASES, name, console=console, transient=True, disable=not console.is_terminal
                ):
                    if wrong := attack(port, case, origin, PATIENCE_SECONDS):
                        failures[name][case.family] += 1
                        told.append(f"{name} {case.family} {case.name}: {wrong[:160]}")
        except StartError as error:
            console.print(str(error), style="bold red", markup=False, highlight=False)
        if "-v" in argv:
            console.print("\n".join(told), style="dim", markup=False, highlight=False)

    counts = Counter(case.family for case in CASES)
    table = Table("family", "cases", *failures, title="cases failed")
    for family in sorted(counts):
        table.add_row(
            f"{family} {FAMILIES[family]}",
            str(counts[family]),
            *(str(found[family]) for found in failures.values()),
        )
    table.add_row("all", str(len(CASES)), *(str(found.total()) for found in failures.values()))
    console.print(table)
    return int(any(found.total() < failures["gateway"].total() for found in failures.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
