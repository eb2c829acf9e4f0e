"""Looks where a call comes from, and refuses it from elsewhere."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from gateway.errors import Refused
from gateway.exchange import Exchange, Response
from gateway.metrics import Counter
from gateway.networks import NetworkSet
from gateway.policy import Forward, Policy

Judge = Callable[[Exchange], str]
"""What is wrong with where a call comes from, in words; empty where nothing is."""


def ip_allow_list_policy(judge: Judge, refusals: Counter, labels: tuple[str, str], *, shadow: bool) -> Policy:
    """Refuses what `judge` finds wrong; in `shadow` it only notes it."""
    decision = "would_refuse" if shadow else "refused"

    def ip_allow_list(exchange: Exchange, forward: Forward) -> Awaitable[Response]:
        wrong = judge(exchange)
        if wrong:
            refusals.add(labels)
            exchange.decide("ip_allow_list", decision, "IP_NOT_ALLOWED")
            if not shadow:
                raise Refused("IP_NOT_ALLOWED", wrong)
        return forward(exchange)

    return ip_allow_list


def judge_by_networks(allowed: NetworkSet) -> Judge:
    """The same networks for every call."""

    def judge(exchange: Exchange) -> str:
        return "" if exchange.client in allowed else _not_from(exchange)

    return judge


def _not_from(exchange: Exchange) -> str:
    return f"calls from {exchange.client} are not allowed here"


def judge_by_consumer(sets: Mapping[str, NetworkSet]) -> Judge:
    """Consumer → its networks: a consumer that is not among them may call from anywhere."""

    def judge(exchange: Exchange) -> str:
        consumer = exchange.consumer
        if consumer is None:  # authentication in shadow, or absent: an unknown caller has no networks
            return "the caller is unknown, and so are its networks"
        allowed = sets.get(consumer.name)
        return "" if allowed is None or exchange.client in allowed else _not_from(exchange)

    return judge
