"""The audit log of a real gateway: nobody is told what is not in it, whoever is killed and whenever."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.audit import verify
from gateway.audit.heads import read_heads
from gateway.audit.segments import lines, segments
from tests.scenarios.running import Gateway, eventually, gateway, is_alive, write_config

KEY = "0123456789abcdef0123456789abcdef"
CONFIG = """
    version: 1
    consumers:
      platform: {credentials: [{api_key: platform-key}]}
    providers:
      aurora: {upstream: nobody, credentials: [{api_key: aurora-key}]}
    upstreams:
      nobody: {targets: [{url: "http://127.0.0.1:9"}]}
      platform: {targets: [{url: "http://127.0.0.1:9"}]}
    routes:
      - name: games
        match: {methods: [GET], path: "/games/*"}
        upstream: nobody
        policies: [{authentication: {accept: [api_key], consumers: [platform]}}]
      - name: wallet
        match: {methods: [POST], path: "/wallet/*"}
        provider: aurora
        upstream: platform
        policies: [{authentication: {accept: [api_key], consumers: [aurora]}}]
    audit: {key: 0123456789abcdef0123456789abcdef, head: {path: heads, every: 100ms}}
"""


def entries(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in segments(folder / "var/audit") for _, line in lines(path)]


def whole(folder: Path) -> None:
    """The log is as it was written, up to the last head."""
    report = verify(folder / "var/audit", [KEY.encode()], read_heads(folder / "heads"))
    assert not report.problems


def ask(running: Gateway, path: str, **more: Any) -> httpx.Response:
    with httpx.Client(trust_env=False, timeout=10) as client:
        return client.request(more.pop("method", "GET"), running.url + path, **more)


def test_what_an_auditor_asks_for_is_there() -> None:
    with gateway(CONFIG) as running:
        assert ask(running, "/games/1?token=hunter2").status_code == 401
        assert ask(running, "/games/2", headers={"x-api-key": "platform-key"}).status_code == 502
        assert (
            ask(running, "/wallet/bet", method="POST", headers={"x-api-key": "aurora-key"}).status_code == 502
        )
        assert ask(running, "/nowhere").status_code == 404
        with socket.create_connection(("127.0.0.1", running.port)) as caller:
            caller.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
            assert caller.recv(100).startswith(b"HTTP/1.1 400 ")
        running.write(CONFIG + "\n    state: memory\n" + "    telemetry: {logs: {level: warning}}\n")
        running.wait_for_line("generation 2 serves")
        running.write("version: 2")
        running.wait_for_line("reload refused")
        running.ask("/api/reload", json={})
        running.ask("/api/cache/purge", content=b"x=1", json={})
        assert running.ask("/metrics").status_code == 200
        assert running.metric("gateway_audit_entries_total", kind="call") == 5
        assert running.metric("gateway_audit_dropped_total") == 0
        folder = running.folder
        running.stop()

        told = entries(folder)
        whole(folder)
        assert not any(
            "hunter2" in json.dumps(entry) or "platform-key" in json.dumps(entry) for entry in told
        )
        calls = [
            (
                entry["event"],
                entry.get("route"),
                entry.get("consumer"),
                entry.get("code"),
                entry.get("status"),
            )
            for entry in told
            if entry["kind"] == "call"
        ]
        assert calls == [
            ("refused", "games", None, "UNAUTHENTICATED", 401),
            ("sent", "wallet", "aurora", None, None),
            ("failed", "wallet", "aurora", "UPSTREAM_UNREACHABLE", 502),
            ("refused", None, None, "ROUTE_NOT_FOUND", 404),
            ("rejected", None, None, "BAD_REQUEST", 400),
        ]
        others = [(entry["kind"], entry["event"]) for entry in told if entry["kind"] != "call"]
        assert others[0] == ("gateway", "started")
        assert others[-1] == ("gateway", "stopped")
        assert ("configuration", "changed") in others
        assert ("configuration", "refused") in others
        assert ("admin", "asked") in others
        (changed,) = [entry for entry in told if entry["event"] == "changed"]
        assert changed["changes"] == ["telemetry: logs.level changes from info to warning"]
        assert (changed["generation"], changed["cause"]) == (2, "a file changed")
        write_config(folder, CONFIG, {})


class Refused(threading.Thread):
    """Callers who are refused, one after the other on one connection, and remember what they were told."""

    def __init__(self, port: int, name: str) -> None:
        super().__init__()
        self.port = port
        self.prefix = name
        self.told: list[str] = []
        self.stop = threading.Event()

    def run(self) -> None:
        number = 0
        while not self.stop.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self.port), 5) as caller:
                    received = caller.makefile("rb")
                    while not self.stop.is_set():
                        number += 1
                        path = f"/games/{self.prefix}-{number}"
                        caller.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                        if not _answered(received):
                            break
                        self.told.append(path)
            except OSError:
                time.sleep(0.01)


def _answered(received: Any) -> bool:
    """A whole 401 came."""
    line = received.readline()
    length = 0
    while (field := received.readline()) not in (b"\r\n", b""):
        name, _, value = field.partition(b":")
        length = int(value) if name.lower() == b"content-length" else length
    return line.startswith(b"HTTP/1.1 401 ") and len(received.read(length)) == length > 0


@pytest.fixture
def callers() -> Iterator[list[Refused]]:
    running: list[Refused] = []
    yield running
    for caller in running:
        caller.stop.set()
    for caller in running:
        caller.join()


def missing(folder: Path, callers: list[Refused]) -> set[str]:
    """What callers were told that the log does not know."""
    known = {entry.get("path") for entry in entries(folder)}
    return {path for caller in callers for path in caller.told} - known


def test_a_worker_killed_at_any_time_loses_no_refusal(callers: list[Refused]) -> None:
    """kill -9, again and again, under callers that never stop."""
    dice = random.Random(7)
    with gateway(CONFIG, workers=2) as running:
        callers += [Refused(running.port, f"w{number}") for number in range(8)]
        for caller in callers:
            caller.start()
        for _ in range(4):
            before = sum(len(caller.told) for caller in callers)
            eventually(lambda before=before: sum(len(caller.told) for caller in callers) > before + 50)
            time.sleep(dice.uniform(0, 0.05))
            os.kill(dice.choice(running.worker_pids()), signal.SIGKILL)
            eventually(lambda: running.ask("/readyz").status_code == 200, seconds=20)
        for caller in callers:
            caller.stop.set()
        for caller in callers:
            caller.join()
        folder = running.folder
        assert missing(folder, callers) == set()
        whole(folder)
        died = [entry for entry in entries(folder) if entry["event"] == "worker died"]
        assert len(died) == 4


def test_a_gateway_killed_at_any_time_loses_no_refusal_and_goes_on(
    tmp_path: Path, callers: list[Refused]
) -> None:
    """The supervisor writes the log: kill -9 takes it in mid-write; the next one goes on with the chain."""
    dice = random.Random(8)
    write_config(tmp_path, CONFIG, {})
    for round_ in range(3):
        running = Gateway(tmp_path, workers=1, environ={}, options=())
        running.wait_until_up()
        asking = [Refused(running.port, f"r{round_}c{number}") for number in range(8)]
        callers += asking
        for caller in asking:
            caller.start()
        eventually(lambda asking=asking: sum(len(caller.told) for caller in asking) > 100)
        time.sleep(dice.uniform(0, 0.05))
        children = [*running.worker_pids(), running.observer_pid()]
        running.process.kill()
        running.process.wait()
        for caller in asking:
            caller.stop.set()
        for caller in asking:
            caller.join()
        for pid in children:
            eventually(lambda pid=pid: not is_alive(pid), seconds=20)
        running._listener.join(10)
        whole_but_torn(tmp_path)
    with_last = Gateway(tmp_path, workers=1, environ={}, options=())
    with_last.wait_until_up()
    assert with_last.stop() == 0
    assert missing(tmp_path, callers) == set()
    whole(tmp_path)


def whole_but_torn(folder: Path) -> None:
    """A killed writer may leave half a line, of which nobody was told; nothing else may be wrong."""
    report = verify(folder / "var/audit", [KEY.encode()], read_heads(folder / "heads"))
    assert all("torn" in problem.what for problem in report.problems)


def test_a_full_disk_refuses_calls_and_is_gone_on_with() -> None:
    """No file may grow: callers are told BUSY; when they may again, nothing that was told is missing."""
    with gateway(CONFIG) as running:
        assert ask(running, "/games/first").status_code == 401
        (log,) = segments(running.folder / "var/audit")
        _, hard = resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (log.stat().st_size + 2_000, hard))
        told = ["/games/first"]
        with httpx.Client(trust_env=False, timeout=20) as client:
            for number in range(100):
                answer = client.get(f"{running.url}/games/{number}")
                if answer.status_code == 503:
                    break
                assert answer.status_code == 401
                told.append(f"/games/{number}")
            assert 3 < len(told) < 20
            assert answer.json()["detail"] == "the audit log cannot be written just now"
            assert client.get(f"{running.url}/games/busy").status_code == 503
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (0, hard))
        assert running.ask("/api/reload", json={}).status_code == 503
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        eventually(lambda: ask(running, "/games/again").status_code == 401, seconds=20)
        folder = running.folder
        running.stop()
        written = entries(folder)
        assert set(told) <= {entry.get("path") for entry in written}
        assert any(entry["event"] == "missed" for entry in written)
        whole(folder)
