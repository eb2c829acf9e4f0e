"""The supervisor in the test's own process, over real children: all of them swap, or none does."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.channel import ChannelClosed, RemoteError
from gateway.config import load
from gateway.supervisor import Supervisor

CONFIG = """\
version: 1
upstreams:
  nobody: {targets: [{url: "http://127.0.0.1:9"}]}
routes:
  - {name: all, match: {methods: [GET], path: "/*"}, upstream: nobody}
server: {drain: {delay: 0s, grace: 1s}}
"""

FAILED = ("all", "nobody", "GET", "5xx", "UPSTREAM_UNREACHABLE")
"""The labels of a call to nobody."""


def make(folder: Path, workers: int = 1) -> Supervisor:
    path = folder / "routes.yaml"
    path.write_text(CONFIG)
    return Supervisor(path, load(path, {}), {}, workers=workers)


@pytest.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[Supervisor]:
    supervisor = make(tmp_path, 2)
    supervisor.listen("127.0.0.1", 0)
    await supervisor.start()
    yield supervisor
    if not supervisor.draining:
        await supervisor.stop()
    await supervisor.stopped.wait()


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)


async def number(supervisor: Supervisor, name: str, *labels: str) -> float:
    for sample in await supervisor.samples():
        if sample[0] == name:
            return float(dict(sample[4]).get(labels, 0))  # type: ignore[arg-type]
    return 0


def change(supervisor: Supervisor, name: str) -> None:
    supervisor.path.write_text(CONFIG.replace("name: all", f"name: {name}"))


async def generations(supervisor: Supervisor) -> list[int]:
    return [status["generation"] for status in await supervisor.tell("status", None)]


async def call(supervisor: Supervisor) -> int:
    port = supervisor.listeners[0].getsockname()[1]
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(f"http://127.0.0.1:{port}/games")).status_code


async def test_all_swap_together_and_bad_files_change_nothing(supervisor: Supervisor) -> None:
    assert supervisor.ready
    change(supervisor, "other")
    assert any("other" in sentence for sentence in await supervisor.reload())
    assert await generations(supervisor) == [2, 2]
    supervisor.path.write_text("version: [")
    assert await supervisor.reload() == []
    assert "routes.yaml:1" in supervisor.last_reload_error
    assert (supervisor.generation, await generations(supervisor)) == (2, [2, 2])
    change(supervisor, "other")
    assert await supervisor.reload() == []
    assert supervisor.last_reload_error == ""
    assert await number(supervisor, "gateway_config_reloads_total", "ok") == 1
    assert await number(supervisor, "gateway_config_reloads_total", "bad_file") >= 1
    assert await number(supervisor, "gateway_config_reloads_total", "unchanged") >= 1
    assert await number(supervisor, "gateway_config_generation") == 2
    assert await number(supervisor, "gateway_workers") == 2


async def test_where_one_worker_cannot_build_it_none_swaps(supervisor: Supervisor) -> None:
    channel = supervisor.workers[1].channel
    request, told = channel.request, []

    async def refuse(op: str, payload: Any = None, **more: Any) -> Any:
        told.append(op)
        if op == "prepare":
            raise RemoteError("ValueError: no certificate")
        return await request(op, payload, **more)

    channel.request = refuse  # type: ignore[method-assign]
    change(supervisor, "other")
    assert await supervisor.reload() == []
    assert "a worker cannot build it: ValueError: no certificate" in supervisor.last_reload_error
    assert told[:2] == ["prepare", "abort"]
    assert await generations(supervisor) == [1, 1]
    channel.request = request  # type: ignore[method-assign]
    await supervisor.reload()
    assert await generations(supervisor) == [2, 2]


async def test_a_worker_that_cannot_swap_is_replaced_by_one_that_can(supervisor: Supervisor) -> None:
    wrong = supervisor.workers[0]
    request = wrong.channel.request

    async def refuse(op: str, payload: Any = None, **more: Any) -> Any:
        if op == "commit":
            raise RemoteError("MemoryError")
        return await request(op, payload, **more)

    wrong.channel.request = refuse  # type: ignore[method-assign]
    change(supervisor, "other")
    assert await supervisor.reload() != []
    assert not supervisor.ready, "it never shows the old generation again"
    await until(lambda: supervisor.workers[0] is not wrong and supervisor.ready)
    assert await generations(supervisor) == [2, 2]


async def test_the_dead_are_replaced_from_the_reserve_and_their_counts_kept(supervisor: Supervisor) -> None:
    for _ in range(6):
        assert await call(supervisor) == 502
    await until(lambda: supervisor.spare is not None)
    spare = supervisor.spare
    before = await number(supervisor, "gateway_requests_total", *FAILED)
    assert before == 6
    victim = supervisor.workers[1]
    victim.process.kill()
    await until(lambda: supervisor.workers[1] is spare and supervisor.ready)
    assert spare is not None
    assert spare.number == 1
    await until(lambda: supervisor.spare is not None)
    after = await number(supervisor, "gateway_requests_total", *FAILED)
    assert after == 6
    assert await number(supervisor, "gateway_restarts_total", "worker") == 1


async def test_a_reserve_that_died_is_passed_over(supervisor: Supervisor) -> None:
    await until(lambda: supervisor.spare is not None)
    spare = supervisor.spare
    assert spare is not None
    spare.process.kill()
    await spare.process.wait()
    victim = supervisor.workers[0]
    victim.process.kill()
    await until(lambda: supervisor.workers[0] is not victim and supervisor.ready)
    assert supervisor.workers[0] is not spare
    await spare.channel.close()


async def test_the_observer_is_started_again(supervisor: Supervisor) -> None:
    assert supervisor.observer is not None
    pid = supervisor.observer.pid
    os.kill(pid, signal.SIGKILL)
    await until(lambda: supervisor.observer is not None and supervisor.observer.pid != pid)
    await supervisor.observer.listening()
    assert await number(supervisor, "gateway_restarts_total", "observer") == 1
    assert supervisor.ready


async def test_a_refused_reload_tells_its_errors_first(
    supervisor: Supervisor, caplog: pytest.LogCaptureFixture
) -> None:
    supervisor.path.write_text(CONFIG + "routes2: []\n")
    await supervisor.reload()
    told = [r.getMessage().splitlines() for r in caplog.records if "refused" in r.getMessage()][-1]
    assert told[0] == "reload refused, generation 1 serves on:"
    assert told[1].endswith("routes.yaml:7:1: error: unknown key 'routes2'; did you mean 'routes'?")
    assert told[2:] == ["and 1 warning, which `gateway check` tells"]


async def test_told_to_stop_twice_it_cuts_what_is_left(tmp_path: Path) -> None:
    supervisor = make(tmp_path)
    supervisor.listen("127.0.0.1", 0)
    await supervisor.start()
    worker = supervisor.workers[0]
    os.kill(worker.process.pid, signal.SIGSTOP)  # it will not drain
    started = time.monotonic()
    os.kill(os.getpid(), signal.SIGTERM)
    await until(lambda: supervisor.draining)
    assert not supervisor.ready
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(supervisor.stopped.wait(), 20)
    assert time.monotonic() - started < 10
    assert worker.process.returncode == -signal.SIGKILL
    with pytest.raises(ChannelClosed):
        await worker.channel.request("status")


async def test_a_hangup_reloads(supervisor: Supervisor) -> None:
    os.kill(os.getpid(), signal.SIGHUP)
    await until(lambda: supervisor._reloads.values)
    assert await number(supervisor, "gateway_config_reloads_total", "unchanged") == 1


async def test_workers_that_die_at_once_are_both_replaced(supervisor: Supervisor) -> None:
    await until(lambda: supervisor.spare is not None)
    victims = set(supervisor.workers.values())
    for victim in victims:
        victim.process.kill()
    await until(lambda: supervisor.ready and not victims & set(supervisor.workers.values()))
    assert await generations(supervisor) == [1, 1]
    assert await number(supervisor, "gateway_restarts_total", "worker") == 2


async def test_a_worker_that_cannot_start_is_tried_again(
    supervisor: Supervisor, caplog: pytest.LogCaptureFixture
) -> None:
    await until(lambda: supervisor.spare is not None)
    spare, supervisor.spare = supervisor.spare, None
    assert spare is not None
    await spare.kill()
    spawn = supervisor._spawn
    failed: list[int] = []

    async def fail_twice() -> Any:
        if len(failed) < 2:
            failed.append(1)
            raise OSError("no more processes")
        return await spawn()

    supervisor._spawn = fail_twice  # type: ignore[method-assign]
    victim = supervisor.workers[0]
    victim.process.kill()
    await until(lambda: supervisor.workers[0] is not victim and supervisor.ready)
    assert caplog.text.count("worker 0 cannot start: no more processes") == 2


async def test_a_mistake_of_our_own_while_reading_leaves_the_last_good_one(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RecursionError("too deep")

    with monkeypatch.context() as patched:
        patched.setattr("gateway.supervisor.load", fail)
        assert await supervisor.reload() == []
    assert "RecursionError" in supervisor.last_reload_error
    assert await generations(supervisor) == [1, 1]
    change(supervisor, "other")
    await supervisor.reload()
    assert await generations(supervisor) == [2, 2]


async def test_changed_telemetry_gets_another_observer(supervisor: Supervisor) -> None:
    assert supervisor.observer is not None
    pid = supervisor.observer.pid
    supervisor.path.write_text(CONFIG + "telemetry: {traces: {sample: 50%}}\n")
    await supervisor.reload()
    assert supervisor.last_reload_error == ""
    await until(lambda: supervisor.observer is not None and supervisor.observer.pid != pid)
    assert await number(supervisor, "gateway_restarts_total", "observer") == 0


async def test_one_signal_told_twice_at_once_drains_once(
    supervisor: Supervisor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    supervisor._on_stop()
    supervisor._on_stop()
    await supervisor.stopped.wait()
    told = [record.message for record in caplog.records if record.message.startswith(("draining", "told"))]
    assert told == ["draining: 0s until the listeners close, then 1s for calls under way"]


async def test_an_exposed_admin_port_keeps_its_token(supervisor: Supervisor) -> None:
    supervisor.exposed = True
    change(supervisor, "other")
    assert await supervisor.reload() == []
    assert "server.admin.token is gone" in supervisor.last_reload_error
    assert await generations(supervisor) == [1, 1]
    supervisor.path.write_text(CONFIG.replace("{drain:", "{admin: {token: s3cret}, drain:"))
    assert await supervisor.reload() == ["server: admin.token is added"]
    assert supervisor.config.server.admin.tokens == ("s3cret",)
