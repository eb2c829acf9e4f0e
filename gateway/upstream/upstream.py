"""A provider or the platform: the innermost forward of every chain."""

from __future__ import annotations

import asyncio
import random as random_module
import ssl
from collections.abc import Awaitable, Callable
from time import perf_counter_ns
from typing import Any, Protocol

from gateway.control import ControlClient
from gateway.errors import Sent, UpstreamError
from gateway.exchange import Attempt, Exchange, Outcome, Response
from gateway.metrics import Metrics
from gateway.stream import Stream
from gateway.upstream.balancing import Candidate, choose
from gateway.upstream.control import HttpxControlClient
from gateway.upstream.health import Health, Prober
from gateway.upstream.http1 import Http1Sender
from gateway.upstream.http2 import Http2Sender
from gateway.upstream.reconnects import Reconnects
from gateway.upstream.settings import TargetConfig, UpstreamConfig
from gateway.upstream.tls import make_context

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""RFC 9110 §9.2.2: sending one twice does what sending it once does."""


class Sender(Protocol):
    """Carries attempts to one target."""

    @property
    def idle(self) -> int: ...
    @property
    def active(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    def send(self, exchange: Exchange, attempt: Attempt, *, fresh: bool = False) -> Awaitable[Response]: ...
    async def close(self) -> None: ...


class Target(Candidate):
    """One place where the upstream listens, with the connections to it."""

    __slots__ = ("answered", "sender", "url")

    def __init__(self, name: str, target: TargetConfig, config: UpstreamConfig, sender: Sender) -> None:
        super().__init__(target.origin, target.weight, Health(config.passive_health, config.health))
        self.url = target.url
        self.sender = sender
        self.answered = {hundred: (name, target.origin, f"{hundred}xx") for hundred in range(1, 6)}
        """Labels of an attempt's result, by the hundreds of its status."""

    def __repr__(self) -> str:
        sender = self.sender
        state = f"{sender.active} active, {sender.idle} idle, {sender.waiting} waiting"
        return f"<Target {self.origin}, {self.active} calls, connections: {state}>"


class Upstream:
    """Sends an exchange to one of its targets, and streams the answer back.

    Calling it raises UpstreamError where no answer came, and Refused (CIRCUIT_OPEN, BUSY) where
    nothing was tried. Each try is noted in `exchange.attempts`.
    """

    def __init__(
        self,
        name: str,
        config: UpstreamConfig,
        *,
        metrics: Metrics,
        control: ControlClient | None = None,
        random: random_module.Random | None = None,
    ) -> None:
        """ValueError where a certificate cannot be used. Opens nothing: `start` and calls do."""
        self.name = name
        self.config = config
        self._fewest = config.balance == "least_request"
        # Span ids need to be distinct, not secret; a SystemRandom would cost a system call per attempt.
        self._bits = (random or random_module.Random()).getrandbits  # noqa: S311
        secure = any(target.url.startswith("https:") for target in config.targets)
        context = make_context(config.tls, http2=config.http2) if secure else None
        self.targets = tuple(self._make_target(target, context) for target in config.targets)
        self._only = self.targets[0] if len(self.targets) == 1 else None
        self._attempts = metrics.counter(
            "gateway_upstream_attempts_total", "Tries by target and result", ("upstream", "target", "result")
        )
        self._seconds = metrics.histogram(
            "gateway_upstream_seconds", "From the start of a try to the head of its answer", ("upstream",)
        ).durations((name,))
        self._reconnects = Reconnects()
        self._watch(metrics)
        self._own_control: HttpxControlClient | None = None
        self._control = control
        self._context = context
        self._prober: Prober | None = None

    def _make_target(self, target: TargetConfig, context: ssl.SSLContext | None) -> Target:
        own = context if target.url.startswith("https:") else None
        sender: Sender = (Http2Sender if self.config.http2 else Http1Sender)(target, self.config, own)
        return Target(self.name, target, self.config, sender)

    def _watch(self, metrics: Metrics) -> None:
        connections = metrics.gauge(
            "gateway_upstream_connections", "Connections by target and state", ("upstream", "target", "state")
        )
        healthy = metrics.gauge(
            "gateway_upstream_target_healthy",
            "Workers that take the target for healthy",
            ("upstream", "target"),
        )
        for target in self.targets:
            for state in ("idle", "active", "waiting"):
                connections.watch(_reader(target.sender, state), (self.name, target.origin, state))
            healthy.watch(_health_reader(target.health), (self.name, target.origin))

    async def __call__(self, exchange: Exchange) -> Response:
        target = self._choose(exchange)
        fresh = False
        while True:
            attempt = Attempt(target.origin, (self._bits(64) or 1).to_bytes(8).hex(), perf_counter_ns())
            exchange.attempts.append(attempt)
            target.active += 1
            try:
                response = await target.sender.send(exchange, attempt, fresh=fresh)
            except BaseException as error:
                target.active -= 1
                if attempt.carrier is not None:
                    attempt.carrier.abandon(attempt)
                self._failed(target, attempt, error)
                # A kept connection that was closed under the call says nothing about the target. One more
                # try, on a new connection, where repeating is harmless and the body is still at hand.
                if fresh or not _worth_another(error, exchange) or not self._may_reconnect(target, attempt):
                    raise
                fresh = True
                continue
            if isinstance(response.body, Stream) or response.tunnel is not None:
                response.on_end(_closing(target, response))
            else:
                target.active -= 1
            target.health.connected()
            self._attempts.add(target.answered[attempt.status // 100])
            self._seconds.observe((attempt.head_ns - attempt.started_ns) * 1e-9)
            return response

    def _may_reconnect(self, target: Target, attempt: Attempt) -> bool:
        if attempt.sent is Sent.NO:
            return True  # the upstream has not seen it
        known = self._attempts.values
        answered = sum(known.get(labels, 0.0) for labels in target.answered.values())
        return self._reconnects.allow(asyncio.get_running_loop().time(), answered)

    def _choose(self, exchange: Exchange) -> Target:
        admit = exchange.admit_target
        if self._only is not None and admit is None:
            return self._only
        attempts = exchange.attempts
        return choose(
            self.targets,
            now=asyncio.get_running_loop().time(),
            fewest=self._fewest,
            tried=[attempt.target for attempt in attempts] if attempts else (),
            admit=admit,
        )

    def _failed(self, target: Target, attempt: Attempt, error: BaseException) -> None:
        if isinstance(error, UpstreamError):
            attempt.error = error.reason
            if error.code == "UPSTREAM_UNREACHABLE" and error.reason != "stale":
                target.health.unreachable(asyncio.get_running_loop().time())
        elif not attempt.error:
            attempt.error = "cancelled" if isinstance(error, asyncio.CancelledError) else "request"
        if not attempt.ended_ns:
            attempt.ended_ns = perf_counter_ns()
        self._attempts.add((self.name, target.origin, attempt.error))

    def start(self) -> None:
        """Begin probing, where the configuration asks for it. Idempotent; needs a running loop."""
        if self.config.health is None or self._prober is not None:
            return
        control = self._control
        if control is None or self._context is not None:
            # The upstream's own authority, name and certificate hold for its probes too.
            control = self._own_control = HttpxControlClient(
                self._context, server_name=self.config.tls.server_name
            )
        pairs = [(target.url, target.health) for target in self.targets]
        self._prober = Prober(self.name, self.config.health, pairs, control)
        self._prober.start()

    async def close(self) -> None:
        """Stop probing, close idle connections, and wait for calls under way; cancel it to give those up."""
        if self._prober is not None:
            await self._prober.close()
            self._prober = None
        if self._own_control is not None:
            await self._own_control.close()
            self._own_control = None
        await asyncio.gather(*(target.sender.close() for target in self.targets))

    def describe(self) -> str:
        """One sentence: where calls go and how long they may take."""
        return self.config.describe()

    def status(self) -> list[dict[str, Any]]:
        """Its targets for whoever asks how they do, in JSON's types."""
        now = asyncio.get_running_loop().time()
        return [
            {
                "target": target.origin,
                "healthy": target.health.healthy(now),
                "calls": target.active,
                "connections": {
                    "active": target.sender.active,
                    "idle": target.sender.idle,
                    "waiting": target.sender.waiting,
                },
            }
            for target in self.targets
        ]

    def __repr__(self) -> str:
        return f"<Upstream {self.name} {list(self.targets)!r}>"


def _closing(target: Target, response: Response) -> Callable[[Outcome], None]:
    def ended(_outcome: Outcome) -> None:
        target.active -= 1
        # Whoever ended the answer before its last byte may have left the connection busy with it.
        if isinstance(response.body, Stream):
            response.body.close()
        if response.tunnel is not None:
            response.tunnel.close()

    return ended


def _worth_another(error: BaseException, exchange: Exchange) -> bool:
    return (
        isinstance(error, UpstreamError)
        and error.reason == "stale"
        and (error.sent is Sent.NO or exchange.method in IDEMPOTENT)
        and not isinstance(exchange.body, Stream)
        and sum(attempt.error == "stale" for attempt in exchange.attempts) <= 1
    )


def _reader(sender: Sender, state: str) -> Callable[[], float]:
    return lambda: float(getattr(sender, state))


def _health_reader(health: Health) -> Callable[[], float]:
    return lambda: float(health.healthy(asyncio.get_running_loop().time()))
