"""Load on a proxy: as many calls as go through, calls at a fixed rate, and connections that do nothing."""

from __future__ import annotations

import json
import math
import os
import re
import resource
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from bench.processes import LOAD_CORE, SOURCES, pinned

SLOW_SECONDS = 10
"""An answer that takes longer is an error."""


class LoadError(RuntimeError):
    """The load could not be made, or what its program printed is not understood."""


@dataclass(frozen=True)
class Saturation:
    """As many calls as go through."""

    calls: int
    """Answered; up to one for each connection was under way at the end, and reached the proxy uncounted."""
    seconds: float
    errors: int
    """Statuses of 400 and more, broken connections, and answers that took longer than SLOW_SECONDS."""
    bytes_read: int
    """Heads and bodies."""
    p50_us: float
    p99_us: float


@dataclass(frozen=True)
class Latency:
    """Calls at a fixed rate. Times run from when a call was due until its last byte came."""

    calls: int
    errors: int
    """Statuses other than 2xx, broken connections, and calls unanswered SLOW_SECONDS after the last."""
    rate: float
    """Calls a second, as achieved."""
    p50_us: float
    p99_us: float
    p999_us: float
    lag_us: float = 0.0
    """How late the client itself was, p99: from due to sent, of calls for which a connection was free."""


def saturate(
    url: str,
    *,
    seconds: float,
    connections: int = 64,
    method: str = "GET",
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    core: int = LOAD_CORE,
) -> Saturation:
    """As many calls as go through, by wrk with one thread. `seconds` are rounded to whole ones."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(wrk_script(method, body, headers or {}))
        script.flush()
        whole = max(1, round(seconds))
        command = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{whole}s"]
        command += ["--timeout", f"{SLOW_SECONDS}s", "--script", script.name, url]
        return parse_wrk(_run(command, core, timeout=whole + 30))


def wrk_script(method: str, body: bytes, headers: Mapping[str, str]) -> str:
    """The same request again and again, which wrk then builds once; and figures in a form to be parsed."""
    lines = [f"wrk.method = {_lua(method.encode())}"]
    if body:
        lines.append(f"wrk.body = {_lua(body)}")
    lines += [
        f"wrk.headers[{_lua(name.encode())}] = {_lua(value.encode())}" for name, value in headers.items()
    ]
    return "\n".join([*lines, WRK_DONE])


WRK_DONE = """
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format(
    "\\nbench calls=%d us=%d bytes=%d errors=%d p50=%.1f p99=%.1f\\n", summary.requests, summary.duration,
    summary.bytes, e.connect + e.read + e.write + e.timeout + e.status,
    latency:percentile(50), latency:percentile(99)))
end
"""


def _lua(text: bytes) -> str:
    """A Lua string literal in which only letters and digits stand for themselves."""
    return '"' + "".join(chr(b) if chr(b).isalnum() and b < 128 else f"\\{b:03d}" for b in text) + '"'


def parse_wrk(output: str) -> Saturation:
    """What the script's last line says."""
    match = re.search(
        r"^bench calls=(\d+) us=(\d+) bytes=(\d+) errors=(\d+) p50=([\d.]+) p99=([\d.]+)$",
        output,
        re.MULTILINE,
    )
    if match is None:
        raise LoadError(f"wrk printed no figures:\n{output}")
    calls, microseconds, size, errors = (int(figure) for figure in match.groups()[:4])
    return Saturation(calls, microseconds / 1e6, errors, size, float(match[5]), float(match[6]))


def at_rate(
    url: str,
    *,
    rate: float,
    seconds: float,
    connections: int = 64,
    method: str = "GET",
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    core: int = LOAD_CORE,
) -> Latency:
    """`rate` calls a second, evenly spaced, whatever becomes of them: by bench.open_loop in its own process.

    Not by h2load: all its clients wake together every ten milliseconds, so that 64 connections at 100 calls a
    second each are bursts of 64; and calls that were due while a connection waited are timed from when they
    were sent at last: a proxy that stood still for half a second at 6,400 calls a second had 64 slow calls
    in its log, not 3,200.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.port is None:
        raise ValueError(f"{url} is not http:// with a port")
    command = [sys.executable, "-m", "bench.open_loop", str(parts.port), f"{rate:g}", f"{seconds:g}"]
    command += [str(connections), str(SLOW_SECONDS)]
    request = request_bytes(method, parts, body, headers or {})
    return Latency(**json.loads(_run(command, core, timeout=seconds + SLOW_SECONDS + 30, given=request)))


def request_bytes(method: str, url: SplitResult, body: bytes, headers: Mapping[str, str]) -> bytes:
    """One HTTP/1.1 request, as it is sent."""
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    fields = {"Host": url.netloc, **headers}
    if body or method not in {"GET", "HEAD"}:
        fields["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + body


def _run(command: list[str], core: int, *, timeout: float, given: bytes = b"") -> str:
    """What a command printed; LoadError when it fails."""
    with pinned(core):
        try:
            done = subprocess.run(
                command, input=given, capture_output=True, timeout=math.ceil(timeout), check=False,
                env={**os.environ, **SOURCES},
            )  # fmt: skip
        except FileNotFoundError as error:
            raise LoadError(
                f"{command[0]} is not installed: `make bench-setup` says how to get it"
            ) from error
    output = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        raise LoadError(f"{Path(command[0]).name} failed:\n{output}{done.stderr.decode(errors='replace')}")
    return output


class IdleConnections:
    """Connections that made one call each, and wait."""

    def __init__(self, sockets: list[socket.socket]) -> None:
        self.sockets = sockets

    def __repr__(self) -> str:
        return f"<IdleConnections {self.open()} of {len(self.sockets)} open>"

    def open(self) -> int:
        """How many of them the proxy has not closed."""
        return sum(map(_is_open, self.sockets))


def _is_open(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


@contextmanager
def idle_connections(
    port: int, count: int, *, path: str = "/games", headers: Mapping[str, str] | None = None
) -> Iterator[IdleConnections]:
    """Open `count` connections, make one call on each, and hold them; LoadError when a call gets no 2xx.

    They come from up to 16 addresses of 127.0.0.0/8, so that a cap on one client's connections may stand.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and count + 100 > hard:
        raise LoadError(f"{count} connections need more open files than `ulimit -n -H` allows: {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    request = request_bytes("GET", urlsplit(f"http://127.0.0.1:{port}{path}"), b"", headers or {})
    with ExitStack() as opened:
        sockets = []
        for number in range(count):
            source = (f"127.0.0.{number % 16 + 1}", 0)
            connection = opened.enter_context(
                socket.create_connection(("127.0.0.1", port), timeout=SLOW_SECONDS, source_address=source)
            )
            connection.sendall(request)
            sockets.append(connection)
            _read_answer(connection, number)
            connection.setblocking(False)
        yield IdleConnections(sockets)


def _read_answer(connection: socket.socket, number: int) -> None:
    """One answer of known length or in chunks, to its end."""
    answer = b""
    while not complete(answer):
        part = connection.recv(65536)
        if not part:
            raise LoadError(f"connection {number} was closed by the proxy: {answer[:200]!r}")
        answer += part
    if not answer.startswith(b"HTTP/1.1 2"):
        raise LoadError(f"connection {number} was answered {answer[:200]!r}")


def complete(answer: bytes) -> bool:
    """Is that a whole answer, head and body?"""
    head, found, body = answer.partition(b"\r\n\r\n")
    if not found:
        return False
    length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    return len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n")
