"""HAProxy: no traces (its OpenTracing filter is no OpenTelemetry), a JSON access log instead."""

from __future__ import annotations

from bench.contenders.contender import (
    KEPT,
    KEY,
    NETWORKS,
    RATE,
    TIMEOUT_SECONDS,
    Setting,
    fill,
    known,
    program,
)
from bench.processes import PROXY_CORE, Process, start

CONFIG = """
global
  nbthread 1
  maxconn 4096
  log stdout format raw local0 info

defaults
  mode http
  log global
  option dontlognull
  option redispatch
  http-reuse always
  retries 1
  retry-on conn-failure 503
  timeout connect 1s
  timeout client 1h
  timeout http-keep-alive 1h
  timeout http-request 5s
  timeout server @timeout@s
  log-format @log_format@

frontend calls
  bind 127.0.0.1:@port@ backlog 4096
  http-request deny deny_status 403 unless { src @networks@ }
  http-request return status 401 unless { req.hdr(x-api-key) -m str @key@ }
  http-request track-sc0 req.hdr(x-api-key) table consumers
  http-request deny deny_status 429 if { sc0_http_req_rate(consumers) gt @rate@ }
  http-request disable-l7-retry if { method POST PATCH }
  http-request set-var(txn.trace) uuid,regsub(-,,g)
  http-request set-header traceparent @traceparent@ unless { req.hdr(traceparent) -m found }
  http-request del-header x-api-key
  http-request set-header host 127.0.0.1:@origin@
  default_backend origin

backend consumers
  stick-table type string len 64 size 1k expire 1m store http_req_rate(1s)

backend origin
  default-server check inter 2s observe layer7 error-limit 50 on-error mark-down
  default-server pool-max-conn @kept@ pool-purge-delay 1h
  server only 127.0.0.1:@origin@
"""
TRACEPARENT = "00-%[var(txn.trace)]-%[rand(4294967295),hex,lower]-01"
LOG_FORMAT = """
{"time":"%[date,ltime(%Y-%m-%dT%H:%M:%S%z)]","trace_id":"%[var(txn.trace)]","client":"%ci",
"consumer":"platform","method":"%HM","path":"%HU","status":%ST,"duration_ms":%Ta,
"upstream":"%b/%s","upstream_ms":%Tr,"request_bytes":%U,"response_bytes":%B,"retries":"%rc"}
"""


class HAProxy:
    """No options."""

    name = "haproxy"
    title = "HAProxy"
    traces = False
    guards = True
    note = "a JSON access log instead of traces; gives the origin a traceparent, but records no span"
    additions: tuple[str, ...] = ()

    def start(self, setting: Setting) -> Process:
        known(setting.options)
        config = setting.directory / "haproxy.cfg"
        text = fill(
            CONFIG,
            key=KEY,
            rate=RATE,
            kept=KEPT,
            timeout=TIMEOUT_SECONDS,
            port=setting.port,
            origin=setting.origin.port,
            networks=" ".join(NETWORKS),
            log_format="'" + LOG_FORMAT.replace("\n", "") + "'",
            traceparent=TRACEPARENT,
        )
        config.write_text(text)
        return start(
            [program("haproxy"), "-db", "-f", str(config)],
            core=PROXY_CORE,
            directory=setting.directory,
            ready=setting.port,
        )
