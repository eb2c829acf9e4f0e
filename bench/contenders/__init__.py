"""Every contender there is, in one visible list."""

from bench.contenders.aiohttp_proxy import AioHttp
from bench.contenders.bare import Bare
from bench.contenders.caddy import Caddy
from bench.contenders.contender import KEY, Contender, Setting
from bench.contenders.envoy import Envoy
from bench.contenders.gateway import Gateway
from bench.contenders.haproxy import HAProxy
from bench.contenders.nginx import Nginx
from bench.contenders.starlette_httpx import StarletteHttpx
from bench.contenders.traefik import Traefik

__all__ = ["CONTENDERS", "KEY", "Contender", "Setting"]

CONTENDERS: dict[str, Contender] = {
    contender.name: contender
    for contender in (
        Gateway(),
        Gateway(compiled=False),
        Nginx(),
        HAProxy(),
        Envoy(),
        Envoy(traces=False),
        Traefik(),
        Caddy(),
        StarletteHttpx(),
        AioHttp(),
        Bare(),
    )
}
"""Name → contender, in the order of tables."""
