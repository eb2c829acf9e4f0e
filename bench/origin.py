"""The origin behind every proxy: nginx with constant answers, and a small server that tells what it received.

python -m bench.origin --echo PORT
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httptools
import trustme
import uvloop

from bench.processes import LOAD_CORE, SOURCES, Process, StartError, free_port, start

FIELDS = {
    "id": "aurora-of-the-north",
    "title": "Aurora of the North",
    "provider": "aurora",
    "kind": "slot",
    "rtp": "96.21",
    "volatility": "medium",
    "lines": 25,
    "currencies": ["EUR", "GBP", "SEK", "NOK"],
    "free_rounds": True,
    "jackpot": False,
    "released": "2024-03-14",
    "image": "/images/aurora.webp",
}
BODY = json.dumps(FIELDS, separators=(",", ":")).encode().ljust(270)
"""What /games… and /cached/… answer: JSON, filled up to 270 bytes with spaces."""

FILLING = "0123456789abcdef" * 64
"""A kibibyte."""
SIZES = {"10k": FILLING.encode() * 10, "100k": FILLING.encode() * 100}
"""What /size/10k and /size/100k answer."""

NGINX = """
daemon off; master_process off; worker_processes 1;
error_log stderr warn; pid nginx.pid;
events {{ worker_connections 16384; }}
http {{
  access_log off; server_tokens off; default_type application/json;
  keepalive_timeout 1h; keepalive_requests 1000000000; reset_timedout_connection on;
  client_max_body_size 0; client_body_buffer_size 256k;
  underscores_in_headers on; ignore_invalid_headers off;
  client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
  ssl_certificate server.pem; ssl_certificate_key server.key;
  ssl_session_cache shared:tls:1m; ssl_session_timeout 1h;
  upstream echo {{ server 127.0.0.1:{echo_port}; keepalive 64; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    listen 127.0.0.1:{tls_port} ssl backlog=4096;
    add_header x-origin bench always;
    location /games {{ return 200 '{body}'; }}
    location /cached/ {{
      add_header x-origin bench always; add_header cache-control max-age=60;
      return 200 '{body}';
    }}
    location = /size/10k {{ set $k {filling}; return 200 "{ten}"; }}
    location = /size/100k {{ set $k {filling}; return 200 "{hundred}"; }}
    location /down {{ return 503 '{{"error":"down"}}'; }}
    location /echo {{
      proxy_pass http://echo; proxy_http_version 1.1; proxy_request_buffering off;
      proxy_set_header Host $http_host; proxy_set_header Connection "";
    }}
    location / {{ return 404 '{{"error":"no such path"}}'; }}
  }}
}}
"""


@dataclass(frozen=True)
class Origin:
    """A running origin."""

    port: int
    tls_port: int
    ca_file: Path
    """Whoever trusts this certificate trusts the TLS port, under the names 127.0.0.1 and localhost."""
    process: Process


@contextmanager
def origin(directory: Path, core: int = LOAD_CORE) -> Iterator[Origin]:
    """nginx with one worker, in a new folder of `directory`, until the block ends; StartError without it."""
    home = directory / "origin"
    home.mkdir()
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if nginx is None:
        raise StartError("nginx is not installed: `make bench-setup` says how to get it")
    echo_port, port, tls_port = free_port(), free_port(), free_port()
    ca_file = certify(home)
    configuration(home, echo_port=echo_port, port=port, tls_port=tls_port)
    echo = [sys.executable, "-m", "bench.origin", "--echo", str(echo_port)]
    with (
        start(echo, core=core, directory=home, env=SOURCES, ready=echo_port),
        start(
            [nginx, "-p", str(home), "-c", "nginx.conf"], core=core, directory=home, ready=tls_port
        ) as process,
    ):
        yield Origin(port, tls_port, ca_file, process)


def certify(home: Path) -> Path:
    """Write a certificate for 127.0.0.1 and its key; returns the file of the authority that signed it."""
    authority = trustme.CA()
    server = authority.issue_cert("127.0.0.1", "localhost")
    server.private_key_pem.write_to_path(home / "server.key")
    for part in server.cert_chain_pems:
        part.write_to_path(home / "server.pem", append=True)
    authority.cert_pem.write_to_path(home / "ca.pem")
    return home / "ca.pem"


def configuration(home: Path, **ports: int) -> None:
    """Write nginx.conf."""
    text = NGINX.format(body=BODY.decode(), filling=FILLING, ten="$k" * 10, hundred="$k" * 100, **ports)
    (home / "nginx.conf").write_text(text)


class Echo(asyncio.Protocol):
    """Answers every call with what it received, as JSON: method, target, headers, body length and sha256.

    `headers` is a list of [name in lower case, value] in the order of arrival.
    """

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.abort()

    def on_message_begin(self) -> None:
        self.target = b""
        self.headers: list[tuple[str, str]] = []
        self.digest = hashlib.sha256()
        self.length = 0

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_body(self, data: bytes) -> None:
        self.digest.update(data)
        self.length += len(data)

    def on_message_complete(self) -> None:
        received: dict[str, Any] = {
            "method": self.parser.get_method().decode(),
            "target": self.target.decode("latin-1"),
            "headers": self.headers,
            "sha256": self.digest.hexdigest(),
            "length": self.length,
        }
        body = json.dumps(received).encode()
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        self.transport.write(head + body)


async def serve_echo(port: int) -> None:
    """Serve until SIGTERM."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    server = await loop.create_server(Echo, "127.0.0.1", port)
    await ended.wait()
    server.close()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--echo", type=int, required=True, metavar="PORT")
    uvloop.run(serve_echo(arguments.parse_args().echo))
