"""The admin port: who may ask, how state may change, and what is told."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from gateway.admin import Admin, not_purgeable
from gateway.auditing import AuditError
from gateway.channel import ChannelClosed
from gateway.config import load
from gateway.config.server import AdminConfig
from gateway.metrics import Metrics

JSON = {"content-type": "application/json"}
CACHES = """
version: 1
upstreams: {it: {targets: [{url: "http://127.0.0.1:9"}]}}
routes:
  - {name: games, match: {methods: [GET], path: /games}, upstream: it, policies: [{cache: {tags: [tables]}}]}
  - {name: lobby, match: {methods: [GET], path: /lobby}, upstream: it, policies: [{cache: {}}]}
  - {name: wallet, match: {methods: [POST], path: /wallet}, upstream: it}
  - {name: "off", match: {methods: [GET], path: /off}, upstream: it, policies: [{cache: {mode: "off"}}]}
"""


class Worker:
    """The supervisor's end of a worker that answers, or does not."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.process = SimpleNamespace(pid=7)
        self.channel = self

    async def request(self, op: str, payload: Any = None, *, timeout: float = 0) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return {"pid": 7, "asked": op}


class Observer:
    pid = 9

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.answer: Any = [{"id": "ab"}]

    async def ask(self, op: str, **payload: Any) -> Any:
        self.asked.append((op, payload))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Auditing:
    """The audit log, as far as the admin port writes it."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, dict[str, Any]]] = []
        self.error: AuditError | None = None

    async def note(self, kind: str, event: str, **more: Any) -> None:
        assert kind == "admin"
        if self.error is not None:
            raise self.error
        self.noted.append((event, more))

    happened = note


class Supervisor:
    """What the admin port needs of one."""

    def __init__(self) -> None:
        self.ready, self.draining, self.generation = True, False, 4
        self.path, self.started_unix, self.last_reload_error = "routes.yaml", 0.0, ""
        self.config = SimpleNamespace(fingerprint="f", server=SimpleNamespace(admin=AdminConfig()))
        self.metrics = Metrics()
        self.workers = {0: Worker(None)}
        self.observer = Observer()
        self.reloads = 0
        self.told: list[Any] = []
        self.auditing = Auditing()
        self.forgotten = 2
        """What each worker forgets at a purge."""

    async def samples(self) -> list[Any]:
        metrics = Metrics()
        metrics.counter("gateway_things_total", "Things.").add()
        return metrics.snapshot()

    async def reload(self, cause: str) -> list[str]:
        assert cause == "admin port"
        self.reloads += 1
        return ["route games: added"]

    async def tell(self, op: str, payload: Any) -> list[Any]:
        self.told.append((op, payload))
        return [self.forgotten, self.forgotten, ChannelClosed()]


@pytest.fixture
def supervisor() -> Supervisor:
    return Supervisor()


def client(supervisor: Supervisor, token: str = "", host: str = "127.0.0.1:8081") -> httpx.AsyncClient:
    if token:
        supervisor.config.server.admin = AdminConfig.model_validate({"token": token})
    app = Admin(supervisor, exposed=bool(token), wrong_token_seconds=0).app()  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"http://{host}")


async def test_health_and_readiness_need_no_proof(supervisor: Supervisor) -> None:
    async with client(supervisor, "secret", "gateway.example") as asking:
        assert (await asking.get("/healthz")).text == "ok\n"
        assert (await asking.get("/readyz")).text == "ready\n"
        supervisor.ready = False
        starting = await asking.get("/readyz")
        supervisor.draining = True
        draining = await asking.get("/readyz")
    assert [(a.status_code, a.text) for a in (starting, draining)] == [
        (503, "starting\n"), (503, "draining\n")
    ]  # fmt: skip


async def test_with_a_token_everything_else_needs_it(supervisor: Supervisor) -> None:
    async with client(supervisor, "secret", "gateway.example") as asking:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "secret"}):
            for path in ("/metrics", "/api/status", "/api/traces", "/api/traces/ab"):
                answer = await asking.get(path, headers=headers)
                assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert (await asking.post("/api/reload", json={}, headers=headers)).status_code == 401
        assert supervisor.reloads == 0
        assert (await asking.get("/metrics", headers={"authorization": "Bearer secret"})).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8081", "localhost.evil.example", "127.0.0.1.evil"]
)
async def test_without_a_token_foreign_hosts_are_refused(supervisor: Supervisor, host: str) -> None:
    async with client(supervisor, host=host) as asking:
        assert (await asking.get("/api/status")).status_code == 403
        assert (await asking.post("/api/reload", json={})).status_code == 403
        assert supervisor.reloads == 0


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8081", "127.0.0.1:1", "[::1]:8081", "[::1]"])
async def test_without_a_token_local_names_are_heard(supervisor: Supervisor, host: str) -> None:
    async with client(supervisor) as asking:
        assert (await asking.get("/api/status", headers={"host": host})).status_code == 200


async def test_no_get_changes_anything_and_posts_must_say_json(supervisor: Supervisor) -> None:
    async with client(supervisor) as asking:
        for path in ("/api/reload", "/api/cache/purge"):
            for method in ("GET", "HEAD", "PUT", "DELETE"):
                assert (await asking.request(method, path, headers=JSON)).status_code == 405
            for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
                answer = await asking.post(
                    path, content=b"{}", headers={"content-type": kind} if kind else {}
                )
                assert answer.status_code == 415
        for path in ("/metrics", "/api/status", "/api/traces", "/healthz", "/readyz"):
            assert (await asking.post(path, json={})).status_code == 405
    assert (supervisor.reloads, supervisor.told) == (0, [])


async def test_pages_are_nobodys_to_keep_or_frame(supervisor: Supervisor) -> None:
    async with client(supervisor) as asking:
        for path in ("/healthz", "/metrics", "/api/status", "/nothing", "/api/reload"):
            headers = (await asking.get(path)).headers
            assert headers["cache-control"] == "no-store"
            assert headers["x-content-type-options"] == "nosniff"
            assert "frame-ancestors 'none'" in headers["content-security-policy"]


async def test_what_there_is_not_is_told_only_to_those_who_may_ask(supervisor: Supervisor) -> None:
    async with client(supervisor, "secret", "gateway.example") as asking:
        for method, path in (("GET", "/nothing"), ("PUT", "/api/reload"), ("GET", "/api/status/")):
            assert (await asking.request(method, path)).status_code == 401
            found = await asking.request(method, path, headers={"authorization": "Bearer secret"})
            assert found.status_code == (405 if method == "PUT" else 404)
            assert found.headers["content-type"] == "application/problem+json"
        assert found.json()["detail"] == "Not Found"
        put = await asking.put("/api/reload", headers={"authorization": "Bearer secret"})
        assert put.headers["allow"] == "POST"


async def test_a_head_is_answered_like_a_get(supervisor: Supervisor) -> None:
    async with client(supervisor) as asking:
        for path in ("/healthz", "/readyz", "/metrics", "/api/status", "/api/traces"):
            assert (await asking.head(path)).status_code == 200


async def test_a_page_of_another_origin_changes_nothing(supervisor: Supervisor) -> None:
    async with client(supervisor) as asking:
        for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
            assert (await asking.post("/api/reload", json={}, headers=headers)).status_code == 403
    assert supervisor.reloads == 0


async def test_bodies_are_bounded(supervisor: Supervisor) -> None:
    async with client(supervisor) as asking:
        for path in ("/api/reload", "/api/cache/purge"):
            large = await asking.post(path, content=b" " * 65_537, headers=JSON)
            assert (large.status_code, "65536 bytes" in large.json()["detail"]) == (413, True)
        deep = await asking.post("/api/cache/purge", content=b"[" * 60_000, headers=JSON)
        assert deep.status_code == 400
    assert (supervisor.reloads, supervisor.told) == (0, [])


async def test_metrics_are_prometheus_text(supervisor: Supervisor) -> None:
    async with client(supervisor) as asking:
        answer = await asking.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "gateway_things_total 1" in answer.text


async def test_status_tells_of_workers_that_do_not_answer_too(supervisor: Supervisor) -> None:
    supervisor.workers[1] = Worker(ChannelClosed("status"))
    async with client(supervisor) as asking:
        status = (await asking.get("/api/status")).json()
    assert status["generation"] == 4
    assert status["observer"] == {"pid": 9}
    assert status["workers"] == [{"pid": 7, "asked": "status"}, {"pid": 7, "error": "status"}]


async def test_a_reload_tells_what_changed_or_what_is_wrong(supervisor: Supervisor) -> None:
    async with client(supervisor) as asking:
        good = await asking.post("/api/reload", json={})
        supervisor.last_reload_error = "routes.yaml:1:1: error"
        bad = await asking.post("/api/reload", json={})
    assert (good.status_code, good.json()["changes"]) == (200, ["route games: added"])
    assert (bad.status_code, bad.json()["error"]) == (422, "routes.yaml:1:1: error")


async def test_a_purge_adds_up_what_workers_forgot(supervisor: Supervisor) -> None:
    async with client(supervisor) as asking:
        assert (await asking.post("/api/cache/purge", json={"route": "games"})).json() == {"purged": 4}
        for body in (
            b"{}",
            b"[]",
            b"{",
            b'{"route": "a", "tag": "b"}',
            b'{"all": true}',
            b'{"route": 5}',
            b"\xff",
        ):
            answer = await asking.post("/api/cache/purge", content=body, headers=JSON)
            assert answer.status_code == 400, body
    assert supervisor.told == [("purge", {"route": "games"})]


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ({"route": "games"}, ""),
        ({"route": "gmaes"}, "no route with a cache is called 'gmaes'; did you mean 'games'?"),
        ({"route": "zzz"}, "no route with a cache is called 'zzz'; there are games, lobby"),
        ({"route": "wallet"}, "route 'wallet' has no cache"),
        ({"route": "off"}, "route 'off' has no cache"),
        ({"tag": "tables"}, ""),
        ({"tag": "table"}, "no cache bears the tag 'table'; did you mean 'tables'?"),
        ({"tag": "games"}, "no cache bears the tag 'games'; there is tables"),
        ({"tag": ""}, "no cache bears the tag ''; there is tables"),
    ],
)
async def test_a_purge_of_what_there_is_not_is_an_error(
    supervisor: Supervisor, what: dict[str, str], told: str, tmp_path: Path
) -> None:
    (tmp_path / "routes.yaml").write_text(CACHES)
    config = load(tmp_path / "routes.yaml", {})
    assert not_purgeable(config, **what) == told
    supervisor.config = config  # type: ignore[assignment]
    supervisor.forgotten = 0
    async with client(supervisor) as asking:
        answer = await asking.post("/api/cache/purge", json=what)
        assert answer.status_code == (404 if told else 200)
        assert answer.json() == ({"purged": 0, "error": told} if told else {"purged": 0})
        supervisor.forgotten = 1  # of a configuration before this one
        assert (await asking.post("/api/cache/purge", json=what)).json() == {"purged": 2}


async def test_traces_are_the_observers_to_tell(supervisor: Supervisor) -> None:
    observer = supervisor.observer
    async with client(supervisor) as asking:
        assert (await asking.get("/api/traces?errors=1&route=games&limit=5")).json() == [{"id": "ab"}]
        await asking.get("/api/traces?slow=1&limit=x")
        observer.answer = None
        assert (await asking.get("/api/traces/ab")).status_code == 404
        observer.answer = {"error": "ambiguous"}
        assert (await asking.get("/api/traces/a")).status_code == 404
        observer.answer = []
        assert (await asking.get(f"/api/traces?limit={'9' * 5000}")).status_code == 200
        observer.answer = ConnectionRefusedError()
        away = await asking.get("/api/traces")
    assert (away.status_code, "calls are not affected" in away.json()["detail"]) == (503, True)
    assert observer.asked[:3] == [
        ("traces", {"errors": True, "slow": False, "route": "games", "limit": 5}),
        ("traces", {"errors": False, "slow": True, "route": None, "limit": 20}),
        ("trace", {"id": "ab"}),
    ]


async def test_what_changes_something_is_recorded_first(supervisor: Supervisor) -> None:
    async with client(supervisor) as asking:
        await asking.post("/api/cache/purge", json={"tag": "tables"})
        await asking.get("/api/status")
        assert supervisor.auditing.noted == [
            ("asked", {"client": "127.0.0.1", "method": "POST", "path": "/api/cache/purge",
                       "tag": "tables"})
        ]  # fmt: skip
        supervisor.auditing.error = AuditError("the disk is full")
        answer = await asking.post("/api/reload", json={})
    assert (answer.status_code, answer.json()["detail"]) == (503, "the disk is full")
    assert supervisor.reloads == 0


async def test_who_is_refused_is_recorded(supervisor: Supervisor) -> None:
    async with client(supervisor, token="right") as asking:
        await asking.get("/api/status", headers={"authorization": "Bearer wrong"})
    ((event, told),) = supervisor.auditing.noted
    assert (event, told["status"], told["path"]) == ("refused", 401, "/api/status")
    assert "wrong" not in str(told)
