"""The same policies on aiohttp's server and client, written with care."""

from __future__ import annotations

from bench.contenders.contender import Setting, known
from bench.contenders.recipe import serve
from bench.processes import Process


class AioHttp:
    """No options."""

    name = "aiohttp"
    title = "aiohttp"
    traces = True
    guards = True
    note = ""
    additions: tuple[str, ...] = ()

    def start(self, setting: Setting) -> Process:
        known(setting.options)
        return serve("aiohttp_proxy", setting)
