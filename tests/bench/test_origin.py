"""The origin's constant answers; with nginx where that is installed."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import ssl
import sys
from pathlib import Path

import httpx
import pytest

from bench.origin import BODY, SIZES, Echo, certify, origin
from bench.processes import SOURCES, free_port, start

CORE = min(os.sched_getaffinity(0))
NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")


def test_bodies() -> None:
    assert len(BODY) == 270
    assert json.loads(BODY)["provider"] == "aurora"
    assert b"'" not in BODY, "it stands between these in nginx.conf"
    assert {name: len(body) for name, body in SIZES.items()} == {"10k": 10_240, "100k": 102_400}


def test_the_certificate(tmp_path: Path) -> None:
    context = ssl.create_default_context(cafile=str(certify(tmp_path)))
    assert len(context.get_ca_certs()) == 1
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")


def test_echo_tells_what_it_received(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "bench.origin", "--echo", str(port)]
    body = os.urandom(70_000)
    with (
        start(command, core=CORE, directory=tmp_path, env=SOURCES, ready=port),
        httpx.Client(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        for sent in (body, b""):
            told = client.post(
                "/echo?a=b%20c&a=d", content=sent, headers=[("X-Two", "1"), ("x-two", "2")]
            ).json()
            assert (told["method"], told["target"], told["length"]) == (
                "POST",
                "/echo?a=b%20c&a=d",
                len(sent),
            )
            assert told["sha256"] == hashlib.sha256(sent).hexdigest()
            assert [value for name, value in told["headers"] if name == "x-two"] == ["1", "2"]


async def test_echo_hangs_up_on_what_is_no_http() -> None:
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"\x16\x03\x01 hello\r\n\r\n")
    assert await reader.read() == b""
    writer.close()
    server.close()


@pytest.mark.skipif(NGINX is None, reason="nginx comes from Debian")
def test_nginx(tmp_path: Path) -> None:
    with origin(tmp_path, core=CORE) as running:
        with httpx.Client(base_url=f"http://127.0.0.1:{running.port}") as client:
            for answer in (client.get("/games"), client.post("/games/7?page=2", content=b"x" * 300)):
                assert (answer.status_code, answer.content) == (200, BODY)
                assert answer.headers["content-type"] == "application/json"
                assert answer.headers["x-origin"] == "bench"
                assert "cache-control" not in answer.headers
            answer = client.get("/cached/games")
            assert (answer.content, answer.headers["cache-control"]) == (BODY, "max-age=60")
            assert answer.headers["x-origin"] == "bench"
            for name, body in SIZES.items():
                assert client.get(f"/size/{name}").content == body
                assert client.post(f"/size/{name}", content=body).content == body
            assert client.get("/down").status_code == 503
            assert client.get("/elsewhere").status_code == 404
            told = client.post("/echo?x=1", content=b"abc", headers={"x_odd": "kept"}).json()
            assert (told["target"], told["length"]) == ("/echo?x=1", 3)
            assert ["x_odd", "kept"] in told["headers"]
            assert ["host", f"127.0.0.1:{running.port}"] in told["headers"]
        context = ssl.create_default_context(cafile=str(running.ca_file))
        with httpx.Client(verify=context) as client:
            assert client.get(f"https://127.0.0.1:{running.tls_port}/games").content == BODY
        assert running.process.log() == ""
