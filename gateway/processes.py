"""The supervisor's children: workers and the observer, started, watched and stopped by process id."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.channel import Channel, ChannelClosed, Handler, RemoteError
from gateway.config import Config
from gateway.metrics import Sample

log = logging.getLogger("gateway.supervisor")


class WorkerProcess:
    """One worker process and the line to it."""

    def __init__(self, process: asyncio.subprocess.Process, channel: Channel) -> None:
        self.number = -1
        """Whose place it takes; none's yet."""
        self.process = process
        self.channel = channel
        self.ready = False
        """It serves a committed generation."""
        self.samples: list[Sample] = []
        """Its numbers as last heard."""

    @classmethod
    async def spawn(
        cls, listeners: list[socket.socket], observer_path: str, logs: tuple[str, str], hear: Handler
    ) -> WorkerProcess:
        """Start `python -m gateway.worker` with the listening sockets and one end of a socket pair.

        `hear` answers what it asks.
        """
        ours, theirs = socket.socketpair()
        fds = [listener.fileno() for listener in listeners]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway.worker", str(theirs.fileno()), observer_path, *logs,
            *map(str, fds),
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=[theirs.fileno(), *fds],
        )  # fmt: skip
        theirs.close()
        return cls(process, await Channel.open(ours, hear))

    async def bring_up(self, number: int, generation: int, config: Config) -> None:
        """Give it its place and its first generation."""
        self.number = number
        await self.channel.request("number", number)
        await self.channel.request("prepare", (generation, config))
        await self.channel.request("commit", generation)
        self.ready = True

    async def hear(self) -> None:
        """Fetch its numbers; what was heard before stays where it does not answer."""
        try:
            self.samples = await self.channel.request("metrics", timeout=5)
        except (ChannelClosed, RemoteError, TimeoutError):
            return

    async def stop(self, grace: float) -> None:
        """Drain, then leave; killed where it does not."""
        self.ready = False
        try:
            await self.channel.request("stop", grace, timeout=grace + 5)
            await asyncio.wait_for(self.process.wait(), 5)
        except (ChannelClosed, RemoteError, TimeoutError):
            pass
        await self.kill()

    async def kill(self) -> None:
        """End it now, if it still runs."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self.channel.close()

    def __repr__(self) -> str:
        return f"<Worker {self.number}, process {self.process.pid}, {'ready' if self.ready else 'not ready'}>"


class ObserverProcess:
    """The observer process, and the line on which the supervisor asks it for traces."""

    def __init__(self, directory: Path, settings: Mapping[str, Any]) -> None:
        self.records_path = str(directory / "records.sock")
        self.control_path = str(directory / "control.sock")
        self.settings = dict(settings)
        self.process: asyncio.subprocess.Process | None = None

    async def spawn(self) -> None:
        """Start `python -m gateway.observer`; its settings go in on standard input, one JSON line."""
        self._forget_sockets()
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway.observer",
            "--socket", self.records_path, "--control", self.control_path,
            stdin=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(self.settings).encode() + b"\n")
        with contextlib.suppress(ConnectionError):  # it died at once: whoever waits for it will see
            await self.process.stdin.drain()
        self.process.stdin.close()

    def _forget_sockets(self) -> None:
        for path in (self.records_path, self.control_path):
            Path(path).unlink(missing_ok=True)

    @property
    def pid(self) -> int:
        """Its process id; 0 where it was never started."""
        return self.process.pid if self.process is not None else 0

    async def listening(self, timeout: float = 10) -> None:
        """Wait until it listens. Raises `TimeoutError` or `ChildProcessError`."""
        assert self.process is not None
        async with asyncio.timeout(timeout):
            while not self._sockets_exist():
                if self.process.returncode is not None:
                    raise ChildProcessError(
                        f"the observer ended with {self.process.returncode} while starting"
                    )
                await asyncio.sleep(0.005)

    def _sockets_exist(self) -> bool:
        return Path(self.records_path).exists() and Path(self.control_path).exists()

    async def ask(self, op: str, timeout: float = 5, **payload: Any) -> Any:
        """One question, one answer, on a connection of its own. Raises `OSError` or `TimeoutError`."""
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_unix_connection(self.control_path)
            try:
                data = json.dumps({"op": op, **payload}).encode()
                writer.write(len(data).to_bytes(4, "big") + data)
                length = int.from_bytes(await reader.readexactly(4), "big")
                return json.loads(await reader.readexactly(length))
            finally:
                writer.close()

    async def stop(self, grace: float = 5) -> None:
        """Let it send what it has, then leave; killed where it does not."""
        if self.process is None or self.process.returncode is not None:
            return
        self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), grace)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
