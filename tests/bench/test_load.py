"""What wrk is told, what it printed, and the clients that are our own."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bench import load
from bench.load import (
    LoadError,
    Saturation,
    at_rate,
    complete,
    idle_connections,
    parse_wrk,
    request_bytes,
    wrk_script,
)
from tests.bench.serving import Received, Served, serving

CORE = min(os.sched_getaffinity(0))

RECORDED = """\
Running 1s test @ http://127.0.0.1:50301/games
  1 threads and 8 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.25ms    2.03ms  12.72ms   85.39%
    Req/Sec    34.41k     3.13k   37.99k    70.00%
  34784 requests in 1.02s, 14.43MB read
Requests/sec:  34196.40
Transfer/sec:     14.19MB

bench calls=34784 us=1017183 bytes=15131040 errors=0 p50=61.0 p99=8335.0
"""

FAILING = """\
Running 1s test @ http://127.0.0.1:50301/down
  1 threads and 8 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     0.98ms    1.64ms   9.23ms   84.84%
    Req/Sec    39.43k     4.76k   45.75k    60.00%
  39382 requests in 1.01s, 7.85MB read
  Non-2xx or 3xx responses: 39382
Requests/sec:  39180.22
Transfer/sec:      7.81MB

bench calls=39382 us=1005150 bytes=8230838 errors=39382 p50=59.0 p99=7332.0
"""


def test_what_wrk_printed() -> None:
    assert parse_wrk(RECORDED) == Saturation(
        calls=34784, seconds=1.017183, errors=0, bytes_read=15131040, p50_us=61.0, p99_us=8335.0
    )
    assert parse_wrk(FAILING).errors == 39382
    with pytest.raises(LoadError, match="Connection refused"):
        parse_wrk("unable to connect to 127.0.0.1:1 Connection refused\n")


def test_what_wrk_is_told() -> None:
    script = wrk_script("POST", b'a"\\\n\xff1', {"X-Api-Key": "k-1"})
    assert script.splitlines()[:3] == [
        r'wrk.method = "POST"',
        r'wrk.body = "a\034\092\010\2551"',
        r'wrk.headers["X\045Api\045Key"] = "k\0451"',
    ]
    assert "wrk.body" not in wrk_script("GET", b"", {})


def wrk(path: Path, does: str) -> None:
    """A program of that name."""
    program = path / "wrk"
    program.write_text(f"#!/bin/sh\n{does}\n")
    program.chmod(0o755)


def test_saturation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    wrk(tmp_path, f'echo "$@" > {tmp_path}/told; cat <<END\n{RECORDED}END')
    found = load.saturate("http://127.0.0.1:9/games", seconds=29.7, connections=16, core=CORE)
    assert found.calls == 34784
    told = (tmp_path / "told").read_text()
    assert told.startswith("--threads 1 --connections 16 --duration 30s --timeout 10s --script /")
    assert told.endswith(".lua http://127.0.0.1:9/games\n")
    wrk(tmp_path, "echo unable to connect; exit 1")
    with pytest.raises(LoadError, match=r"(?s)wrk failed:.unable to connect"):
        load.saturate("http://127.0.0.1:9/games", seconds=1, core=CORE)


def test_without_wrk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LoadError, match="wrk is not installed: `make bench-setup`"):
        load.saturate("http://127.0.0.1:9/games", seconds=1, core=CORE)


def test_requests() -> None:
    assert request_bytes("GET", urlsplit("http://a:1/x?y=z"), b"", {"K": "v"}) == (
        b"GET /x?y=z HTTP/1.1\r\nHost: a:1\r\nK: v\r\n\r\n"
    )
    assert request_bytes("POST", urlsplit("http://a:1"), b"abc", {}) == (
        b"POST / HTTP/1.1\r\nHost: a:1\r\nContent-Length: 3\r\n\r\nabc"
    )


def test_at_a_rate() -> None:
    seen: list[Received] = []

    def answering(call: Received) -> Served:
        seen.append(call)
        return Served(status=200 if len(seen) % 10 else 500)

    with serving(answering) as port:
        found = at_rate(
            f"http://127.0.0.1:{port}/games", rate=200, seconds=0.5, connections=4,
            method="POST", body=b"x" * 300, headers={"X-Api-Key": "k"}, core=CORE,
        )  # fmt: skip
    assert (found.calls, found.errors) == (100, 10)
    assert {(call.method, call.target, call.body) for call in seen} == {("POST", "/games", b"x" * 300)}
    assert all(("x-api-key", "k") in call.headers for call in seen)
    assert 0 < found.p50_us <= found.p99_us <= found.p999_us
    assert 0 < found.rate < 210


def test_rates_need_a_port_and_no_tls() -> None:
    for url in ("https://127.0.0.1:1/games", "http://127.0.0.1/games"):
        with pytest.raises(ValueError, match="is not http:// with a port"):
            at_rate(url, rate=1, seconds=1)


def test_a_rate_at_nobody() -> None:
    with pytest.raises(LoadError, match=r"(?s)failed.*ConnectionRefusedError"):
        at_rate("http://127.0.0.1:1/games", rate=1, seconds=1, core=CORE)


def test_idle_connections() -> None:
    with serving(lambda call: Served(chunks=call.target == "/games", body=b"x" * 5000)) as port:
        with idle_connections(port, 20, headers={"X-Api-Key": "k"}) as idle:
            assert idle.open() == 20
            sources = {connection.getsockname()[0] for connection in idle.sockets}
            assert len(sources) == 16
            assert repr(idle) == "<IdleConnections 20 of 20 open>"
        with idle_connections(port, 2, path="/other") as idle:
            assert idle.open() == 2


def test_idle_connections_that_the_proxy_closes() -> None:
    with (
        serving(lambda call: Served(headers={"Connection": "close"})) as port,
        idle_connections(port, 3) as idle,
    ):
        while idle.open():
            pass


def test_idle_connections_that_are_refused() -> None:
    with (
        serving(lambda call: Served(status=401)) as port,
        pytest.raises(LoadError, match=r"connection 0 was answered b'HTTP/1\.1 401"),
        idle_connections(port, 3),
    ):
        pass
    with pytest.raises(LoadError, match="more open files"), idle_connections(1, 1 << 40):
        pass


@pytest.mark.parametrize(
    ("answer", "whole"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na", False),
        (b"HTTP/1.1 200 OK\r\ncontent-length:2\r\n\r\nab", True),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n", False),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", True),
    ],
)
def test_whole_answers(answer: bytes, whole: bool) -> None:
    assert complete(answer) is whole
