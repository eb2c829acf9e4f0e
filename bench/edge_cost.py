"""What the edge alone costs per call in CPU time of its process, kernel included, beside another tree's.

    python bench/edge_cost.py [--against DIRECTORY] [--rounds 40] [--json]

One process per tree serves a proxy that answers 270 bytes at once, or after one turn of the loop as an
upstream would; this one asks over 64 connections, all of them before it reads the first answer. Rounds of
both trees take turns, and the least of each is told: whatever else the machine does only adds. `bare` is a
protocol that reads nothing and writes as many bytes: what the kernel and uvloop take of each figure.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import uvloop

from gateway.edge.limits import EdgeLimits
from gateway.edge.server import EdgeServer
from gateway.errors import Refused
from gateway.exchange import Exchange, Outcome, Response

CONNECTIONS = 64
TURNS = 16
"""Requests of one connection in one round."""
FIELDS = (
    b"Host: gateway.example:8080\r\nUser-Agent: bench/1.0\r\nAccept: application/json\r\n"
    b"X-Api-Key: 0123456789abcdef0123456789abcdef\r\nAccept-Encoding: identity\r\n"
)
BODY = b'{"player": "p-1", "amount": "12.50", "note": "%b"}' % (b"x" * 252)
TRACEPARENT = b"Traceparent: 00-%032x-%016x-01\r\n"
CASES = {
    "get": b"GET /aurora/games?lang=en HTTP/1.1\r\n%b\r\n" % FIELDS,
    "post": b"POST /callbacks/aurora/bet HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b"
    % (FIELDS, len(BODY), BODY),
    "get, answered later": b"GET /later HTTP/1.1\r\n%b\r\n" % FIELDS,
    "post, answered later": b"POST /later HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b"
    % (FIELDS, len(BODY), BODY),
    "get, traceparent": b"GET /later HTTP/1.1\r\n%bTRACE\r\n" % FIELDS,
}


HEADERS = [(b"content-type", b"application/json"), (b"cache-control", b"no-store"), (b"server", b"origin")]
ANSWER = b"x" * 270
BARE = "bare"


class Route:
    body_limit = 1 << 20


class Scripted:
    """A proxy without routes, chain and upstream."""

    limits = EdgeLimits()
    route = Route()

    def find(self, exchange: Exchange) -> None:
        exchange.route = self.route

    async def forward(self, exchange: Exchange) -> Response:
        if exchange.path == "/later":
            loop = asyncio.get_running_loop()
            arriving = loop.create_future()
            loop.call_soon(arriving.set_result, None)
            await arriving
        return Response(200, HEADERS.copy(), ANSWER)

    def failed(self, exchange: Exchange, error: Exception) -> Response:
        del exchange
        raise error

    def done(self, exchange: Exchange, response: Response | None, outcome: Outcome) -> None:
        pass

    async def refused(self, exchange: Exchange, refusal: Refused) -> Response:
        del exchange
        raise refusal

    def rejected(self, exchange: Exchange, refusal: Refused) -> asyncio.Future[None] | None:
        del exchange
        raise refusal


class Bare(asyncio.Protocol):
    """Any request gets the same bytes."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        del data
        self.transport.write(b"HTTP/1.1 200 OK\r\nx-filler: %b\r\n\r\n%b" % (b"x" * 120, ANSWER))


async def serve(bare: bool) -> None:
    """Be one edge: tell the port, then the CPU seconds used so far for every byte on stdin."""
    loop = asyncio.get_running_loop()
    if bare:
        listener = await loop.create_server(Bare, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
    else:
        _, port = await EdgeServer(Scripted()).listen(("127.0.0.1", 0))  # type: ignore[arg-type]
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 10, 5)  # as a worker does
    print(port, flush=True)
    gone = asyncio.Event()

    def told() -> None:
        if os.read(0, 1):
            print(time.process_time(), flush=True)
        else:
            gone.set()

    loop.add_reader(0, told)
    await gone.wait()


class Edge:
    """A tree's edge in a process of its own, and our connections to it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        assert process.stdout is not None
        port = int(process.stdout.readline())
        self.connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
        for connection in self.connections:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def cpu_seconds(self) -> float:
        """What its process has used so far."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(b"?")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def round(self, request: bytes) -> float:
        """Microseconds of CPU per call."""
        number = 0
        before = self.cpu_seconds()
        for _ in range(TURNS):
            for connection in self.connections:
                number += 1
                connection.sendall(request.replace(b"TRACE", TRACEPARENT % (time.time_ns(), number)))
            for connection in self.connections:
                answer = connection.recv(65536)
                if not (answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"\r\n\r\n" + b"x" * 270)):
                    raise RuntimeError(f"the answer is wrong: {answer[:80]!r}")
        return (self.cpu_seconds() - before) / (TURNS * CONNECTIONS) * 1e6


@contextmanager
def edge(tree: Path, served: str) -> Iterator[Edge]:
    """The edge of a tree, or the bare protocol; it ends with its standard input."""
    command = [sys.executable, __file__, "--serve", served]
    environ = {**os.environ, "PYTHONPATH": str(tree)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tree, env=environ
    ) as process:
        serving = Edge(process)
        try:
            yield serving
        finally:
            for connection in serving.connections:
                connection.close()
            assert process.stdin is not None
            process.stdin.close()
            process.wait(10)


def compare(trees: list[Path], rounds: int) -> dict[str, list[float]]:
    """Microseconds per call of every case: one figure per tree; of `bare` a single one."""
    costs = {}
    with ExitStack() as stack:
        edges = [stack.enter_context(edge(tree, "edge")) for tree in trees]
        bare = [stack.enter_context(edge(trees[0], BARE))]
        for case, request in [*CASES.items(), (BARE, CASES["get"])]:
            asked = bare if case == BARE else edges
            taken = [[each.round(request) for each in asked] for _ in range(rounds)]
            costs[case] = [min(column) for column in zip(*taken, strict=True)]
    return costs


def table(costs: dict[str, list[float]]) -> str:
    """A line per case."""
    lines = []
    for case, (ours, *others) in costs.items():
        beside = "".join(f"{other:10.2f} µs there, ratio {ours / other:.3f}" for other in others)
        lines.append(f"{case:22}{ours:8.2f} µs{beside}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--against", type=Path, help="another checkout of this repository")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    asked: Any = parser.parse_args(arguments)
    if asked.serve:
        uvloop.run(serve(asked.serve == BARE))
        return
    here = Path(__file__).resolve().parent.parent
    costs = compare([here, *([asked.against.resolve()] if asked.against else [])], asked.rounds)
    print(json.dumps(costs) if asked.json else table(costs))


if __name__ == "__main__":
    main()
