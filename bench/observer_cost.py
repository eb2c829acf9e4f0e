"""What the observer spends on a call: processor time from frames that arrive to spans that a collector has.

    python bench/observer_cost.py [--calls 20000] [--rounds 7] [--paths 50] [--logs] [--no-traces] [--json]

A real `Recorder` makes the frames beforehand, in the form of a busy worker: batches of 64 GET calls through a
route with six policies, one consumer, one attempt each. A round feeds all of them to the stream of a real
observer, which exports every trace over a socket to a collector in a process of its own. The figures are
microseconds of the observer's own processor time (user and system, export thread included) per call: the
lowest of the rounds, since noise only adds.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import socket
import time
from dataclasses import dataclass
from typing import Any

from gateway.exchange import Attempt, Exchange, Outcome
from gateway.observer.observer import Observer, ObserverSettings
from gateway.observer.process import WorkerStream
from gateway.record import Batch, RouteEntry, encode
from gateway.recorder import FLUSH_RECORDS, Recorder

POLICIES = ("ip_allow_list", "api_key", "rate_limit", "timeout", "circuit_breaker", "retry")
ENTRY = RouteEntry("aurora-games", "/aurora/games/:game", "aurora", "aurora", POLICIES)
SPANS = 2
"""A call: the caller's and the attempt's."""
STRETCH, AHEAD = 16, 3000
"""Frames fed at once, and calls that may wait for the collector: as when calls come evenly."""
STARTED_NS = 1_000_000_000_000


@dataclass(frozen=True, slots=True)
class Consumer:
    """As much of a consumer as a record names."""

    name: str


class Route:
    """As much of a route as a recorder asks for."""

    entry = ENTRY


def frames(calls: int, paths: int) -> list[bytes]:
    """What a worker would send about `calls` calls, for `paths` different paths in turn."""
    batches: list[Batch] = []
    recorder = Recorder(sink=batches.append)
    route, consumer = Route(), Consumer("platform")
    for number in range(calls):
        at = STARTED_NS + number * 50_000
        exchange = Exchange(
            method="GET",
            path=f"/aurora/games/{number % paths}",
            headers=[(b"host", b"gateway.example:8080"), (b"user-agent", b"platform/1")],
            authority=b"gateway.example:8080".decode(),  # the edge makes a new string for every call, too
            client=b"203.0.113.9".decode(),
            peer="127.0.0.1",
            received_ns=at,
        )
        exchange.trace_id = f"{number * 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835 % 2**128 or 1:032x}"
        exchange.span_id = f"{number * 0x9E37_79B9_7F4A_7C15 % 2**64 or 1:016x}"
        exchange.route, exchange.consumer, exchange.credential = route, consumer, "api_key"  # type: ignore[assignment]
        exchange.target = f"/v1/games/{number % paths}"
        for index in range(len(POLICIES)):
            exchange.marks += [index, at + 15_000 + index * 3_000]
        attempt = Attempt(
            "http://127.0.0.1:9201", f"{number * 0xBF58_476D_1CE4_E5B9 % 2**64 or 1:016x}", at + 40_000
        )
        attempt.connected_ns, attempt.head_ns = at + 42_000, at + 900_000 + number
        attempt.ended_ns, exchange.ended_ns = at + 910_000 + number, at + 950_000 + number
        attempt.status, attempt.reused, attempt.response_bytes = 200, True, 270
        exchange.attempts.append(attempt)
        recorder.begin()
        recorder.record(exchange, 200, 270, Outcome.COMPLETE)
    recorder.flush()
    return [encode(batch) for batch in batches]


def collector() -> tuple[int, int]:
    """(port, process id) of a collector that takes whatever it is sent, in a process of its own."""
    listener = socket.create_server(("127.0.0.1", 0))
    port: int = listener.getsockname()[1]
    child = os.fork()
    if child:
        listener.close()
        return port, child
    try:
        while True:
            _accept(listener)
    finally:
        os._exit(0)


def _accept(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection, connection.makefile("rb") as stream:
        while stream.readline():
            length = 0
            while (line := stream.readline().strip().lower()) != b"":
                if line.startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            stream.read(length)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")


def exported(observer: Observer) -> tuple[float, float]:
    """(spans a collector took, spans given up)."""
    values: dict[str, Any] = {sample[0]: sample[4] for sample in observer.metrics.snapshot()}
    took, gave_up = (values.get(f"gateway_spans_{what}_total", []) for what in ("exported", "dropped"))
    return sum(count for _, count in took), sum(count for _, count in gave_up)


async def measure(arguments: argparse.Namespace, port: int) -> dict[str, float]:
    """Figures in microseconds per call, and how many spans and bytes a call was."""
    stream_of_frames = frames(arguments.calls, arguments.paths)
    endpoint = "" if arguments.no_traces else f"http://127.0.0.1:{port}/v1/traces"
    lines = os.open(os.devnull, os.O_WRONLY)
    settings = ObserverSettings(endpoint, "json" if arguments.logs else "off")
    environment = {"OTEL_BSP_MAX_QUEUE_SIZE": "10000000", "OTEL_BSP_SCHEDULE_DELAY": "20"}
    observer = Observer.start(settings, environment, lines)
    rounds = []
    handed = 0

    async def catch_up(ahead: int) -> None:
        while not arguments.no_traces and sum(exported(observer)) < SPANS * (handed - ahead):
            await asyncio.sleep(0.001)

    for _ in range(arguments.rounds):
        stream = WorkerStream(observer, set())
        gc.collect()
        began = time.process_time()
        for first in range(0, len(stream_of_frames), STRETCH):
            for frame in stream_of_frames[first : first + STRETCH]:
                stream.data_received(frame)
                handed += FLUSH_RECORDS
            await catch_up(AHEAD)
        await catch_up(0)
        rounds.append((time.process_time() - began) / arguments.calls * 1e6)
    spans, dropped = exported(observer)
    observer.close()
    os.close(lines)
    assert arguments.no_traces or not dropped, f"{dropped} spans were given up"
    return {
        "microseconds_per_call": round(min(rounds), 2),
        "microseconds_per_call_first_round": round(rounds[0], 2),
        "spans_per_call": spans / arguments.calls / arguments.rounds,
        "record_bytes_per_call": round(sum(map(len, stream_of_frames)) / arguments.calls, 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--paths", type=int, default=50, help="different paths that are called")
    parser.add_argument("--logs", action="store_true", help="write access log lines, to nowhere")
    parser.add_argument("--no-traces", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    arguments.calls -= arguments.calls % FLUSH_RECORDS  # all frames are full
    port, child = collector()
    try:
        figures = asyncio.run(measure(arguments, port))
    finally:
        os.kill(child, 15)
        os.waitpid(child, 0)
    if arguments.json:
        print(json.dumps(figures))
        return
    for name, figure in figures.items():
        print(f"{figure:10.2f}  {name.replace('_', ' ')}")


if __name__ == "__main__":
    main()
