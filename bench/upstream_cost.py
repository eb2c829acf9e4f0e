"""What a call costs this process between `Upstream(exchange)` and its answer: microseconds of processor time.

    python bench/upstream_cost.py [--calls 20000] [--rounds 7] [--flight 64] [--tls] [--against COMMIT]

The origin is another process on loopback; what is counted is only the caller's own time, the kernel's share
for sending and receiving included. Calls run on one uvloop, `--flight` of them under way at any moment.
`bare` is the least that Python can do: one future and one write a call, over as many connections. With
`--against` the package of that commit runs in turns with this tree's, and the ratio is printed. The figures
are the least of all rounds.

Half of it is the kernel's, and depends on how often sending has to wake the origin; so `dry` figures are told
too: the same calls with sockets that answer without the kernel, each in the loop's next turn.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import trustme
import uvloop

from gateway.exchange import Exchange, Response
from gateway.metrics import Metrics
from gateway.upstream import Upstream, UpstreamConfig

ROOT = Path(__file__).parent.parent
BODY = b'{"games":[' + b'{"id":"aurora-7","name":"Northern Lights","rtp":"96.10"},' * 4 + b"{}]}"
ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ndate: Tue, 24 Nov 2026 04:00:00 GMT\r\n"
    b"server: origin\r\ncache-control: no-store\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)
)
HEADERS = [
    (b"accept", b"application/json"),
    (b"user-agent", b"platform/3.1"),
    (b"content-type", b"application/json"),
    (b"x-request-id", b"8c5e1d2f-5d0a-4a7e-9a55-0f6b1c7d9e21"),
]
REQUEST = b'{"player":"p-1","round":"r-1","amount":"5.00","currency":"EUR"}' * 5
Call = Callable[[int], Awaitable[object]]
"""One call of the flight's member of that number."""


class _Origin(asyncio.Protocol):
    """Answers when a request's body, which ends in `}`, or a head without one has come."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if data.endswith((b"}", b"\r\n\r\n")):
            self.transport.write(ANSWER)


class _Dry:
    """A transport that answers by itself."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.Protocol) -> None:
        self._loop, self._protocol = loop, protocol
        self._ends = socket.socketpair()

    def write(self, _: bytes) -> None:
        self._loop.call_soon(self._protocol.data_received, ANSWER)

    def get_extra_info(self, _: str) -> socket.socket:
        return self._ends[0]

    def set_write_buffer_limits(self, **_: int) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def is_reading(self) -> bool:
        return True

    def abort(self) -> None:
        for end in self._ends:
            end.close()


async def _connect_dry(make: Callable[[], Any], *_: object, **__: object) -> tuple[object, asyncio.Protocol]:
    protocol: asyncio.Protocol = make()
    transport = _Dry(asyncio.get_running_loop(), protocol)
    protocol.connection_made(cast("asyncio.BaseTransport", transport))
    return transport, protocol


class _Bare(asyncio.Protocol):
    """The least a client can do: write, and wait for one piece."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.loop = asyncio.get_running_loop()
        self.waiter: asyncio.Future[bytes] | None = None

    def data_received(self, data: bytes) -> None:
        if self.waiter is not None:
            self.waiter.set_result(data)

    def call(self) -> asyncio.Future[bytes]:
        self.waiter = self.loop.create_future()
        self.transport.write(HEAD + REQUEST)
        return self.waiter


HEAD = b"POST /v1/bets HTTP/1.1\r\nhost: origin\r\ncontent-length: %d\r\n%b\r\n" % (
    len(REQUEST),
    b"".join(b"%b: %b\r\n" % item for item in HEADERS),
)


async def _serve_origin(folder: Path, secure: bool) -> None:
    context = None
    if secure:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / "ca.pem")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
    server = await asyncio.get_running_loop().create_server(_Origin, "127.0.0.1", 0, ssl=context)
    (folder / "port.new").write_text(str(server.sockets[0].getsockname()[1]))
    (folder / "port.new").rename(folder / "port")
    await server.serve_forever()


@contextmanager
def origin(*, secure: bool = False) -> Iterator[tuple[int, str]]:
    """An origin in a process of its own; yields its port and the file of its authority, empty for plain."""
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as name:
        command = [sys.executable, __file__, "--origin", name, *(["--tls"] if secure else [])]
        process = subprocess.Popen(command)
        try:
            until = time.monotonic() + 30
            while not (Path(name) / "port").exists():
                if process.poll() is not None or time.monotonic() > until:
                    raise SystemExit("the origin did not start")
                time.sleep(0.02)
            yield int((Path(name) / "port").read_text()), f"{name}/ca.pem" if secure else ""
        finally:
            process.terminate()
            process.wait(10)


async def _cost(call: Call, calls: int, flight: int) -> float:
    each = calls // flight

    async def member(number: int) -> None:
        for _ in range(each):
            await call(number)

    await asyncio.gather(*(call(number) for number in range(flight)))
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 10, 5)  # as a worker does
    began = time.process_time_ns()
    await asyncio.gather(*(member(number) for number in range(flight)))
    return (time.process_time_ns() - began) / (each * flight) / 1000


async def _measure(kind: str, port: int, ca: str, calls: int, flight: int) -> float:
    loop = asyncio.get_running_loop()
    kind, _, dry = kind.partition(" ")
    if dry:
        loop.create_connection = _connect_dry  # type: ignore[method-assign, assignment]
    if kind == "bare":
        made = [await loop.create_connection(_Bare, "127.0.0.1", port) for _ in range(flight)]
        return await _cost(lambda number: made[number][1].call(), calls, flight)
    settings: dict[str, Any] = {"targets": [{"url": f"http{'s' if ca else ''}://127.0.0.1:{port}"}]}
    if ca:
        settings["tls"] = {"ca": ca}
    upstream = Upstream("origin", UpstreamConfig.model_validate(settings), metrics=Metrics())
    exchanges = []
    for _ in range(flight):
        exchange = Exchange(
            method="POST" if kind == "post" else "GET",
            path="/v1/bets",
            headers=HEADERS if kind == "post" else HEADERS[:2],
            body=REQUEST if kind == "post" else b"",
            authority="gateway.example",
            client="203.0.113.7",
        )
        exchange.target, exchange.trace_id = "/v1/bets", os.urandom(16).hex()
        exchanges.append(exchange)

    async def call(number: int) -> Response:
        exchange = exchanges[number]
        exchange.attempts = []
        response: Response = await upstream(exchange)
        assert response.body == BODY
        return response

    try:
        return await _cost(call, calls, flight)
    finally:
        await upstream.close()


def _in_turns(
    trees: dict[str, Path], kinds: list[str], rounds: int, calls: int, flight: int, *, secure: bool
) -> dict[str, float]:
    found: dict[str, float] = {}
    with origin(secure=secure) as (port, ca):
        for _ in range(rounds):
            for name, tree in trees.items():
                for kind in kinds:
                    if kind.startswith("bare") and (secure or name != "this"):
                        continue
                    command = [sys.executable, __file__, "--measure", kind, "--port", str(port), "--ca", ca]
                    command += ["--calls", str(calls), "--flight", str(flight)]
                    environment = os.environ | {"PYTHONPATH": str(tree)}
                    told = subprocess.run(command, env=environment, check=True, capture_output=True, cwd=tree)
                    key = f"{kind}{' over TLS' if secure else ''}, {name}"
                    found[key] = min(found.get(key, float("inf")), float(told.stdout))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=20_000, help="calls a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--flight", type=int, default=64, help="calls under way at any moment")
    parser.add_argument("--tls", action="store_true", help="over TLS as well")
    parser.add_argument("--against", metavar="COMMIT", help="the other side of the comparison")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--origin", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--ca", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.origin:
        uvloop.run(_serve_origin(args.origin, args.tls))
    elif args.measure:
        print(uvloop.run(_measure(args.measure, args.port, args.ca, args.calls, args.flight)))
    else:
        with tempfile.TemporaryDirectory(prefix="gateway-bench-") as name:
            trees = {"this": ROOT}
            if args.against:
                archive = subprocess.run(
                    ["git", "archive", args.against, "gateway"],
                    cwd=ROOT, check=True, capture_output=True,
                )  # fmt: skip
                subprocess.run(["tar", "-x", "-C", name], input=archive.stdout, check=True)
                trees["that"] = Path(name)
            found: dict[str, float] = {}
            for secure in (False, True) if args.tls else (False,):
                kinds = ["bare", "get", "post"]
                if not secure:
                    kinds += [f"{kind} dry" for kind in kinds]
                found |= _in_turns(trees, kinds, args.rounds, args.calls, args.flight, secure=secure)
        _tell(found, as_json=args.json)


def _tell(found: dict[str, float], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"microseconds": found}))
        return
    print("microseconds of processor time a call")
    for key, cost in found.items():
        other = found.get(key.replace(", that", ", this"))
        ratio = f"   this is {other / cost:.2f} of it" if other is not None and ", that" in key else ""
        print(f"{key:24} {cost:7.2f}{ratio}")


if __name__ == "__main__":
    main()
