"""One configuration, built: routes with their chains, upstreams with their pools."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from time import perf_counter_ns
from typing import Any

from gateway.audit import Auditor
from gateway.chain import chain
from gateway.config import Config
from gateway.edge.limits import EdgeLimits
from gateway.exchange import Exchange, Response
from gateway.https import hsts, with_hsts
from gateway.metrics import Metrics
from gateway.policy import Forward
from gateway.record import RouteEntry
from gateway.recorder import Recorder
from gateway.routing import Router
from gateway.services import Clock, ControlClient, RouteFacts, Services, State
from gateway.stores import Stores
from gateway.upstream import Upstream
from gateway.upstream.tls import digest

log = logging.getLogger("gateway")


@dataclass
class World:
    """What outlives a generation: one per worker."""

    control: ControlClient
    stores: Stores
    clock: Clock = field(default_factory=Clock)
    state: State = field(default_factory=State)
    metrics: Metrics = field(default_factory=Metrics)
    tasks: set[asyncio.Future[Any]] = field(default_factory=set)
    generations: weakref.WeakSet[Generation] = field(default_factory=weakref.WeakSet)
    """Those still in memory: the one that serves, and those whose calls go on."""
    recorder: Recorder | None = None
    """Set when it stands: there is none yet while the first generation is built."""

    auditor: Auditor | None = None
    """Set where an audit log is kept, once calls are served."""

    def recorded(self, upstream: Forward) -> Forward:
        """An upstream that is called only once the audit log has it that it will be."""

        async def forward(exchange: Exchange) -> Response:
            if self.auditor is not None:
                await self.auditor.sent(exchange)
            return await upstream(exchange)

        return forward

    def record_background(self, exchange: Exchange) -> None:
        """Take note of a fetch that no caller waited for."""
        if self.recorder is not None:
            exchange.ended_ns = perf_counter_ns()
            self.recorder.record_background(exchange)

    def background(self, work: Awaitable[Any]) -> None:
        """Run `work` beside the calls; its failure is logged, never lost."""
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Future[Any]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background work failed: %s", error, exc_info=error)


class Generation:
    """A built configuration. Each of its calls `leave`s; the last one after `retire` closes it."""

    def __init__(self, number: int, config: Config, world: World) -> None:
        self.number = number
        self.config = config
        self.world = world
        self.in_flight = 0
        self.limits = EdgeLimits.of(config.server)
        self.retired: Callable[[], None] | None = None
        world.generations.add(self)
        world.state.begin()
        self.upstreams = {name: self._upstream(name) for name in config.upstreams}
        services = Services(
            control=world.control,
            stores=world.stores,
            clock=world.clock,
            state=world.state,
            metrics=world.metrics,
            consumers=config.callers,
            upstreams=self.upstreams,
            background=world.background,
            record_background=world.record_background,
        )
        self.router = Router(config)
        told = config.server.hsts
        strict = hsts(told.max_age, include_subdomains=told.include_subdomains) if told is not None else b""
        for route in self.router.routes:
            facts = RouteFacts(route.name, route.upstream, route.provider, route.stream)
            mine = replace(services, route=facts)
            policies = [(policy, policy.build(mine)) for policy in route.policies if policy.mode != "off"]
            route.audited = config.audit is not None and route.name in config.wallets
            upstream: Forward = self.upstreams[route.upstream]
            route.forward = chain(policies, world.recorded(upstream) if route.audited else upstream)
            if strict and route.require_tls:
                route.forward = with_hsts(route.forward, strict)
            names = tuple(policy.name for policy, _ in policies)
            secrets = tuple(
                sorted({name for policy in route.policies for name in policy.secret_parameters()})
            )
            route.entry = RouteEntry(route.name, route.path, route.upstream, route.provider, names, secrets)

    def _upstream(self, name: str) -> Upstream:
        config = self.config.upstreams[name]
        return self.world.state.keep(
            ("upstream", name, config, digest(config.tls)),
            lambda: Upstream(name, config, metrics=self.world.metrics, control=self.world.control),
        )

    def start(self) -> list[Any]:
        """Begin serving: probes run. Returns the state that only earlier generations used, to be closed."""
        for upstream in self.upstreams.values():
            upstream.start()
        return self.world.state.commit()

    def leave(self) -> None:
        """One call of this generation ended."""
        self.in_flight -= 1
        if self.in_flight == 0 and self.retired is not None:
            self.retired()

    def retire(self, gone: list[Any]) -> None:
        """Serve no new call; close what is `gone` when the last call under way has ended."""

        def close() -> None:
            self.retired = None
            for thing in gone:
                if isinstance(thing, Upstream):
                    self.world.background(thing.close())

        self.retired = close
        if self.in_flight == 0:
            close()

    def __repr__(self) -> str:
        return (
            f"<Generation {self.number}: {len(self.router.routes)} routes, {self.in_flight} calls under way>"
        )
