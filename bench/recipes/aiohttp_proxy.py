"""The same policies on aiohttp, well: one handler, no stack of middleware, bodies passed on undecoded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from functools import lru_cache
from ipaddress import ip_address, ip_network

import uvloop
from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
    web,
)
from limits import RateLimitItem, parse
from multidict import CIMultiDict
from opentelemetry.propagate import extract, inject
from opentelemetry.trace import Span, SpanKind, StatusCode, set_span_in_context
from yarl import URL

from bench.recipes.breaker import Breaker
from bench.recipes.settings import CONNECT_SECONDS, HOP_BY_HOP, KEPT, RATE, TIMEOUT_SECONDS, Settings
from bench.recipes.tracing import tracer

NOT_FORWARDED = HOP_BY_HOP | {"host", "x-api-key", "content-length"}
NOT_RETURNED = HOP_BY_HOP | {"content-length"}
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


class Window:
    """Calls of each consumer in the window that runs."""

    def __init__(self, rate: RateLimitItem) -> None:
        self._most = rate.amount
        self._seconds = rate.get_expiry()
        self._windows: dict[str, tuple[float, int]] = {}

    def admits(self, consumer: str) -> bool:
        now = time.monotonic()
        began, count = self._windows.get(consumer, (now, 0))
        if now - began >= self._seconds:
            began, count = now, 0
        self._windows[consumer] = (began, count + 1)
        return count < self._most


class Proxy:
    """Every call, from the allow-list to the answer."""

    session: ClientSession

    def __init__(self, settings: Settings) -> None:
        self._origin = f"http://{settings.origin}"
        self._consumers = {settings.key: "platform"}
        self._limit = Window(parse(RATE))
        self._breaker = Breaker()
        self._spans = tracer("aiohttp", settings.traces)
        networks = [ip_network(network) for network in settings.networks]

        @lru_cache(maxsize=10_000)
        def allowed(address: str) -> bool:
            return any(ip_address(address) in network for network in networks)

        self._allowed = allowed

    async def open(self, _app: web.Application) -> AsyncIterator[None]:
        """The session, for as long as the application runs."""
        self.session = ClientSession(
            connector=TCPConnector(limit=KEPT, limit_per_host=KEPT, keepalive_timeout=60),
            timeout=ClientTimeout(total=TIMEOUT_SECONDS, connect=CONNECT_SECONDS),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )
        async with self.session:
            yield

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        span = self._spans.start_span(
            request.method,
            context=extract(request.headers),
            kind=SpanKind.SERVER,
            attributes={
                "http.request.method": request.method,
                "url.path": request.path,
                "url.scheme": "http",
                "client.address": request.remote or "",
            },
        )
        try:
            response = await self._guarded(request, span)
        except BaseException as error:
            span.record_exception(error)
            raise
        else:
            span.set_attribute("http.response.status_code", response.status)
            if response.status >= 500:
                span.set_status(StatusCode.ERROR)
            return response
        finally:
            span.end()

    async def _guarded(self, request: web.BaseRequest, span: Span) -> web.StreamResponse:
        if not self._allowed(request.remote or ""):
            return web.json_response({"error": "your address is not allowed"}, status=403)
        consumer = self._consumers.get(request.headers.get("X-Api-Key", ""))
        if consumer is None:
            return web.json_response({"error": "an API key is needed"}, status=401)
        if not self._limit.admits(consumer):
            return web.json_response({"error": "too many calls"}, status=429)
        if not self._breaker.allows():
            return web.json_response({"error": "the upstream is failing"}, status=503)
        try:
            response = await self._tried(request, span)
        except TimeoutError:
            self._breaker.failed()
            return web.json_response({"error": "the upstream is too slow"}, status=504)
        except ClientError as error:
            self._breaker.failed()
            return web.json_response({"error": str(error)}, status=502)
        if response.status >= 500:
            self._breaker.failed()
        else:
            self._breaker.succeeded()
        return response

    async def _tried(self, request: web.BaseRequest, span: Span) -> web.Response:
        """Once, and once more where nothing was sent, or where an idempotent call met a 503."""
        body = await request.read() if request.can_read_body else None
        try:
            response = await self._attempt(request, body, span)
        except ClientConnectorError:
            return await self._attempt(request, body, span)
        if response.status == 503 and request.method in IDEMPOTENT:
            await asyncio.sleep(0.05)
            return await self._attempt(request, body, span)
        return response

    async def _attempt(self, request: web.BaseRequest, body: bytes | None, parent: Span) -> web.Response:
        headers = CIMultiDict(
            (name, value) for name, value in request.headers.items() if name.lower() not in NOT_FORWARDED
        )
        url = URL(self._origin + request.raw_path, encoded=True)
        span = self._spans.start_span(
            request.method,
            context=set_span_in_context(parent),
            kind=SpanKind.CLIENT,
            attributes={"http.request.method": request.method, "url.full": str(url)},
        )
        inject(headers, context=set_span_in_context(span))
        try:
            async with self.session.request(
                request.method, url, headers=headers, data=body, allow_redirects=False
            ) as answer:
                span.set_attribute("http.response.status_code", answer.status)
                found = CIMultiDict(
                    (name, value)
                    for name, value in answer.headers.items()
                    if name.lower() not in NOT_RETURNED
                )
                return web.Response(status=answer.status, headers=found, body=await answer.read())
        finally:
            span.end()


async def serve(settings: Settings) -> None:
    """Serve for ever."""
    proxy = Proxy(settings)
    opened = proxy.open(web.Application())
    await anext(opened)
    runner = web.ServerRunner(web.Server(proxy, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", settings.port, backlog=1024).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(Settings.read()))
