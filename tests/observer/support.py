"""Calls made by hand, and a collector that really listens."""

from __future__ import annotations

import gzip
import http.server
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from gateway.observer.call import Call
from gateway.record import AttemptRecord, Record, RouteEntry

MS = 1_000_000
ANCHOR_NS = 1_700_000_000_000_000_000
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN_ID = "00f067aa0ba902b7"

ROUTE = RouteEntry(
    "aurora-games", "/aurora/games", "aurora", "aurora", ("rate_limit", "cache", "circuit_breaker", "retry")
)


def make_attempt(start_ms: float = 1, end_ms: float = 5, status: int = 200, **more: Any) -> AttemptRecord:
    fields: dict[str, Any] = {
        "target": "http://127.0.0.1:9201",
        "span_id": "b7ad6b7169203331",
        "started_ns": int(start_ms * MS),
        "connected_ns": int(start_ms * MS) + 20_000,
        "head_ns": int(end_ms * MS) - 50_000,
        "ended_ns": int(end_ms * MS),
        "status": status,
        "error": "",
        "sent": "yes",
        "reused": True,
        "request_bytes": 0,
        "response_bytes": 270,
    }
    return AttemptRecord(**(fields | more))


def make_record(**more: Any) -> Record:
    fields: dict[str, Any] = {
        "route": 1,
        "received_ns": 0,
        "ended_ns": 6 * MS,
        "method": "GET",
        "path": "/aurora/games",
        "query": "",
        "target": "/v1/games",
        "scheme": "http",
        "authority": "gateway.example:8080",
        "http_version": "1.1",
        "client": "203.0.113.9",
        "peer": "127.0.0.1",
        "user_agent": "platform/1",
        "trace_id": TRACE_ID,
        "span_id": SPAN_ID,
        "parent_id": "",
        "tracestate": "",
        "sampled": True,
        "status": 200,
        "request_bytes": 0,
        "response_bytes": 270,
        "outcome": "complete",
        "code": "",
        "native_code": "",
        "native_status": 0,
        "consumer": "platform",
        "credential": "api_key",
        "cache": "",
        "attempts": [tuple(make_attempt())],
        "marks": [0, 10_000, 1, 20_000, 2, 30_000, 3, 40_000],
        "decisions": [],
        "attributes": {},
    }
    return Record(**(fields | more))


def make_call(route: RouteEntry = ROUTE, **more: Any) -> Call:
    return Call(make_record(**more), route, ANCHOR_NS, 0, 400)


Answer = tuple[int, dict[str, str], bytes]
"""Status, headers, body."""


class Receiver:
    """An OTLP/HTTP collector on a free port; `script` may answer otherwise, by the number of the call."""

    def __init__(self, script: Callable[[int], Answer | None] | None = None) -> None:
        self.spans: list[Span] = []
        self.requests: list[ExportTraceServiceRequest] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.calls = 0
        self.hold = threading.Event()
        self.hold.set()
        self.changed = threading.Condition()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.hold.wait(20)
                status, headers, answer = receiver.take(self.path, dict(self.headers), body, script)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))

    def take(self, path: str, headers: dict[str, str], body: bytes, script: Any) -> Answer:
        with self.changed:
            self.calls += 1
            answer = script(self.calls) if script is not None else None
            if answer is None:
                encoding = headers.get("content-encoding")
                body = gzip.decompress(body) if encoding == "gzip" else body
                body = zlib.decompress(body) if encoding == "deflate" else body
                request = ExportTraceServiceRequest.FromString(body)
                self.requests.append(request)
                self.headers.append({key.lower(): value for key, value in headers.items()})
                self.paths.append(path)
                for resource_spans in request.resource_spans:
                    for scope_spans in resource_spans.scope_spans:
                        self.spans.extend(scope_spans.spans)
                answer = 200, {}, ExportTraceServiceResponse().SerializeToString()
            self.changed.notify_all()
            return answer

    def wait_for(self, condition: Callable[[], bool], seconds: float = 20) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, seconds), f"{self.calls} calls, {len(self.spans)} spans"

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/v1/traces"

    def __enter__(self) -> Receiver:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.hold.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for what another thread or process does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)
