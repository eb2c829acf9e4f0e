"""The usual recipe: Starlette under uvicorn, a middleware class per policy, one shared `httpx.AsyncClient`.

It follows the documentation of each of its packages, batched spans included.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address, ip_network
from typing import Any

import httpx
import uvicorn
from limits import parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter
from opentelemetry.propagate import extract, inject
from opentelemetry.trace import SpanKind, StatusCode, Tracer
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from bench.recipes.breaker import Breaker
from bench.recipes.settings import CONNECT_SECONDS, HOP_BY_HOP, RATE, TIMEOUT_SECONDS, Settings
from bench.recipes.tracing import tracer

Next = Callable[[Request], Awaitable[Response]]

NOT_FORWARDED = HOP_BY_HOP | {"host", "x-api-key", "content-length"}
IDEMPOTENT = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"}
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class Tracing(BaseHTTPMiddleware):
    """A span for each call, as child of the caller's."""

    def __init__(self, app: ASGIApp, spans: Tracer) -> None:
        super().__init__(app)
        self._spans = spans

    async def dispatch(self, request: Request, call_next: Next) -> Response:
        attributes = {
            "http.request.method": request.method,
            "url.path": request.url.path,
            "url.scheme": request.url.scheme,
            "client.address": request.client.host if request.client else "",
        }
        with self._spans.start_as_current_span(
            request.method, context=extract(request.headers), kind=SpanKind.SERVER, attributes=attributes
        ) as span:
            response = await call_next(request)
            span.set_attribute("http.response.status_code", response.status_code)
            if response.status_code >= 500:
                span.set_status(StatusCode.ERROR)
            return response


class AllowList(BaseHTTPMiddleware):
    """403 for whoever calls from elsewhere."""

    def __init__(self, app: ASGIApp, networks: Sequence[str]) -> None:
        super().__init__(app)
        self._networks = [ip_network(network) for network in networks]

    async def dispatch(self, request: Request, call_next: Next) -> Response:
        assert request.client is not None
        address = ip_address(request.client.host)
        if not any(address in network for network in self._networks):
            return JSONResponse({"error": "your address is not allowed"}, 403)
        return await call_next(request)


class ApiKey(BaseHTTPMiddleware):
    """401 for whoever has no key."""

    def __init__(self, app: ASGIApp, consumers: dict[str, str]) -> None:
        super().__init__(app)
        self._consumers = consumers

    async def dispatch(self, request: Request, call_next: Next) -> Response:
        consumer = self._consumers.get(request.headers.get("x-api-key", ""))
        if consumer is None:
            return JSONResponse({"error": "an API key is needed"}, 401)
        request.state.consumer = consumer
        return await call_next(request)


class RateLimit(BaseHTTPMiddleware):
    """429 for a consumer that calls too often."""

    def __init__(self, app: ASGIApp, rate: str) -> None:
        super().__init__(app)
        self._rate = parse(rate)
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    async def dispatch(self, request: Request, call_next: Next) -> Response:
        if not await self._limiter.hit(self._rate, request.state.consumer):
            return JSONResponse({"error": "too many calls"}, 429)
        return await call_next(request)


class Forward:
    """The endpoint: breaker, retry, call, stream."""

    def __init__(self, origin: str, spans: Tracer) -> None:
        self._origin = f"http://{origin}"
        self._spans = spans
        self._breaker = Breaker()
        self.client = httpx.AsyncClient(
            timeout=httpx.Timeout(TIMEOUT_SECONDS, connect=CONNECT_SECONDS)
        )  # its own limits, of 100 connections and 20 idle ones: it gets slower with more, not faster
        self.client.headers.clear()  # what callers did not say is not said for them

    async def __call__(self, request: Request) -> Response:
        if not self._breaker.allows():
            return JSONResponse({"error": "the upstream is failing"}, 503)
        body = await request.body()
        try:
            answer = await self._send(request, body)
            if answer.status_code == 503 and request.method in IDEMPOTENT:
                await answer.aclose()
                await asyncio.sleep(0.05)
                answer = await self._send(request, body)
        except httpx.HTTPError as error:
            self._breaker.failed()
            return JSONResponse(
                {"error": str(error)}, 504 if isinstance(error, httpx.TimeoutException) else 502
            )
        if answer.status_code >= 500:
            self._breaker.failed()
        else:
            self._breaker.succeeded()
        headers = {name: value for name, value in answer.headers.items() if name not in HOP_BY_HOP}
        return StreamingResponse(
            answer.aiter_raw(), answer.status_code, headers, background=BackgroundTask(answer.aclose)
        )

    async def _send(self, request: Request, body: bytes) -> httpx.Response:
        """One attempt, with a second one where no connection came about."""
        try:
            return await self._attempt(request, body)
        except httpx.ConnectError:
            return await self._attempt(request, body)

    async def _attempt(self, request: Request, body: bytes) -> httpx.Response:
        headers = {name: value for name, value in request.headers.items() if name not in NOT_FORWARDED}
        url = httpx.URL(self._origin + request.url.path, query=request.url.query.encode() or None)
        attributes = {"http.request.method": request.method, "url.full": str(url)}
        with self._spans.start_as_current_span(
            request.method, kind=SpanKind.CLIENT, attributes=attributes
        ) as span:
            inject(headers)
            call = self.client.build_request(request.method, url, headers=headers, content=body)
            answer = await self.client.send(call, stream=True)
            span.set_attribute("http.response.status_code", answer.status_code)
            return answer


def application(settings: Settings) -> Starlette:
    spans = tracer("starlette-httpx", settings.traces)
    forward = Forward(settings.origin, spans)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with forward.client:
            yield

    middleware: list[Any] = [Middleware(Tracing, spans=spans)] if settings.traces else []
    middleware += [
        Middleware(AllowList, networks=settings.networks),
        Middleware(ApiKey, consumers={settings.key: "platform"}),
        Middleware(RateLimit, rate=RATE),
    ]
    route = Route("/{path:path}", forward.__call__, methods=METHODS)
    return Starlette(routes=[route], middleware=middleware, lifespan=lifespan)


if __name__ == "__main__":
    settings = Settings.read()
    uvicorn.run(
        application(settings),
        host="127.0.0.1",
        port=settings.port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
