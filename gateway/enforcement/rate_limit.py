"""Counts calls, and refuses those over the limit."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

from gateway.errors import Refused, UpstreamError
from gateway.exchange import Exchange, Response
from gateway.metrics import Counter as Metric
from gateway.policy import Forward, Policy
from gateway.services import Services
from gateway.stores.counters import Counter, CounterStore, Limit, StoreUnavailableError, Verdict
from gateway.units import Rate


def rate_limit_policy(
    *,
    identify: Callable[[Exchange], str],
    counter: Counter,
    remote: SharedRule | None,
    head: LimitHead,
    now: Callable[[], float],
    refused: Metric,
    labels: tuple[str, ...],
    rate: Rate,
    by: str,
    shadow: bool,
) -> Policy:
    """Asks `remote`, or the worker's own `counter`, for each call; `head` tells the caller."""

    async def rate_limit(exchange: Exchange, forward: Forward) -> Response:
        key = identify(exchange)
        verdict = counter.hit(key, now()) if remote is None else await remote.hit(key)
        if verdict is None:  # the store is away, and the rule says allow
            return await forward(exchange)
        if verdict[0] < 0:
            refused.add(labels)
            if not shadow:
                exchange.decide("rate_limit", "refused", rate.text)
                raise Refused(
                    "RATE_LIMITED",
                    f"More than {rate} ({by})",
                    headers=(head.policy, head.state(verdict)),
                    retry_after=verdict[1],
                )
            exchange.decide("rate_limit", "would_refuse", "RATE_LIMITED")
        if shadow:  # the caller is not told of a limit that does not hold yet
            return await forward(exchange)
        try:
            response = await forward(exchange)
        except (Refused, UpstreamError) as error:
            error.headers = (*error.headers, head.policy, head.state(verdict))
            raise
        response.headers.append(head.policy)
        response.headers.append(head.state(verdict))
        return response

    return rate_limit


class LimitHead:
    """The fields of draft-ietf-httpapi-ratelimit-headers-11: `RateLimit-Policy` and `RateLimit`.

    `r` never exceeds `q`, and within `t` no more than `r` calls can pass: `t` ends when there are more.
    """

    __slots__ = ("_format", "policy")

    def __init__(self, label: bytes, limit: Limit) -> None:
        self.policy = (
            b"ratelimit-policy",
            b'"%b";q=%d;w=%d' % (label, limit.quota, limit.window_seconds),
        )
        self._format = b'"%b";r=%%d;t=%%d' % label.replace(b"%", b"%%")

    def state(self, verdict: Verdict) -> tuple[bytes, bytes]:
        left, seconds = verdict
        return b"ratelimit", self._format % (max(0, left), ceil(seconds))


class SharedRule:
    """A rule counted in Valkey, and what it does while that is away."""

    def __init__(self, services: Services, limit: Limit, rule: str, local: Counter, on_error: str) -> None:
        store: CounterStore = services.stores.counters
        assert store.shared is not None
        self._hit, self._local, self._now = store.shared.hit, local, services.clock.now
        self._limit, self._rule, self._on_error = limit, rule, on_error
        self._errors = services.metrics.counter(
            "gateway_rate_limit_store_errors_total", "Calls decided without the shared store.", ("route",)
        )
        self._labels = (services.route.name,)

    async def hit(self, key: str) -> Verdict | None:
        """As `Counter.hit`; None where the store is away and calls may pass uncounted."""
        try:
            return await self._hit(self._limit, self._rule, key)
        except StoreUnavailableError:
            self._errors.add(self._labels)
        if self._on_error == "allow":
            return None
        return (-1, 1.0) if self._on_error == "deny" else self._local.hit(key, self._now())
