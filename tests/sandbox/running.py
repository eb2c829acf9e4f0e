"""Sandboxes in threads of their own, on free ports: `with provider("aurora") as aurora: aurora.url`."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from gateway.sandbox.platform import platform_sandbox
from gateway.sandbox.providers import OPERATOR_KEYS, provider_sandbox
from gateway.sandbox.server import Sandbox, Server


class Running:
    """A sandbox that serves as long as its `with` block lasts."""

    def __init__(self, sandbox: Sandbox, port: int = 0) -> None:
        self.sandbox = sandbox
        self.server = Server(sandbox, port)
        self.port = self.server.port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=lambda: asyncio.run(self.server.run_until_told()))

    def __enter__(self) -> Running:
        self._thread.start()  # the socket listens already: early calls wait in its backlog
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()
        self._thread.join(timeout=10)
        assert not self._thread.is_alive(), f"{self.sandbox} did not stop"


def platform(**more: Any) -> Running:
    return Running(platform_sandbox(**more))


def provider(name: str, callback_url: str = "", **more: Any) -> Running:
    return Running(provider_sandbox(name, callback_url, **more))


AURORA = {"authorization": f"Bearer {OPERATOR_KEYS['aurora']}"}
"""What makes Aurora listen."""
_USER, _, _PASSWORD = OPERATOR_KEYS["borealis"].partition(":")
BOREALIS = (_USER, _PASSWORD)
"""User and password for Borealis."""
