"""The sink counts what came over real sockets: HTTP/1.1, and gRPC spelled out by hand."""

from __future__ import annotations

import gzip
import http.client
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.sink import EXPORT, Arrivals, Sink, sink


@pytest.fixture(name="arriving")
def running_sink(tmp_path: Path) -> Iterator[Sink]:
    with sink(tmp_path, core=min(os.sched_getaffinity(0))) as running:
        yield running


def spans(*traces: int, each: int = 1) -> bytes:
    """One export request with `each` spans of every trace."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for trace in traces:
        for number in range(each):
            scope.spans.add(
                trace_id=trace.to_bytes(16, "big"), span_id=(number + 1).to_bytes(8, "big"), name="GET"
            )
    return request.SerializeToString()


def post(port: int, body: bytes, path: str = "/v1/traces", **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


class GrpcClient:
    """Unary calls one after the other, on one connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.http2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="ascii"))
        self.http2.initiate_connection()
        self.flush()

    def flush(self) -> None:
        self.socket.sendall(self.http2.data_to_send())

    def call(self, body: bytes, path: str = EXPORT.decode()) -> tuple[bytes, dict[str, str]]:
        """Returns the answer's body and trailers."""
        stream = self.http2.get_next_available_stream_id()
        head = {":method": "POST", ":scheme": "http", ":authority": "sink", ":path": path, "te": "trailers"}
        self.http2.send_headers(stream, [*head.items(), ("content-type", "application/grpc")])
        answer = b""
        while True:
            while body and (room := min(self.http2.local_flow_control_window(stream), 16384)):
                part, body = body[:room], body[room:]
                self.http2.send_data(stream, part, end_stream=not body)
                self.flush()
            for event in self.http2.receive_data(self.socket.recv(65536)):
                if isinstance(event, h2.events.DataReceived):
                    answer += event.data or b""
                elif isinstance(event, h2.events.TrailersReceived):
                    return answer, dict(event.headers or ())
            self.flush()

    def export(self, message: bytes, *, compressed: bool = False) -> tuple[bytes, dict[str, str]]:
        return self.call(bytes([compressed]) + len(message).to_bytes(4, "big") + message)


def test_over_http(arriving: Sink) -> None:
    before = time.monotonic()
    body = spans(1, 2, each=2)
    assert post(arriving.http_port, body) == 200
    packed = gzip.compress(spans(2, 3))
    assert post(arriving.http_port, packed, **{"Content-Encoding": "gzip"}) == 200
    count = arriving.count()
    assert (count.traces, count.spans, count.bytes, count.malformed) == (3, 6, len(body) + len(packed), 0)
    assert before < count.last_arrival < time.monotonic()
    assert arriving.count() == count, "asking changes nothing"
    arriving.reset()
    count = arriving.count()
    assert (count.traces, count.spans, count.bytes, count.last_arrival) == (0, 0, 0, 0.0)


def test_what_is_no_trace(arriving: Sink) -> None:
    assert post(arriving.http_port, b"{}", "/v1/metrics") == 200
    assert post(arriving.http_port, b"{}", "/v1/logs") == 200
    assert post(arriving.http_port, b"{}", "/v2/traces") == 404
    assert arriving.count().bytes == 0
    assert post(arriving.http_port, b"no protobuf at all") == 200
    assert post(arriving.http_port, b"nor gzip", **{"Content-Encoding": "gzip"}) == 200
    count = arriving.count()
    assert (count.traces, count.spans, count.malformed) == (0, 0, 2)


def test_over_grpc(arriving: Sink) -> None:
    large = spans(*range(20_000))  # more than the windows HTTP/2 begins with
    assert len(large) > 4 * 65_535
    client = GrpcClient(arriving.grpc_port)
    for message, compressed in ((large, False), (gzip.compress(spans(20_000)), True), (spans(20_001), False)):
        body, trailers = client.export(message, compressed=compressed)
        assert (body, trailers["grpc-status"]) == (bytes(5), "0")
    count = arriving.count()
    assert (count.traces, count.spans, count.malformed) == (20_002, 20_002, 0)
    client.socket.close()


def test_grpc_calls_that_are_none(arriving: Sink) -> None:
    client = GrpcClient(arriving.grpc_port)
    assert client.call(b"\0\0\0")[1]["grpc-status"] == "13"
    assert client.call(bytes(5), "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export")[1] == {
        "grpc-status": "0"
    }
    client.socket.sendall(bytes(9))  # a DATA frame on no stream
    while client.socket.recv(65536):
        pass
    assert arriving.count().bytes == 0
    client.socket.close()


def test_memory_is_bounded() -> None:
    body = spans(1, 2)
    arrivals = Arrivals(kept_bytes=2 * len(body))
    for _ in range(5):
        arrivals.add(body, gzipped=False)
    assert len(arrivals.unread) == 2, "the others were read as they came"
    count = arrivals.count()
    assert (count.traces, count.spans, count.bytes) == (2, 10, 5 * len(body))
    assert arrivals.unread_bytes == 0
