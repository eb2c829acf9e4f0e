"""Where the traces arrive: OTLP over HTTP/1.1 and over gRPC, kept as it comes and counted when asked.

python -m bench.sink --http PORT --grpc PORT

It shares its core with origin and load, so a batch costs it next to nothing while calls are measured: bodies
are kept unread with the time of their arrival. Beyond KEPT_BYTES they are read as they come. Over HTTP it
also takes `POST /reset` and `GET /count`; metrics and logs are accepted and forgotten.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import signal
import sys
import time
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
import httptools
import uvloop
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.processes import LOAD_CORE, SOURCES, Process, free_port, start

KEPT_BYTES = 2 << 30
WINDOW_BYTES = 16 << 20
"""How much may be under way to the gRPC port before the sender waits for us."""
GZIP = 16 + zlib.MAX_WBITS
EXPORT = b"/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@dataclass(frozen=True)
class Count:
    """What has arrived since the last reset."""

    traces: int
    """Distinct trace ids."""
    spans: int
    bytes: int
    """Of all bodies, compressed where they came compressed."""
    last_arrival: float
    """When the last spans came, on time.monotonic()'s clock; 0.0 when none did."""
    malformed: int = 0
    """Bodies that are no OTLP."""


@dataclass(frozen=True)
class Sink:
    """A running sink."""

    http_port: int
    grpc_port: int
    process: Process

    def reset(self) -> None:
        """Forget everything that has arrived."""
        self._ask("POST", "/reset")

    def count(self) -> Count:
        """Read what has arrived, and count it: the load has to be over, since this keeps the core busy."""
        return Count(**json.loads(self._ask("GET", "/count")))

    def _ask(self, method: str, path: str) -> bytes:
        request = urllib.request.Request(f"http://127.0.0.1:{self.http_port}{path}", method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return bytes(answer.read())


@contextmanager
def sink(directory: Path, core: int = LOAD_CORE) -> Iterator[Sink]:
    """A sink in a process of its own, until the block ends."""
    http_port, grpc_port = free_port(), free_port()
    command = [sys.executable, "-m", "bench.sink", "--http", str(http_port), "--grpc", str(grpc_port)]
    with start(command, core=core, directory=directory, env=SOURCES, ready=http_port) as process:
        yield Sink(http_port, grpc_port, process)


class Arrivals:
    """Everything that came since the last reset."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self.kept_bytes = kept_bytes
        self.reset()

    def reset(self) -> None:
        self.unread: list[tuple[bytes, bool]] = []
        self.unread_bytes = 0
        self.traces: set[bytes] = set()
        self.spans = self.bytes = self.malformed = 0
        self.last = 0.0

    def add(self, body: bytes, *, gzipped: bool) -> None:
        """Keep one export request."""
        self.last = time.monotonic()
        self.bytes += len(body)
        if self.unread_bytes + len(body) > self.kept_bytes:
            self._read(body, gzipped)
        else:
            self.unread_bytes += len(body)
            self.unread.append((body, gzipped))

    def count(self) -> Count:
        while self.unread:
            self._read(*self.unread.pop())
        self.unread_bytes = 0
        return Count(len(self.traces), self.spans, self.bytes, self.last, self.malformed)

    def _read(self, body: bytes, gzipped: bool) -> None:
        try:
            request = ExportTraceServiceRequest.FromString(zlib.decompress(body, GZIP) if gzipped else body)
        except (DecodeError, zlib.error):
            self.malformed += 1
            return
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans += len(scope.spans)
                self.traces.update([span.trace_id for span in scope.spans])


class HttpIntake(asyncio.Protocol):
    """OTLP/HTTP with protobuf bodies, and the two questions."""

    transport: asyncio.Transport

    def __init__(self, arrivals: Arrivals) -> None:
        self.arrivals = arrivals
        self.parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.abort()

    def on_message_begin(self) -> None:
        self.target = b""
        self.gzipped = False
        self.parts: list[bytes] = []

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"content-encoding":
            self.gzipped = value.strip().lower() == b"gzip"

    def on_body(self, data: bytes) -> None:
        self.parts.append(data)

    def on_message_complete(self) -> None:
        asked = self.parser.get_method(), self.target
        status, kind, answer = b"200 OK", b"application/x-protobuf", b""
        if asked == (b"POST", b"/v1/traces"):
            self.arrivals.add(b"".join(self.parts), gzipped=self.gzipped)
        elif asked == (b"POST", b"/reset"):
            self.arrivals.reset()
        elif asked == (b"GET", b"/count"):
            kind, answer = b"application/json", json.dumps(dataclasses.asdict(self.arrivals.count())).encode()
        elif asked not in {(b"POST", b"/v1/metrics"), (b"POST", b"/v1/logs")}:
            status = b"404 Not Found"
        self.transport.write(
            b"HTTP/1.1 %b\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b"
            % (status, kind, len(answer), answer)
        )


class GrpcIntake(asyncio.Protocol):
    """OTLP/gRPC: unary calls over HTTP/2 without TLS. Exports of other things are accepted and forgotten."""

    transport: asyncio.Transport

    def __init__(self, arrivals: Arrivals) -> None:
        self.arrivals = arrivals
        self.http2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding=None, validate_inbound_headers=False)
        )
        self.calls: dict[int, tuple[bool, bytearray]] = {}
        """Stream → is it an export of traces, and its body so far."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.http2.local_settings = h2.settings.Settings(
            client=False, initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: WINDOW_BYTES}
        )
        self.http2.initiate_connection()
        self.http2.increment_flow_control_window(WINDOW_BYTES)
        self.transport.write(self.http2.data_to_send())

    def data_received(self, data: bytes) -> None:
        try:
            for event in self.http2.receive_data(data):
                self._handle(event)
        except h2.exceptions.ProtocolError:
            self.transport.write(self.http2.data_to_send())
            self.transport.close()
        else:
            self.transport.write(self.http2.data_to_send())

    def _handle(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived(stream_id=int(stream), headers=headers):
                self.calls[stream] = (dict(headers or ()).get(b":path") == EXPORT, bytearray())
            case h2.events.DataReceived(stream_id=int(stream), data=bytes(data)):
                self.http2.acknowledge_received_data(event.flow_controlled_length or 0, stream)
                if stream in self.calls:
                    self.calls[stream][1].extend(data)
            case h2.events.StreamReset(stream_id=int(stream)):
                self.calls.pop(stream, None)
            case h2.events.StreamEnded(stream_id=int(stream)):
                self._answer(stream)
            case _:
                return

    def _answer(self, stream: int) -> None:
        traces, body = self.calls.pop(stream)
        status = b"0"
        if len(body) < 5 or len(body) != 5 + int.from_bytes(body[1:5], "big"):
            status = b"13"  # INTERNAL: not one whole message
        elif traces:
            self.arrivals.add(bytes(body[5:]), gzipped=body[0] == 1)
        self.http2.send_headers(stream, [(b":status", b"200"), (b"content-type", b"application/grpc")])
        if status == b"0":
            self.http2.send_data(stream, bytes(5))
        self.http2.send_headers(stream, [(b"grpc-status", status)], end_stream=True)


async def serve(http_port: int, grpc_port: int) -> None:
    """Serve both ports until SIGTERM. The HTTP port comes last: when it accepts, the other one does too."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    arrivals = Arrivals()
    await loop.create_server(lambda: GrpcIntake(arrivals), "127.0.0.1", grpc_port)
    await loop.create_server(lambda: HttpIntake(arrivals), "127.0.0.1", http_port)
    await ended.wait()


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--http", type=int, required=True, metavar="PORT")
    options.add_argument("--grpc", type=int, required=True, metavar="PORT")
    ports = options.parse_args()
    uvloop.run(serve(ports.http, ports.grpc))
