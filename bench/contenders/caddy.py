"""Caddy, without plugins, as it is downloaded: it has no rate limit then."""

from __future__ import annotations

from bench.contenders.contender import KEPT, KEY, NETWORKS, TIMEOUT_SECONDS, Setting, fill, known, program
from bench.processes import PROXY_CORE, Process, start

CONFIG = """
{
	admin off
	auto_https off
	persist_config off
	grace_period 1s
	log {
		level ERROR
	}
	servers {
		protocols h1
		timeouts {
			idle 1h
		}
	}
}
:@port@ {
	bind 127.0.0.1
	route {
		@tracing@
		@outside not remote_ip @networks@
		respond @outside 403
		@unknown not header X-Api-Key @key@
		respond @unknown 401
		reverse_proxy 127.0.0.1:@origin@ {
			header_up -X-Api-Key
			header_up Host 127.0.0.1:@origin@
			lb_retries 1
			lb_try_interval 50ms
			fail_duration 10s
			max_fails 5
			unhealthy_status 5xx
			transport http {
				versions 1.1
				compression off
				dial_timeout 1s
				response_header_timeout @timeout@s
				keepalive 1h
				keepalive_idle_conns @kept@
				keepalive_idle_conns_per_host @kept@
			}
		}
	}
}
"""


class Caddy:
    """No options."""

    name = "caddy"
    title = "Caddy"
    traces = True
    guards = True
    note = "no rate limit (that takes a plugin), no retry of a 503: it retries what could not be sent"
    additions: tuple[str, ...] = ("via",)

    def start(self, setting: Setting) -> Process:
        known(setting.options)
        config = setting.directory / "Caddyfile"
        config.write_text(
            fill(
                CONFIG,
                key=KEY,
                networks=" ".join(NETWORKS),
                kept=KEPT,
                timeout=TIMEOUT_SECONDS,
                port=setting.port,
                origin=setting.origin.port,
                tracing="tracing" if setting.tracing else "",
            )
        )
        environment = {
            "GOMAXPROCS": "1",
            "HOME": str(setting.directory),
            "OTEL_SERVICE_NAME": "caddy",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{setting.sink.http_port}",
            "OTEL_BSP_MAX_QUEUE_SIZE": "65536",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2048",
            "OTEL_BSP_SCHEDULE_DELAY": "1000",
        }
        return start(
            [program("caddy"), "run", "--adapter", "caddyfile", "--config", str(config)],
            core=PROXY_CORE,
            directory=setting.directory,
            env=environment,
            ready=setting.port,
        )
