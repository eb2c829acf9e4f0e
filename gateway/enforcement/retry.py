"""Forwards again, as far as the rules and the budget let it."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from random import Random
from typing import Protocol

from gateway.errors import Refused, Sent, UpstreamError
from gateway.exchange import Exchange, Response
from gateway.policy import Forward
from gateway.retry_budget import Budget
from gateway.services import Clock, Services
from gateway.stream import Stream

_REPLAYABLE_BYTES = 64 * 1024
_CERTAINTY = (Sent.NO, Sent.UNKNOWN, Sent.YES)


class Rules(Protocol):
    """When to try again, and how often."""

    @property
    def attempts(self) -> int:
        """Retries after the first try."""

    @property
    def retry_after_max(self) -> float:
        """The longest `Retry-After` that is waited for, in seconds."""

    def reason_to_retry(
        self, exchange: Exchange, response: Response | None, error: UpstreamError | None
    ) -> str:
        """Why this outcome may be tried again; empty where it may not."""

    def backoff_seconds(self, retries: int, random: Random) -> float:
        """How long to wait before the next one; `retries` is how many there were before."""


class Retry:
    """The behaviour: one loop around `forward`."""

    def __init__(self, rules: Rules, services: Services, budget: Budget, *, shadow: bool) -> None:
        self._rules, self._budget, self._shadow = rules, budget, shadow
        self._clock, self._random = services.clock, services.random
        self._stream = services.route.stream
        self._retries = services.metrics.counter(
            "gateway_retries_total", "Calls that were sent again.", ("route", "reason", "mode")
        )
        self._exhausted = services.metrics.counter(
            "gateway_retry_budget_exhausted_total",
            "Retries not made for want of budget.",
            ("route", "upstream"),
        )
        self._owner = (services.route.name, services.route.upstream)

    async def __call__(self, exchange: Exchange, forward: Forward) -> Response:
        self._budget.earn(self._clock.now())
        if self._shadow:
            return await self._watch(exchange, forward)
        if isinstance(exchange.body, Stream) and (
            self._stream or await exchange.buffer_body(_REPLAYABLE_BYTES) is None
        ):
            return await forward(exchange)  # what cannot be replayed is sent once
        if exchange.upgrade:
            return await forward(exchange)
        headers, body, target = exchange.headers[:], exchange.body, exchange.target
        failed: UpstreamError | None = None
        retries = charged = 0
        while True:
            response, error = None, None
            try:
                response = await forward(exchange)
            except UpstreamError as caught:
                error = caught
            except Refused as refusal:
                if failed is None:
                    raise
                raise failed from refusal  # a try was made: "nothing was sent" would be a lie
            if len(exchange.attempts) > 1:
                reconnects = _reconnects(exchange)
                self._budget.charge(reconnects - charged)
                charged = reconnects
            if response is not None and response.kind != "temporary":
                return response
            delay = self._delay(exchange, response, error, retries)
            if delay is None:
                if response is not None:
                    return response
                assert error is not None
                raise _as_sent(error, failed)
            retries += 1
            reason = self._rules.reason_to_retry(exchange, response, error)
            failed = _as_sent(error, failed) if error is not None else _given_up(response)
            if response is not None:
                response.discard()
            exchange.decide("retry", "retried", f"{retries}: {reason}")
            exchange.attributes["retry.count"] = retries
            self._retries.add((self._owner[0], reason, "enforce"))
            await self._clock.sleep(delay)
            # Inner policies may have signed, added or rewritten: each try starts from what came in.
            exchange.headers, exchange.body, exchange.target = headers[:], body, target
            exchange.code, exchange.native = "", None

    async def _watch(self, exchange: Exchange, forward: Forward) -> Response:
        response, error = None, None
        try:
            response = await forward(exchange)
        except UpstreamError as caught:
            error = caught
        if self._delay(exchange, response, error, 0) is not None:
            reason = self._rules.reason_to_retry(exchange, response, error)
            exchange.decide("retry", "would_retry", reason)
            self._retries.add((self._owner[0], reason, "shadow"))
        if error is not None:
            raise error
        assert response is not None
        return response

    def _delay(
        self, exchange: Exchange, response: Response | None, error: UpstreamError | None, retries: int
    ) -> float | None:
        """Seconds to wait before the next try; None for no further try.

        The budget is asked last, since asking spends it.
        """
        rules = self._rules
        if retries >= rules.attempts or not rules.reason_to_retry(exchange, response, error):
            return None
        delay = rules.backoff_seconds(retries, self._random)
        asked = _retry_after(response, self._clock) if response is not None else 0.0
        if asked > rules.retry_after_max:
            return None
        delay = max(delay, asked)
        now = self._clock.now()
        if exchange.deadline is not None and now + delay >= exchange.deadline:
            exchange.decide("retry", "no_time_left")
            return None
        if not self._budget.spend(now):
            exchange.decide("retry", "budget_exhausted")
            self._exhausted.add(self._owner)
            return None
        return delay


def _reconnects(exchange: Exchange) -> int:
    """How often the upstream itself sent the call again, because a kept connection ended under it."""
    return sum(attempt.error == "stale" and attempt.sent is not Sent.NO for attempt in exchange.attempts[:-1])


def _as_sent(error: UpstreamError, earlier: UpstreamError | None) -> UpstreamError:
    """`error`, saying how far any of the tries came: one unknown among them makes a rollback necessary."""
    if earlier is None or _CERTAINTY.index(earlier.sent) <= _CERTAINTY.index(error.sent):
        return error
    return UpstreamError(error.code, error.detail, sent=earlier.sent, reason=error.reason)


def _given_up(response: Response | None) -> UpstreamError:
    status = 0 if response is None else response.status
    return UpstreamError(
        "UPSTREAM_INVALID",
        f"The upstream answered {status}, and no retry got an answer",
        sent=Sent.YES,
        reason="temporary",
    )


def _retry_after(response: Response, clock: Clock) -> float:
    """Seconds of `Retry-After` (RFC 9110 §10.2.3); 0 where there is none that can be read."""
    value = (response.header(b"retry-after") or b"").decode("latin-1").strip()
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - clock.time())
    except (ValueError, OverflowError):
        return 0.0
