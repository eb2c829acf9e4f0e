"""What a call makes the worker do, counted in opcodes of the interpreter: a profile without a clock.

    python bench/opcodes.py [--method POST] [--calls 64] [--top 40] [--json]

A worker's edge, the headline's chain of policies, the upstream client and the recorder run in this process,
over real sockets, one call after another; a child stands for origin and caller. The counts are the same in
every run and on every machine with the same Python, to compare two trees by, function by function. They leave
out what C code does (uvloop, the kernel, `bytes.join`), and all opcodes count alike, so they tell where to
look, not how long it takes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import sys
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any, cast

import uvloop

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.contenders.contender import KEY, Setting
from bench.contenders.gateway import configuration
from gateway.config import load
from gateway.edge.proxy import Proxy
from gateway.edge.server import EdgeServer
from gateway.generation import Generation, World
from gateway.record import encode
from gateway.recorder import Recorder
from gateway.stores import Stores

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 270\r\n\r\n" + b"x" * 270
BODY = b"y" * 300
WARM = 200
"""Calls before the counting: by then all that is remembered is."""
PACKAGE = str(Path(__file__).parent.parent / "gateway")


class Profile:
    """Opcodes and entries of every function of the gateway, while it counts."""

    def __init__(self) -> None:
        self.opcodes: Counter[str] = Counter()
        self.entries: Counter[str] = Counter()
        self.counting = False

    def trace(self, frame: FrameType, event: str, _arg: Any) -> Any:
        """For `sys.settrace`."""
        if not self.counting:
            return None
        code = frame.f_code
        if not code.co_filename.startswith(PACKAGE):
            return None
        name = f"{code.co_filename.removeprefix(PACKAGE + '/')} {code.co_qualname}"
        if event == "call":
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            self.entries[name] += 1
        elif event == "opcode":
            self.opcodes[name] += 1
        return self.trace


def request(method: str) -> bytes:
    """One call of the headline."""
    length = f"Content-Length: {len(BODY)}\r\n" if method == "POST" else ""
    head = f"{method} /games/aurora HTTP/1.1\r\nHost: gateway.example\r\nX-Api-Key: {KEY}\r\n{length}\r\n"
    return head.encode() + (BODY if method == "POST" else b"")


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The origin: the same answer to every request of a connection."""
    with suppress(asyncio.CancelledError):  # at the end, from `asyncio.run`
        while data := await reader.read(1 << 16):
            if b"\r\n\r\n" in data:
                writer.write(ANSWER)


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, call: bytes, calls: int) -> None:
    """The caller: one call after another."""
    for _ in range(calls):
        writer.write(call)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise SystemExit(f"answered {head!r}")
        await reader.readexactly(270)


def play(listener: socket.socket, commands: socket.socket, call: bytes) -> None:
    """In the child: be the origin, and call whenever told how often, and at which port."""

    async def main() -> None:
        await asyncio.start_server(answer, sock=listener)
        told, tell = await asyncio.open_connection(sock=commands)
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while line := await told.readline():
            port, calls = map(int, line.split())
            if streams is None:
                streams = await asyncio.open_connection("127.0.0.1", port)
            await ask(*streams, call, calls)
            tell.write(b"done\n")

    asyncio.run(main())


async def counted(profile: Profile, origin_port: int, commands: socket.socket, calls: int) -> None:
    """Serve, let the child call, and count its last `calls` calls."""
    with tempfile.TemporaryDirectory() as folder:
        setting = SimpleNamespace(
            directory=Path(folder),
            port=0,
            origin=SimpleNamespace(port=origin_port),
            sink=SimpleNamespace(http_port=1),
            tracing=True,
            options={},
        )
        path = Path(folder) / "routes.yaml"
        path.write_text(json.dumps(configuration(cast("Setting", setting))))
        world = World(control=None, stores=Stores())  # type: ignore[arg-type]
        recorder = world.recorder = Recorder(world.metrics, sink=encode)
        server = EdgeServer(Proxy(Generation(1, load(path, {}), world), recorder))
        _, port = await server.listen(("127.0.0.1", 0))
        told, tell = await asyncio.open_connection(sock=commands)
        for number in (WARM, calls):
            profile.counting = number == calls
            tell.write(b"%d %d\n" % (port, number))
            if await told.readline() != b"done\n":
                raise SystemExit("the caller gave up")
        profile.counting = False
        server.close_listeners()
        await server.drained(0)
        tell.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--method", choices=["GET", "POST"], default="GET")
    parser.add_argument("--calls", type=int, default=64, help="calls that are counted")
    parser.add_argument("--top", type=int, default=40, help="functions that are listed")
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", 0))
    ours, theirs = socket.socketpair()
    child = os.fork()
    if not child:
        ours.close()
        play(listener, theirs, request(told.method))
        os._exit(0)
    theirs.close()
    origin_port = listener.getsockname()[1]
    listener.close()
    profile = Profile()
    sys.settrace(profile.trace)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(counted(profile, origin_port, ours, told.calls))
    finally:
        sys.settrace(None)
        os.waitpid(child, 0)
    per_call = {name: count / told.calls for name, count in profile.opcodes.most_common()}
    whole, entries = sum(per_call.values()), sum(profile.entries.values()) / told.calls
    if told.json:
        print(json.dumps({"opcodes_per_call": whole, "entries_per_call": entries, "functions": per_call}))
        return
    print(f"{whole:8.1f} opcodes and {entries:.1f} entries of functions a call")
    for name, count in list(per_call.items())[: told.top]:
        print(f"{count:8.1f} {profile.entries[name] / told.calls:6.2f}  {name}")


if __name__ == "__main__":
    main()
