"""What would happen to a call: route, policies, upstream, each in a sentence. Touches no live state."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from gateway.config import Config
from gateway.errors import CODES, Refused, Sent, UpstreamError
from gateway.exchange import Exchange
from gateway.https import hsts, https_only
from gateway.observer.masking import Masking
from gateway.routing import Router
from gateway.services import Answer, RouteFacts, Services
from gateway.stores import Stores


class NoControl:
    """A control plane that reaches nothing: explaining makes no calls."""

    async def request(self, method: str, url: str, **_more: Any) -> Answer:
        """Refuse to call out."""
        raise UpstreamError("UPSTREAM_UNREACHABLE", f"explain makes no calls ({method} {url})", sent=Sent.NO)


@dataclass(slots=True)
class PolicyStep:
    """One policy of the winning route."""

    name: str
    says: str
    """What it does, in a sentence."""
    decides: str
    """What it would decide about this call."""
    refuses: str = ""
    """The code it would refuse with."""
    mode: str = "enforce"
    where: str = ""
    """file:line of its YAML."""


@dataclass(slots=True)
class Explanation:
    """The whole answer, for text and JSON."""

    request: str
    route: str = ""
    why: list[str] = field(default_factory=list)
    policies: list[PolicyStep] = field(default_factory=list)
    upstream: str = ""
    target: str = ""
    consumer: str = ""
    refused: str = ""
    """The code of the first refusal; empty where the call would be forwarded."""
    redirect: str = ""
    """Where the caller would be sent instead of being told of the refusal."""


async def explain(config: Config, exchange: Exchange) -> Explanation:
    """Walk a call through the configuration without making it.

    What it says of the call is masked and redacted as the access log is: explanations are mailed around.
    """
    masking = Masking(config.telemetry.mask.rules())
    told = await _explain(config, exchange, masking)
    told.why = [_shown(why, exchange, masking) for why in told.why]
    for step in told.policies:
        step.decides = masking.prose(step.decides)
    return told


def _shown(why: str, exchange: Exchange, masking: Masking) -> str:
    """A reason, which may name the call's path and what its parts stand for."""
    template = exchange.route.path if exchange.route is not None else ""
    why = why.replace(exchange.path, masking.path(exchange.path, template))
    for name, value in (exchange.params or {}).items():
        if mark := masking.mark(name):
            why = why.replace(f":{name} is {value}", f":{name} is {mark}")
    return masking.text(why)


async def _explain(config: Config, exchange: Exchange, masking: Masking) -> Explanation:
    told = Explanation("")
    router = Router(config)
    try:
        route, params = router.find(exchange.method, exchange.path, exchange.authority)
    except Refused as refusal:
        told.request = f"{exchange.method} {masking.path(exchange.path)} from {exchange.client}"
        told.refused = refusal.code
        told.why = [
            f"{refusal.detail or CODES[refusal.code].title} ({refusal.code})",
            *router.why(exchange.method, exchange.path, exchange.authority),
        ]
        return told
    exchange.route, exchange.params = route, params
    path = exchange.path
    told.request = f"{exchange.method} {masking.path(path, route.path)} from {exchange.client}"
    told.route = route.name
    told.why = router.why(exchange.method, exchange.path, exchange.authority)
    if route.require_tls and exchange.scheme != "https":
        told.refused = "HTTPS_REQUIRED"
        port = config.server.https_port
        plain = https_only(exchange, route.name, redirect=route.redirect, port=port)
        told.redirect = next((value.decode() for name, value in plain.headers if name == b"location"), "")
        there = ", and sends GET and HEAD there" if route.redirect else ""
        told.why.append(f"but it takes HTTPS only{there}")
    elif route.require_tls and config.server.hsts is not None:
        strict = config.server.hsts
        value = hsts(strict.max_age, include_subdomains=strict.include_subdomains).decode()
        told.why.append(f"its answers bear Strict-Transport-Security: {value}")
    services = Services(control=NoControl(), stores=Stores(), consumers=config.callers)
    mine = replace(services, route=RouteFacts(route.name, route.upstream, route.provider, route.stream))
    for policy, where in zip(route.policies, route.marks, strict=True):
        step = PolicyStep(policy.name, policy.describe(), "", mode=policy.mode, where=where)
        told.policies.append(step)
        if policy.mode == "off":
            step.decides = "is off"
            continue
        try:
            step.decides = await policy.foresee(exchange, mine)
        except Refused as refusal:
            step.refuses = refusal.code
            step.decides = f"would refuse: {refusal.detail or CODES[refusal.code].title}"
            if policy.mode == "enforce" and not told.refused:
                told.refused = refusal.code
    try:
        target = route.target(exchange.path, params, exchange.query)
    except Refused as refusal:
        told.refused = told.refused or refusal.code
        target = ""
    upstream = config.upstreams[route.upstream]
    told.consumer = exchange.consumer.name if exchange.consumer else ""
    told.upstream = f"{route.upstream}: {upstream.describe()}"
    secrets = sorted({name for policy in route.policies for name in policy.secret_parameters()})
    told.target = masking.target(target, path, route.path, secrets)
    return told


def render(told: Explanation) -> str:
    """The explanation for a terminal, as plain text."""
    lines = [told.request, ""]
    if told.route:
        lines.append(f"Route {told.route}")
    lines += [f"  {reason}" for reason in told.why]
    if told.policies:
        lines += ["", "Policies, outermost first"]
    stopped = bool(told.refused) and not any(step.refuses == told.refused for step in told.policies)
    for number, step in enumerate(told.policies, 1):
        mode = "" if step.mode == "enforce" else f" [{step.mode}]"
        lines.append(f"  {number}. {step.name}{mode}: {step.says}  ({step.where})")
        mark = "✗" if step.refuses else "·"
        code = f" [{step.refuses}]" if step.refuses else ""
        reached = "not reached; " if stopped else ""
        lines.append(f"     {mark} {reached}{step.decides}{code}")
        stopped = stopped or (bool(step.refuses) and step.mode == "enforce")
    lines.append("")
    if told.redirect:
        lines.append(f"The caller would be redirected (308) to {told.redirect}. Nothing would be sent.")
    elif told.refused:
        meaning = CODES[told.refused]
        lines.append(
            f"The caller would get {meaning.status} {told.refused}: {meaning.title}. Nothing would be sent."
        )
    else:
        lines.append(f"The call would go to {told.upstream}")
        lines.append(f"  as {told.request.split()[0]} {told.target}")
    return "\n".join(lines) + "\n"
