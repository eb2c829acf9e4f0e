"""What a call costs among 10,000 networks and 10,000 routes, as a multiple of what it costs among ten.

    python bench/cost_of_size.py [--large 10000] [--calls 20000] [--whole 2000] [--rounds 15] [--json]

Measured are the objects as the proxy asks them (`Router.find`; an `ip_allow_list` around nothing), and whole
calls through two `gateway serve` processes, a small and a large one. Rounds of both take turns, so that
whatever else the machine does meets both; the figures are medians.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from gateway.exchange import Exchange, Response
from gateway.policies.ip_allow_list import IpAllowListConfig
from gateway.routing import Route, Router
from gateway.services import Services
from gateway.stores import Stores

SMALL = 10
FEW, MANY = 100, 20_000
"""Callers: so few that the allow-list remembers all, and so many that it forgets them before they return."""
ANSWER = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 13\r\n\r\n{"games": []}'

Round = Callable[[], float]
"""One round; returns its cost per call in microseconds."""


def network(number: int) -> str:
    """Every second /48, so that no two of them are neighbours and could be merged."""
    return f"2001:db8:{number * 2:x}::/48"


def caller(number: int, size: int) -> str:
    """An address in one of the first `size` networks."""
    return f"2001:db8:{number * 7919 % size * 2:x}::{number + 1:x}"


def path(number: int) -> str:
    """The path that asks for route `number`: every third has a parameter."""
    return f"/p{number}/games/7" if number % 3 == 0 else f"/p{number}/games"


def template(number: int) -> str:
    """The path as route `number` matches it."""
    return path(number).replace("/7", "/:code")


def spread(size: int) -> list[int]:
    """Ten routes out of `size`: of every rest by three as many, whatever the size."""
    return [number * (size // SMALL) // 3 * 3 + number % 3 for number in range(SMALL)]


def per_call(calls: int, work: Callable[[], object], clock: Callable[[], int] = time.thread_time_ns) -> float:
    """Microseconds a call that `work` takes for `calls` of them; in this thread's time, unless told."""
    began = clock()
    work()
    return (clock() - began) / calls / 1000


def routing(size: int, calls: int) -> Round:
    """`Router.find` among `size` routes."""
    find = Router(routes=[Route(f"r{n}", ["GET"], template(n), upstream="aurora") for n in range(size)]).find
    asked = [path(number % size) for number in spread(size)]

    def work() -> None:
        for _ in range(calls // SMALL):
            for wanted in asked:
                find("GET", wanted, "gateway.example")

    return lambda: per_call(calls // SMALL * SMALL, work)


def allowing(size: int, calls: int, callers: int) -> Round:
    """`ip_allow_list` of `size` networks, called from `callers` addresses in turn."""
    config = IpAllowListConfig.model_validate({"networks": [network(n) for n in range(size)]})
    policy = config.build(Services(control=cast("Any", None), stores=Stores()))
    exchange, answer = Exchange(method="GET", path="/games"), cast("Awaitable[Response]", None)
    clients = [caller(number, size) for number in range(callers)]

    def work() -> None:
        for number in range(calls):
            exchange.client = clients[number % callers]
            policy(exchange, lambda _: answer)

    return lambda: per_call(calls, work)


def compare(small: Round, large: Round, rounds: int) -> dict[str, float]:
    """Medians of both, and the median of the ratios of rounds that ran next to each other."""
    small(), large()
    pairs = []
    for number in range(rounds):  # who goes first changes, so that a drift favours neither
        if number % 2:
            second, first = large(), small()
        else:
            first, second = small(), large()
        pairs.append((first, second))
    return {
        "small_us": round(statistics.median(first for first, _ in pairs), 3),
        "large_us": round(statistics.median(second for _, second in pairs), 3),
        "ratio": round(statistics.median(second / first for first, second in pairs), 3),
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
def serving(size: int, upstream: str) -> Iterator[int]:
    """A `gateway serve` of that size; yields its port."""
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as name:
        folder = Path(name)
        (folder / "policies").mkdir()
        (folder / "routes.yaml").write_text(json.dumps(configuration(size, upstream), indent=1))
        networks = [{"ip_allow_list": {"networks": [network(n) for n in range(size)]}}]
        (folder / "policies" / "networks.yaml").write_text(json.dumps(networks, indent=1))
        output = folder / "output"
        with output.open("wb") as log:
            command = [sys.executable, "-m", "gateway", "serve", "--config", str(folder / "routes.yaml")]
            command += ["--port", "0", "--admin-port", "0"]
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield _port(process, output)
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


def whole(port: int, size: int, calls: int) -> Round:
    """Whole calls over one kept connection, from many callers as a trusted proxy in front names them."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    asked = [path(number % size) for number in spread(size)]
    requests = [
        f"GET {asked[n % SMALL]} HTTP/1.1\r\nhost: a\r\nx-forwarded-for: {caller(n, size)}\r\n\r\n".encode()
        for n in range(calls)
    ]

    def work() -> None:
        for request in requests:
            connection.sendall(request)
            answer = connection.recv(65536)
            while not answer.endswith(b"}"):
                answer += connection.recv(65536)
            if answer[9:12] != b"200":
                raise SystemExit(f"not answered: {answer!r}")

    return lambda: per_call(calls, work, time.perf_counter_ns)


def measure(large: int, calls: int, whole_calls: int, rounds: int) -> dict[str, dict[str, float]]:
    """Name of what was measured → medians and ratio."""
    found = {
        "router": compare(routing(SMALL, calls), routing(large, calls), rounds),
        "ip_allow_list, few callers": compare(
            allowing(SMALL, calls, FEW), allowing(large, calls, FEW), rounds
        ),
        "ip_allow_list, many callers": compare(
            allowing(SMALL, calls, MANY), allowing(large, calls, MANY), rounds
        ),
    }
    if not whole_calls:
        return found
    with origin() as url, serving(SMALL, url) as small_port, serving(large, url) as large_port:
        small, big = whole(small_port, SMALL, whole_calls), whole(large_port, large, whole_calls)
        found["whole calls"] = compare(small, big, rounds)
    return found


def table(found: dict[str, dict[str, float]], large: int) -> str:
    """The figures for people."""
    lines = [f"{'microseconds a call':28} {f'among {SMALL}':>10} {f'among {large}':>14} {'ratio':>7}"]
    for name, figures in found.items():
        lines.append(
            f"{name:28} {figures['small_us']:10.2f} {figures['large_us']:14.2f} {figures['ratio']:7.3f}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--large", type=int, default=10_000, help="networks and routes of the large one")
    parser.add_argument("--calls", type=int, default=20_000, help="calls a round to the objects alone")
    parser.add_argument(
        "--whole", type=int, default=2_000, help="calls a round through the gateway; 0 for none"
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = measure(args.large, args.calls, args.whole, args.rounds)
    if args.json:
        print(json.dumps({"small": SMALL, "large": args.large, "found": found}))
        return
    print(table(found, args.large))


if __name__ == "__main__":
    main()
