"""What both entrances, our own edge and any ASGI server, share: route, chain, an answer to every error."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from time import perf_counter_ns
from typing import TYPE_CHECKING

from gateway.edge.limits import EdgeLimits
from gateway.errors import Refused, UpstreamError
from gateway.exchange import Exchange, Outcome, Response
from gateway.https import https_only
from gateway.problem import problem_of

if TYPE_CHECKING:
    from gateway.audit import Auditor
    from gateway.generation import Generation
    from gateway.recorder import Recorder

log = logging.getLogger("gateway.edge")


class Proxy:
    """The current generation behind one door. Swapping `generation` is the whole of a reload here."""

    __slots__ = ("audit", "generation", "limits", "recorder", "rejections")

    def __init__(self, generation: Generation, recorder: Recorder, audit: Auditor | None = None) -> None:
        self.generation = generation
        self.limits: EdgeLimits = generation.limits
        self.recorder = recorder
        self.audit = audit
        """Records calls durably, where `audit:` is configured."""
        self.rejections = generation.world.metrics.counter(
            "gateway_rejected_total", "Requests refused before they became calls.", ("code",)
        )

    def swap(self, generation: Generation) -> Generation:
        """Serve `generation` from the next request on; returns the one before, whose calls go on under it."""
        before, self.generation = self.generation, generation
        self.limits = generation.limits
        self.recorder.forget_routes()
        return before

    def find(self, exchange: Exchange) -> None:
        """Set `route`, `params` and `target`.

        Raises `Refused`: ROUTE_NOT_FOUND, METHOD_NOT_ALLOWED, HTTPS_REQUIRED; BAD_REQUEST where the
        rewritten target would traverse.
        """
        generation = self.generation
        route, params = generation.router.find(exchange.method, exchange.path, exchange.authority)
        if route.require_tls and exchange.scheme != "https":
            port = generation.config.server.https_port
            raise https_only(exchange, route.name, redirect=route.redirect, port=port)
        exchange.params = params
        exchange.target = route.target(exchange.path, params, exchange.query)
        exchange.route = route
        exchange.generation = generation
        generation.in_flight += 1
        self.recorder.begin()

    def forward(self, exchange: Exchange) -> Awaitable[Response]:
        """Hand a call to its route's chain. Whatever is raised here or there, `failed` answers."""
        if self.audit is not None:
            return self.audit.watch(exchange, self._forward)
        return self._forward(exchange)

    def _forward(self, exchange: Exchange) -> Awaitable[Response]:
        if exchange.route is None:
            self.find(exchange)
        answer: Awaitable[Response] = exchange.route.forward(exchange)
        return answer

    async def refused(self, exchange: Exchange, refusal: Refused) -> Response:
        """The answer to a call that is refused before it is handed to any chain."""
        if self.audit is not None:
            try:
                await self.audit.refuse(exchange, refusal.code)
            except Refused as busy:
                refusal = busy
        return problem_of(exchange, refusal)

    def failed(self, exchange: Exchange, error: Exception) -> Response:
        """Every error as problem+json; one that nobody foresaw is logged too."""
        if not isinstance(error, (Refused, UpstreamError)):
            log.error("route %s failed", exchange.route and exchange.route.name, exc_info=error)
        return problem_of(exchange, error)

    async def answer(self, exchange: Exchange) -> Response:
        """The answer to a call, whatever happens but a cancellation."""
        try:
            return await self.forward(exchange)
        except Exception as error:  # noqa: BLE001 - `failed` logs it
            return self.failed(exchange, error)

    def done(self, exchange: Exchange, response: Response | None, outcome: Outcome) -> None:
        """The call is over: record it. Once per exchange; `response` is None where the caller left first."""
        exchange.ended_ns = perf_counter_ns()
        generation = exchange.generation
        if generation is not None:
            generation.leave()
        if response is None:
            self.recorder.record(exchange, 499, 0, outcome)
        else:
            self.recorder.record(exchange, response.status, response.sent_bytes, outcome)

    def rejected(self, exchange: Exchange, refusal: Refused) -> asyncio.Future[None] | None:
        """Count a request too broken to become an exchange; `exchange` stands in for it.

        Where there is a future, its answer may leave only when that is done.
        """
        self.rejections.add((refusal.code,))
        return None if self.audit is None else self.audit.reject(exchange, refusal.code)
