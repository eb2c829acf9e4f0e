"""The usual recipe: Starlette with `BaseHTTPMiddleware`, httpx, the OpenTelemetry SDK."""

from __future__ import annotations

from bench.contenders.contender import Setting, known
from bench.contenders.recipe import serve
from bench.processes import Process


class StarletteHttpx:
    """No options."""

    name = "starlette-httpx"
    title = "Starlette + httpx"
    traces = True
    guards = True
    note = ""
    additions: tuple[str, ...] = ()

    def start(self, setting: Setting) -> Process:
        known(setting.options)
        return serve("starlette_httpx", setting)
