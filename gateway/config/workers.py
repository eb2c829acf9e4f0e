"""May several workers serve a configuration? State that each keeps for itself counts calls apart."""

from __future__ import annotations

from gateway.config.configuration import Config
from gateway.config.findings import Finding

_COUNTING = frozenset({"rate_limit", "concurrency", "circuit_breaker"})


def check_workers(config: Config, workers: int) -> list[Finding]:
    """Every rule that would hold per worker and does not say that it may; none for shared state."""
    if workers <= 1 or config.state != "memory":
        return []
    findings = [
        Finding.at(
            policy.place,
            f"with {workers} workers and state: memory, this {policy.config.name} "
            "would count in each worker apart",
            "say `scope: worker` if that is meant, or share state: valkey://…",
        )
        for route in config.routes
        for policy in config.policies[route.name]
        if policy.config.name in _COUNTING
        and policy.config.mode != "off"
        and getattr(policy.config, "scope", None) != "worker"
    ]
    return list(dict.fromkeys(findings))
