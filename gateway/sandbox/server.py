"""Runs a sandbox: faults, the control endpoints, and a uvicorn that can truly hang up.

Control endpoints, alike in every sandbox, never subject to faults:

GET, POST, DELETE /_sandbox/faults   read, order (`faults.Fault` as JSON), clear
GET, DELETE /_sandbox/calls          what arrived; begin again at nothing
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from gateway.sandbox.faults import Calls, Fault, Faults

CONTROL = "/_sandbox/"
SHORT = (
    b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 4096\r\n\r\n{"games": [{"id": "'
)
GARBAGE = b"\x15\x03\x01 this was never HTTP\r\n\r\n"

Explain = Callable[[int], Response]
"""A status to an answer in the sandbox's own error shape."""


class Sandbox:
    """An ASGI application that counts its calls and misbehaves when told to."""

    def __init__(self, name: str, routes: Sequence[BaseRoute], explain: Explain) -> None:
        self.name = name
        self.faults = Faults()
        self.calls = Calls()
        self._explain = explain
        self._app = Starlette(
            routes=[
                Route(f"{CONTROL}faults", self._faults, methods=["GET", "POST", "DELETE"]),
                Route(f"{CONTROL}calls", self._calls, methods=["GET", "DELETE"]),
                *routes,
            ]
        )
        self.connections: Callable[[], Iterable[Any]] = tuple
        """The server's open connections, each with `client` and `transport`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"].startswith(CONTROL):
            await self._app(scope, receive, send)
            return
        query = scope["query_string"]
        target = scope["raw_path"].decode("latin-1") + (f"?{query.decode('latin-1')}" if query else "")
        self.calls.note(scope.get("method", "WEBSOCKET"), target, scope["headers"])
        fault = self.faults.meet(scope["path"])
        if fault is None:
            await self._app(scope, receive, send)
        else:
            await self._suffer(fault, scope, receive, send)

    async def _suffer(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(fault.latency_ms / 1000)
        if fault.status:
            await self._explain(fault.status)(scope, receive, send)  # refuses a WebSocket's handshake, too
        elif fault.reset or fault.outage:
            for transport in self._transport(scope):
                reset_connection(transport)
            await gone(receive)
        elif fault.bad_body:
            for transport in self._transport(scope):
                transport.write(GARBAGE if fault.bad_body == "garbage" else SHORT)
                transport.close()
            await gone(receive)
        else:
            await self._app(scope, receive, send)

    def _transport(self, scope: Scope) -> list[asyncio.Transport]:
        """The call's own connection; empty where the caller has left."""
        return [one.transport for one in self.connections() if one.client == tuple(scope["client"])]

    async def _faults(self, request: Request) -> Response:
        if request.method == "POST":
            try:
                fault = Fault.read(await request.json())
            except ValueError as error:
                return JSONResponse({"error": str(error)}, 422)
            self.faults.order(fault)
            if fault.outage:
                for connection in list(self.connections()):
                    if connection.client != tuple(request.scope["client"]):
                        reset_connection(connection.transport)
        elif request.method == "DELETE":
            self.faults.order(None)
        return JSONResponse(self.faults.show())

    async def _calls(self, request: Request) -> Response:
        if request.method == "DELETE":
            self.calls.clear()
        return JSONResponse(self.calls.show())

    def __repr__(self) -> str:
        return f"<Sandbox {self.name}, {self.faults.fault or 'well-behaved'}>"


def reset_connection(transport: asyncio.Transport) -> None:
    """Close with RST: zero linger makes the kernel drop what was not sent."""
    transport.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    transport.abort()


async def gone(receive: Receive) -> None:
    """Wait until the server has noticed that the connection is closed: until then it would answer 500."""
    while (await receive())["type"] not in {"http.disconnect", "websocket.disconnect"}:
        pass


class Server(uvicorn.Server):
    """A uvicorn that leaves signals to whoever runs it, and knows its port."""

    def __init__(self, sandbox: Sandbox, port: int, host: str = "127.0.0.1") -> None:
        super().__init__(
            uvicorn.Config(
                sandbox,
                http="httptools",
                ws="websockets-sansio",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,  # `client` names the connection, whatever a header says
                timeout_keep_alive=60,
                timeout_graceful_shutdown=1,
            )
        )
        self.socket = socket.create_server((host, port), backlog=1024)
        # asyncio does so only for sockets that name their protocol. Head and body are two writes, and with
        # Nagle's algorithm the second would wait 40 ms for the other side's delayed acknowledgement.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port: int = self.socket.getsockname()[1]
        sandbox.connections = lambda: self.server_state.connections

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Nothing: see `serve`, and a server in a thread gets no signals anyway."""
        yield

    async def run_until_told(self) -> None:
        """Serve until `should_exit` is set."""
        await self._serve([self.socket])

    def stop(self) -> None:
        """End soon; from any thread."""
        self.should_exit = True


def serve(sandbox: Sandbox, port: int, host: str = "127.0.0.1") -> int:
    """Serve until SIGINT or SIGTERM. Port 0 takes a free one; the address is printed either way.

    Returns the exit status: 2 where the port cannot be had.
    """
    try:
        server = Server(sandbox, port, host)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        print(
            f"cannot listen on {host}:{port}: {reason}. "
            "Is another sandbox running? Say --port 0 for a free port, or another one",
            file=sys.stderr,
        )
        return 2
    print(f"sandbox {sandbox.name} on http://{host}:{server.port}", flush=True)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, server.stop)
        await server.run_until_told()

    asyncio.run(run())
    return 0
