"""A server of threads, for what the load and the caller have to cope with."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """What is answered; without `chunks` a body has its length."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"{}"
    chunks: bool = False


@dataclass
class Received:
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes


Answering = Callable[[Received], Served]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    answering: Answering

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = [(name.lower(), value) for name, value in self.headers.items()]
        served = self.answering(Received(self.command, self.path, headers, body))
        self.send_response(served.status)
        for name, value in served.headers.items():
            self.send_header(name, value)
        if served.chunks:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for part in (served.body[:3], served.body[3:]):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.send_header("Content-Length", str(len(served.body)))
            self.end_headers()
            self.wfile.write(served.body)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@contextmanager
def serving(answering: Answering) -> Iterator[int]:
    """The port of a server that answers so."""

    class Bound(Handler):
        pass

    Bound.answering = staticmethod(answering)  # type: ignore[assignment]
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
