"""What a call costs among 10,000 networks and 10,000 routes, as a multiple of what it costs among ten.

    python bench/cost_of_size.py [--large 10000] [--calls 20000] [--whole 1000] [--rounds 25] [--most 1.10]
                                 [--opcodes] [--json]

Measured are the objects as the proxy asks them (`Router.find`; an `ip_allow_list` around nothing), and whole
calls through two `gateway serve` processes, a small and a large one; in the processor's time. Rounds of both
take turns, so that whatever else the machine does meets both; it only ever adds, so the best rounds count.
It ends with status 1 where a ratio is above what is promised.

`--opcodes` counts opcodes of the interpreter instead of microseconds, with both gateways in this process: the
same on every machine, and blind to what C code does (a bisection, a look into a table).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any, cast

import uvloop

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.opcodes import Profile
from gateway.config import load
from gateway.edge.proxy import Proxy
from gateway.edge.server import EdgeServer
from gateway.exchange import Exchange, Response
from gateway.generation import Generation, World
from gateway.policies.ip_allow_list import IpAllowListConfig
from gateway.record import encode
from gateway.recorder import Recorder
from gateway.routing import Route, Router
from gateway.services import Services
from gateway.stores import Stores

SMALL = 10
MOST = 1.10
"""The highest ratio that is promised."""
FEW, MANY = 100, 20_000
"""Callers: so few that the allow-list remembers all, and so many that it forgets them before they return."""
ANSWER = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 13\r\n\r\n{"games": []}'

Round = Callable[[], float]
"""One round; returns its cost per call."""
Work = Callable[[], object]
Meter = Callable[[Work], float]
"""What a piece of work costs, in microseconds or opcodes."""
Serving = AbstractContextManager[tuple[int, Meter]]
"""A gateway that serves: its port, and how to measure calls to it."""


def network(number: int) -> str:
    """Every second /48, so that no two of them are neighbours and could be merged."""
    return f"2001:db8:{number * 2:x}::/48"


def caller(number: int, size: int) -> str:
    """An address in one of the first `size` networks."""
    return f"2001:db8:{number * 7919 % size * 2:x}::{number >> 16:x}:{number & 0xFFFF:x}"


def path(number: int) -> str:
    """The path that asks for route `number`: every third has a parameter."""
    return f"/p{number}/games/7" if number % 3 == 0 else f"/p{number}/games"


def template(number: int) -> str:
    """The path as route `number` matches it."""
    return path(number).replace("/7", "/:code")


def spread(size: int) -> list[int]:
    """Ten routes out of `size`: of every rest by three as many, whatever the size."""
    return [number * (size // SMALL) // 3 * 3 + number % 3 for number in range(SMALL)]


def processor(work: Work) -> float:
    """This thread's own time, in microseconds."""
    began = time.thread_time_ns()
    work()
    return (time.thread_time_ns() - began) / 1000


def workers(supervisor: int) -> Meter:
    """The processor time of that gateway's workers, in microseconds."""
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    clocks = [
        Path(f"/proc/{pid}/schedstat")  # of the thread that serves
        for pid in children
        if b"gateway.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]

    def meter(work: Work) -> float:
        began = sum(int(clock.read_text().split()[0]) for clock in clocks)
        work()
        return (sum(int(clock.read_text().split()[0]) for clock in clocks) - began) / 1000

    return meter


def opcodes(work: Work) -> float:
    """The opcodes of the gateway that this thread executes."""
    profile = Profile()
    profile.counting = True
    sys.settrace(profile.trace)
    try:
        work()
    finally:
        sys.settrace(None)
    return profile.opcodes.total()


def routing(size: int, calls: int, meter: Meter) -> Round:
    """`Router.find` among `size` routes."""
    find = Router(routes=[Route(f"r{n}", ["GET"], template(n), upstream="aurora") for n in range(size)]).find
    asked = [path(number % size) for number in spread(size)]

    def work() -> None:
        for _ in range(calls // SMALL):
            for wanted in asked:
                find("GET", wanted, "gateway.example")

    return lambda: meter(work) / (calls // SMALL * SMALL)


def allowing(size: int, calls: int, callers: int, meter: Meter) -> Round:
    """`ip_allow_list` of `size` networks, called from `callers` addresses in turn."""
    config = IpAllowListConfig.model_validate({"networks": [network(n) for n in range(size)]})
    policy = config.build(Services(control=cast("Any", None), stores=Stores()))
    exchange, answer = Exchange(method="GET", path="/games"), cast("Awaitable[Response]", None)
    clients = cycle([caller(number, size) for number in range(callers)])

    def work() -> None:
        for exchange.client in islice(clients, calls):
            policy(exchange, lambda _: answer)

    return lambda: meter(work) / calls


def compare(small: Round, large: Round, rounds: int) -> dict[str, float]:
    """The best round of each, and how many times the small one's cost the large one's is."""
    small(), large()
    of_small, of_large = [], []
    for number in range(rounds):  # who goes first changes, so that a drift favours neither
        for one, costs in ((small, of_small), (large, of_large))[:: -1 if number % 2 else 1]:
            costs.append(one())
    best, best_of_large = min(of_small), min(of_large)
    return {
        "small": round(best, 3),
        "large": round(best_of_large, 3),
        "ratio": round(best_of_large / best, 3),
    }


class _Origin(asyncio.Protocol):
    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(ANSWER * data.count(b"\r\n\r\n"))


@contextmanager
def origin() -> Iterator[str]:
    """An upstream in a thread of its own; yields its URL."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(_Origin, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.close()


def configuration(size: int, upstream: str) -> dict[str, Any]:
    """`size` routes, ten of which ask for one of `size` networks each."""
    guarded = {number % size for number in spread(size)}
    routes = [
        {
            "name": f"r{n}",
            "match": {"methods": ["GET"], "path": template(n)},
            "upstream": "aurora",
            "policies": ["networks"] if n in guarded else [],
        }
        for n in range(size)
    ]
    return {
        "version": 1,
        "upstreams": {"aurora": {"targets": [{"url": upstream}]}},
        "server": {"trusted_proxies": ["127.0.0.0/8"], "drain": {"delay": "0s", "grace": "1s"}},
        "telemetry": {"logs": {"format": "text", "level": "warning"}},
        "routes": routes,
    }


@contextmanager
def written(size: int, upstream: str) -> Iterator[Path]:
    """That configuration as files; yields the path of the first."""
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as name:
        path = Path(name) / "routes.yaml"
        path.write_text(json.dumps(configuration(size, upstream), indent=1))
        (path.parent / "policies").mkdir()
        networks = [{"ip_allow_list": {"networks": [network(n) for n in range(size)]}}]
        (path.parent / "policies" / "networks.yaml").write_text(json.dumps(networks, indent=1))
        yield path


@contextmanager
def serving(size: int, upstream: str) -> Iterator[tuple[int, Meter]]:
    """A `gateway serve` of that size; yields its port, and what its workers' clock says."""
    with written(size, upstream) as path:
        output = path.with_name("output")
        with output.open("wb") as log:
            command = [sys.executable, "-m", "gateway", "serve", "--config", str(path)]
            command += ["--port", "0", "--admin-port", "0"]
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield _port(process, output), workers(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def _port(process: subprocess.Popen[bytes], output: Path) -> int:
    until = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < until:
        banner = re.search(r"gateway serves \d+ routes on http://[^ ]+:(\d+)", output.read_text())
        if banner is not None:
            return int(banner[1])
        time.sleep(0.05)
    raise SystemExit("gateway serve did not start:\n" + output.read_text()[-2000:])


@contextmanager
def serving_here(size: int, upstream: str) -> Iterator[tuple[int, Meter]]:
    """The same without its processes, in a thread of its own whose opcodes are counted."""
    profile = Profile()
    profile.counting = True
    with written(size, upstream) as path:
        world = World(control=cast("Any", None), stores=Stores())
        recorder = world.recorder = Recorder(world.metrics, sink=encode)
        generation = Generation(1, load(path, {}), world)
    loop = uvloop.new_event_loop()
    server = EdgeServer(Proxy(generation, recorder), trusted_proxies=generation.config.server.trusted_proxies)
    _, port = loop.run_until_complete(server.listen(("127.0.0.1", 0)))

    def run() -> None:
        sys.settrace(profile.trace)
        loop.run_forever()

    async def read() -> int:
        return profile.opcodes.total()

    def counted() -> int:  # in the loop's own thread, after the turn in which the last answer left
        return asyncio.run_coroutine_threadsafe(read(), loop).result()

    def meter(work: Work) -> float:
        before = counted()
        work()
        return counted() - before

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield port, meter
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close_listeners()
        loop.run_until_complete(server.drained(0))
        loop.close()


def whole(port: int, size: int, calls: int, meter: Meter) -> Round:
    """Whole calls over one connection, each from a caller never seen before, as a trusted proxy says."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    asked = [path(number % size) for number in spread(size)]
    numbers = count()

    def work(requests: list[bytes]) -> None:
        for request in requests:
            connection.sendall(request)
            answer = connection.recv(65536)
            while not answer.endswith(b"}"):
                answer += connection.recv(65536)
            if answer[9:12] != b"200":
                raise SystemExit(f"not answered: {answer!r}")

    def a_round() -> float:
        requests = [
            f"GET {asked[n % SMALL]} HTTP/1.1\r\nhost: a\r\n"
            f"x-forwarded-for: {caller(n, size)}\r\n\r\n".encode()
            for n in islice(numbers, calls)
        ]
        return meter(lambda: work(requests)) / calls

    return a_round


def measure_objects(large: int, calls: int, rounds: int, meter: Meter) -> dict[str, dict[str, float]]:
    """Name of what was measured → best of both sizes and ratio."""

    def both(make: Callable[..., Round], *told: int) -> dict[str, float]:
        return compare(make(SMALL, calls, *told, meter), make(large, calls, *told, meter), rounds)

    return {
        "router": both(routing),
        "ip_allow_list, few callers": both(allowing, FEW),
        "ip_allow_list, many callers": both(allowing, MANY),
    }


def measure_whole(
    large: int, calls: int, rounds: int, serve: Callable[[int, str], Serving]
) -> dict[str, float]:
    """The same of whole calls, through gateways as `serve` starts them."""
    with origin() as url, serve(SMALL, url) as small_one, serve(large, url) as large_one:
        (port, meter), (large_port, large_meter) = small_one, large_one
        small, big = whole(port, SMALL, calls, meter), whole(large_port, large, calls, large_meter)
        return compare(small, big, rounds)


def table(found: dict[str, dict[str, float]], large: int, unit: str) -> str:
    """The figures for people."""
    lines = [f"{f'{unit} a call':28} {f'among {SMALL}':>10} {f'among {large}':>14} {'ratio':>7}"]
    for name, figures in found.items():
        lines.append(f"{name:28} {figures['small']:10.2f} {figures['large']:14.2f} {figures['ratio']:7.3f}")
    return "\n".join(lines)


def above(found: dict[str, dict[str, float]], large: int, most: float) -> str:
    """What costs more among many than is promised, in a sentence each; empty where nothing does."""
    return "\n".join(
        f"{name}: a call among {large} costs {figures['ratio']:.3f} times what it costs among {SMALL},"
        f" and at most {most:.2f} times is promised"
        for name, figures in found.items()
        if figures["ratio"] > most
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--large", type=int, default=10_000, help="networks and routes of the large one")
    parser.add_argument("--calls", type=int, default=20_000, help="calls a round to the objects alone")
    parser.add_argument(
        "--whole", type=int, default=1_000, help="calls a round through the gateway; 0 for none"
    )
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--most", type=float, default=MOST, help="the highest ratio that ends with status 0")
    parser.add_argument("--opcodes", action="store_true", help="count opcodes instead of microseconds")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    meter, serve = (opcodes, serving_here) if args.opcodes else (processor, serving)
    found = measure_objects(args.large, args.calls, args.rounds, meter)
    if args.whole:
        found["whole calls"] = measure_whole(args.large, args.whole, args.rounds, serve)
    if args.json:
        print(json.dumps({"small": SMALL, "large": args.large, "found": found}))
    else:
        print(table(found, args.large, "opcodes" if args.opcodes else "microseconds"))
    if wrong := above(found, args.large, args.most):
        raise SystemExit(wrong)


if __name__ == "__main__":
    main()
