"""Policies around an upstream, as one function: what a call is handed to once its route is known."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from time import perf_counter_ns

from gateway.errors import Refused
from gateway.exchange import Exchange, Response
from gateway.policy import Forward, Policy, PolicyConfig


def chain(policies: Iterable[tuple[PolicyConfig, Policy]], forward: Forward) -> Forward:
    """Nest policies, first one outermost, around `forward`. Built once, when the configuration is loaded."""
    for index, (config, policy) in reversed(list(enumerate(policies))):
        if config.mode == "shadow" and not config.shadows_itself:
            policy = _shadow(config.name, policy)  # noqa: PLW2901
        forward = _link(index, policy, forward)
    return forward


def _link(index: int, policy: Policy, forward: Forward) -> Forward:
    def enter(exchange: Exchange) -> Awaitable[Response]:
        marks = exchange.marks
        marks.append(index)
        marks.append(perf_counter_ns())
        return policy(exchange, forward)

    return enter


def _shadow(name: str, policy: Policy) -> Policy:
    async def shadow(exchange: Exchange, forward: Forward) -> Response:
        forwarded = False

        def watch(exchange: Exchange) -> Awaitable[Response]:
            nonlocal forwarded
            forwarded = True
            return forward(exchange)

        try:
            return await policy(exchange, watch)
        except Refused as refusal:
            if forwarded:  # an inner policy's refusal, or our own after the call left: not ours to hide
                raise
            exchange.decide(name, "would_refuse", refusal.code)
        return await forward(exchange)

    return shadow
