"""The processes of the demo: a platform, two providers and the gateway between them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

PLATFORM_KEY = "demo-platform-key"
PREFERRED_PORTS = {"gateway": 8080, "admin": 8081, "platform": 9200, "aurora": 9201, "borealis": 9202}
GAMES_TTL_SECONDS = 3
QUICK = {
    "GAMES_TTL": f"{GAMES_TTL_SECONDS}s",
    "BREAKER_RESET_AFTER": "2s",
    "HEALTH_EVERY": "500ms",
    "DRAIN_DELAY": "0s",
    "DRAIN_GRACE": "1s",
}
"""What the repository's configuration takes from the environment: a tour cannot wait for minutes."""
KEYS = {
    "PLATFORM_API_KEY": PLATFORM_KEY,
    "AURORA_CALLBACK_KEY": "demo-aurora-callback-key",
    "BOREALIS_CALLBACK_KEY": "demo-borealis-callback-key",
    "AURORA_OPERATOR_KEY": "demo-aurora-operator-key",
    "BOREALIS_OPERATOR_PASSWORD": "demo-borealis-password",
}
"""Set explicitly: a shell may hold real ones."""


class StageError(Exception):
    """A process of the demo did not start; the message quotes what it said last."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where everybody listens."""

    gateway: str
    admin: str
    platform: str
    aurora: str
    borealis: str


def pick_ports(preferred: Mapping[str, int]) -> dict[str, int]:
    """The usual ports where they are free, so that the addresses are memorable; free ones elsewhere."""
    held: list[socket.socket] = []
    ports = {}
    try:
        for name, port in preferred.items():
            try:
                listener = socket.create_server(("127.0.0.1", port))
            except OSError:
                listener = socket.create_server(("127.0.0.1", 0))
            held.append(listener)
            ports[name] = listener.getsockname()[1]
    finally:
        for listener in held:
            listener.close()
    return ports


class Stage:
    """`with Stage(config) as stage:` everybody runs inside of it, and nobody after it."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self.ports = pick_ports(PREFERRED_PORTS)
        self.at = Addresses(**{name: f"http://127.0.0.1:{port}" for name, port in self.ports.items()})
        self._logs = tempfile.TemporaryDirectory(prefix="gateway-demo-")
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start all four, and wait until all of them answer. Raises `StageError`."""
        try:
            self._start("platform", "sandbox", "platform", "--port", str(self.ports["platform"]))
            for name in ("aurora", "borealis"):
                port = str(self.ports[name])
                self._start(name, "sandbox", "provider", name, "--port", port, "--callback", self.at.gateway)
            for name, ready in (("platform", "/health"), ("aurora", "/health"), ("borealis", "/ping")):
                self._wait(name, f"http://127.0.0.1:{self.ports[name]}{ready}")
            serve = ["serve", "--config", str(self.config), "--port", str(self.ports["gateway"])]
            self._start("gateway", *serve, "--admin-port", str(self.ports["admin"]))
            self._wait("gateway", f"{self.at.admin}/readyz")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End everybody, the gateway first; each by its own process id. Idempotent."""
        for name in reversed(list(self._processes)):
            process = self._processes.pop(name)
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._logs.cleanup()

    def check(self) -> None:
        """Raises `StageError` where somebody has died."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise StageError(f"{name} ended with status {process.returncode}:\n{self.last_words(name)}")

    def last_words(self, name: str) -> str:
        """The end of what a process wrote."""
        lines = (Path(self._logs.name) / name).read_text(errors="replace").splitlines()
        return "\n".join(lines[-15:])

    def _start(self, name: str, *arguments: str) -> None:
        environment = os.environ | QUICK | KEYS
        environment |= {
            f"{who.upper()}_URL": getattr(self.at, who) for who in ("platform", "aurora", "borealis")
        }
        with (Path(self._logs.name) / name).open("wb") as log:
            self._processes[name] = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-m", "gateway", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the tour, which then ends the others in order
            )

    def _wait(self, name: str, url: str, seconds: float = 20) -> None:
        until = time.monotonic() + seconds
        with httpx.Client(trust_env=False, timeout=2) as client:
            while time.monotonic() < until:
                self.check()
                try:
                    if client.get(url).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                time.sleep(0.05)
        raise StageError(f"{name} does not answer at {url}; it said:\n{self.last_words(name)}")
