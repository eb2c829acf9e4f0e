"""`gateway serve`: what it refuses, what it says, and the admin port as it really is."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
import uvicorn

from gateway import serve as serve_module
from gateway.config import load
from gateway.serve import _authority, _serve, cannot_listen, serve
from tests.scenarios.running import children_of, eventually, gateway, is_alive

CONFIG = """\
version: 1
upstreams:
  nobody: {targets: [{url: "http://127.0.0.1:9"}]}
routes:
  - {name: all, match: {methods: [GET], path: "/*"}, upstream: nobody}
"""
TOKEN = CONFIG + "server: {admin: {token: long-enough-a-token}, drain: {delay: 0s, grace: 1s}}\n"


def asked(folder: Path, text: str = CONFIG, **more: Any) -> Namespace:
    (folder / "routes.yaml").write_text(text)
    usual = {"host": None, "port": 0, "admin_host": "127.0.0.1", "admin_port": 0, "workers": 1}
    return Namespace(config=folder / "routes.yaml", **(usual | more))


def test_a_configuration_that_cannot_serve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert serve(asked(tmp_path, CONFIG.replace("upstream: nobody", "upstream: somebody"))) == 1
    assert "routes.yaml:5" in capsys.readouterr().err


def test_no_workers_are_too_few(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert serve(asked(tmp_path, workers=0)) == 2
    assert "--workers must be at least 1" in capsys.readouterr().err


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "gateway.example"])
def test_an_admin_port_for_everybody_needs_a_token(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], host: str
) -> None:
    assert serve(asked(tmp_path, admin_host=host)) == 2
    assert "set server.admin.token first" in capsys.readouterr().err


@pytest.mark.parametrize("which", ["port", "admin_port"])
def test_a_port_in_use_is_told(tmp_path: Path, which: str) -> None:
    asked(tmp_path)
    options = {"port": "0", "admin_port": "0"}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options[which] = taken_port = str(taken.getsockname()[1])
        ended = subprocess.run(
            [sys.executable, "-m", "gateway", "serve", "--config", str(tmp_path / "routes.yaml"),
             "--port", options["port"], "--admin-port", options["admin_port"]],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
    assert ended.returncode == 2
    option = f"--{which.replace('_', '-')}"
    assert ended.stderr == (
        f"cannot listen on 127.0.0.1:{taken_port}: Address already in use. "
        f"Is another gateway running? Say {option} 0 for a free port, or another one\n"
    )


def test_a_plain_port_in_use_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leaf = trustme.CA().issue_cert("localhost")
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    leaf.private_key_pem.write_to_path(tmp_path / "key.pem")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        tls = f"server: {{tls: {{certificate: cert.pem, key: key.pem, plain_port: {port}}}}}\n"
        arguments = asked(tmp_path, CONFIG + tls)
        assert asyncio.run(_serve(arguments, load(arguments.config, {}))) == 2
    assert capsys.readouterr().err == (
        f"cannot listen on 127.0.0.1:{port}: Address already in use. Is another gateway running? "
        "Set server.tls.plain_port to 0 for a free port, or another one\n"
    )
    low = cannot_listen("127.0.0.1", 80, OSError(errno.EACCES, ""), port_key="server.tls.plain_port")
    assert low.endswith("ports below 1024 are for root: set server.tls.plain_port to another one")


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("no.such.name.invalid", "there is no host 'no.such.name.invalid'; {mend}, like 127.0.0.1"),
        ("a" * 64, f"there is no host '{'a' * 64}'; {{mend}}, like 127.0.0.1"),
        ("192.0.2.1", "Cannot assign requested address; {mend}, or 0.0.0.0 for all of them"),
    ],
)
def test_a_host_that_is_not_this_machine_is_told_as_such(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], host: str, told: str
) -> None:
    for option in ("", "admin-"):
        arguments = asked(tmp_path, **{f"{option}host".replace("-", "_"): host})
        assert asyncio.run(_serve(arguments, load(arguments.config, {}))) == 2
        said = told.format(mend=f"say --{option}host with an address of this machine")
        assert capsys.readouterr().err == f"cannot listen on {host}:0: {said}\n"


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.EACCES, "Permission denied; ports below 1024 are for root: say --admin-port with another one"),
        (errno.EMFILE, "Too many open files; say another --admin-host or --admin-port"),
    ],
)
def test_other_reasons_not_to_listen(number: int, told: str) -> None:
    said = cannot_listen("127.0.0.1", 80, OSError(number, "with an address in it"), option="admin-")
    assert said == f"cannot listen on 127.0.0.1:80: {told}"
    absent = cannot_listen("2001:db8::1", 80, OSError(errno.EADDRNOTAVAIL, ""))
    assert absent.startswith("cannot listen on [2001:db8::1]:80: Cannot assign requested address; ")
    assert absent.endswith(", or :: for all of them")


def test_with_a_token_the_admin_port_may_be_for_everybody() -> None:
    with gateway(TOKEN, options=("--admin-host", "0.0.0.0")) as running:
        admin = running.admin.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{admin}/readyz").status_code == 200
        assert httpx.get(f"{admin}/metrics").status_code == 401
        assert httpx.post(f"{admin}/api/reload", json={}).status_code == 401
        proof = {"authorization": "Bearer long-enough-a-token", "host": "gateway.example"}
        assert httpx.get(f"{admin}/metrics", headers=proof).status_code == 200
        running.admin = admin


def test_no_crash_writes_memory_to_a_file() -> None:
    with gateway(CONFIG) as running:
        for pid in (running.process.pid, *children_of(running.process.pid)):
            limits = Path(f"/proc/{pid}/limits").read_text()
            (core,) = [line.split() for line in limits.splitlines() if line.startswith("Max core file size")]
            assert core[4] == "0"


def test_metrics_may_be_open_where_all_else_needs_a_token() -> None:
    text = TOKEN.replace("{token: long-enough-a-token}", "{token: long-enough-a-token, open_metrics: true}")
    with gateway(text, options=("--admin-host", "0.0.0.0")) as running:
        running.admin = running.admin.replace("0.0.0.0", "127.0.0.1")
        assert "gateway_workers 1" in httpx.get(f"{running.admin}/metrics").text
        assert httpx.get(f"{running.admin}/api/status").status_code == 401
        assert running.metric("gateway_admin_refused_total", reason="no_token") == 1


def test_state_changes_by_json_posts_from_here_only() -> None:
    with gateway(CONFIG) as running:
        admin = running.admin
        assert httpx.get(f"{admin}/api/reload").status_code == 405
        assert httpx.get(f"{admin}/api/cache/purge").status_code == 405
        assert httpx.post(f"{admin}/api/reload", data={"a": "b"}).status_code == 415
        assert httpx.post(f"{admin}/api/reload", json={}, headers={"host": "evil.example"}).status_code == 403
        assert httpx.get(f"{admin}/api/status", headers={"host": "evil.example"}).status_code == 403
        assert running.metric("gateway_config_reloads_total") == 0
        assert httpx.post(f"{admin}/api/reload", json={}).status_code == 200
        assert running.metric("gateway_config_reloads_total", result="unchanged") == 1


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_told_and_takes_everybody_along(name: signal.Signals) -> None:
    with gateway(CONFIG, workers=2) as running:
        children = children_of(running.process.pid)
        assert len(children) >= 3
        running.process.send_signal(name)
        assert running.process.wait(20) == 0
        assert not any(map(is_alive, children))


def test_nobody_stays_behind_when_it_is_killed() -> None:
    def killed() -> None:
        with gateway(CONFIG, workers=2) as running:
            children = children_of(running.process.pid)
            os.kill(running.process.pid, signal.SIGKILL)
            eventually(lambda: not any(map(is_alive, children)), seconds=20)

    with pytest.raises(AssertionError, match="it ended with -9"):
        killed()


def test_an_ipv6_address_is_shown_as_one_writes_it_in_a_url() -> None:
    assert _authority("::1", 8080) == "[::1]:8080"
    assert _authority("127.0.0.1", 8080) == "127.0.0.1:8080"


async def test_the_admin_port_hangs_up_on_who_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve_module, "ADMIN_HEAD_SECONDS", 0.3)

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await asyncio.sleep(0.6)  # longer than a head may take
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = serve_module._AdminServer(uvicorn.Config(app, log_config=None, lifespan="off"))
        serving = asyncio.create_task(server.serve([listener]))
        port = listener.getsockname()[1]
        asking, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        silent[0][1].write(b"GET /he")
        for reader, _ in silent:
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), 5) == b""
        assert (await asyncio.wait_for(asking.read(12), 5)) == b"HTTP/1.1 204"
        for _, one in [*silent, (asking, writer)]:
            one.close()
        server.should_exit = True
        await serving
