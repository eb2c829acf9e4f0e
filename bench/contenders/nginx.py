"""nginx: no traces (Debian's has no OpenTelemetry), a JSON access log instead."""

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
user root;
daemon off; worker_processes 1; pid nginx.pid; error_log stderr error;
events { worker_connections 20000; }
http {
  log_format calls escape=json '{"time":"$time_iso8601","trace_id":"$request_id","client":"$remote_addr",'
    '"consumer":"$consumer","method":"$request_method","path":"$request_uri","status":$status,'
    '"duration":$request_time,"upstream":"$upstream_addr","upstream_duration":"$upstream_response_time",'
    '"request_bytes":$request_length,"response_bytes":$bytes_sent,"tries":"$upstream_status"}';
  access_log access.log calls buffer=64k flush=1s;
  server_tokens off; keepalive_timeout 1h; keepalive_requests 1000000000; reset_timedout_connection on;
  client_max_body_size 2m; client_body_buffer_size 128k;
  client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;

  map $http_x_api_key $consumer { default ""; "@key@" "platform"; }
  map $request_id $span_id { "~^(?<half>.{16})" $half; }
  map $http_traceparent $traceparent { default $http_traceparent; "" "00-$request_id-$span_id-01"; }
  limit_req_zone $consumer zone=consumers:1m rate=@rate@r/s;
  limit_req_status 429;
  @cache_path@

  upstream origin {  # the same server twice: nginx tries again only where there is another one
    server 127.0.0.1:@origin@ max_fails=5 fail_timeout=10s;
    server 127.0.0.1:@origin@ max_fails=5 fail_timeout=10s;
    keepalive @kept@; keepalive_requests 1000000000; keepalive_time 24h;
  }
  server {
    listen 127.0.0.1:@port@ backlog=4096;
    @allow@ deny all;
    if ($consumer = "") { return 401; }
    location / {
      limit_req zone=consumers burst=1000000 nodelay;
      proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host 127.0.0.1:@origin@;
      proxy_set_header X-Api-Key ""; proxy_set_header traceparent $traceparent;
      proxy_connect_timeout 1s; proxy_read_timeout @timeout@s; proxy_send_timeout @timeout@s;
      proxy_next_upstream error http_503; proxy_next_upstream_tries 2; proxy_next_upstream_timeout @timeout@s;
      proxy_buffers 32 8k;
      @cache@
    }
  }
}
"""
CACHE_PATH = "proxy_cache_path cache levels=1:2 keys_zone=answers:10m max_size=64m use_temp_path=off;"
CACHE = "proxy_cache answers; proxy_cache_valid 200 60s; proxy_cache_lock on;"


class Nginx:
    """Options: `cache` (bool) keeps what may be kept, in memory-mapped files."""

    name = "nginx"
    title = "nginx"
    traces = False
    guards = True
    note = "a JSON access log instead of traces; gives the origin a traceparent, but records no span"
    additions: tuple[str, ...] = ("connection",)

    def start(self, setting: Setting) -> Process:
        known(setting.options, "cache")
        cache = bool(setting.options.get("cache"))
        config = setting.directory / "nginx.conf"
        text = fill(
            CONFIG,
            key=KEY,
            rate=RATE,
            kept=KEPT,
            timeout=TIMEOUT_SECONDS,
            port=setting.port,
            origin=setting.origin.port,
            allow=" ".join(f"allow {network};" for network in NETWORKS),
            cache_path=CACHE_PATH if cache else "",
            cache=CACHE if cache else "",
        )
        config.write_text(text)
        return start(
            [program("nginx"), "-p", str(setting.directory), "-c", str(config)],
            core=PROXY_CORE,
            directory=setting.directory,
            ready=setting.port,
        )
