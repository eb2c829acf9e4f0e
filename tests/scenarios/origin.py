"""An origin that answers at once, or holds answers back until a test lets go: `with Origin() as origin:`."""

from __future__ import annotations

import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class Origin:
    """`/held...` waits for `release`, whatever else is answered at once; `fail` makes it answer 503."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        """Calls by path."""
        self.fail = False
        self.arrived = threading.Event()
        """A held call is here."""
        self.release = threading.Event()
        origin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def do_GET(self) -> None:
                origin.seen[self.path] += 1
                self.send_response(503 if origin.fail else 200)
                self.send_header("content-type", "text/plain")
                self.send_header("content-length", "9")
                if self.path.startswith("/held"):
                    origin.arrived.set()
                    origin.release.wait(20)
                self.end_headers()
                self.wfile.write(b"the whole")
                self.wfile.flush()

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
