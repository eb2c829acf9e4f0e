"""Which simulated providers there are, and the keys they use in the demo."""

from __future__ import annotations

from collections.abc import Callable

from gateway.sandbox.aurora import aurora_sandbox
from gateway.sandbox.borealis import borealis_sandbox
from gateway.sandbox.server import Sandbox, serve

PORTS = {"aurora": 9201, "borealis": 9202}
OPERATOR_KEYS = {"aurora": "demo-aurora-operator-key", "borealis": "demo-operator:demo-borealis-password"}
"""What each wants to see from its caller. Made up, and worth nothing anywhere."""
CALLBACK_KEYS = {"aurora": "demo-aurora-callback-key", "borealis": "demo-borealis-callback-key"}
"""What each shows when it calls the wallet."""
MAKERS: dict[str, Callable[..., Sandbox]] = {"aurora": aurora_sandbox, "borealis": borealis_sandbox}


def provider_sandbox(
    name: str, callback_url: str = "", *, operator_key: str | None = None, callback_key: str | None = None
) -> Sandbox:
    """A provider by its name; KeyError for another. Its callback URL is the gateway's usual one."""
    return MAKERS[name](
        callback_url or f"http://127.0.0.1:8080/callbacks/{name}",
        operator_key=OPERATOR_KEYS[name] if operator_key is None else operator_key,
        callback_key=CALLBACK_KEYS[name] if callback_key is None else callback_key,
    )


def serve_provider(name: str, port: int | None = None, gateway: str = "http://127.0.0.1:8080") -> int:
    """Run until SIGINT or SIGTERM; the exit status. `gateway` is the address that leads to the wallet."""
    return serve(
        provider_sandbox(name, f"{gateway.rstrip('/')}/callbacks/{name}"),
        PORTS[name] if port is None else port,
    )
