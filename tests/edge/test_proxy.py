"""Behind both entrances: the route is found, its chain runs, every error is answered, every end recorded."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from gateway.config import load
from gateway.edge.proxy import Proxy
from gateway.errors import Refused, Sent, UpstreamError
from gateway.exchange import Outcome, Response
from gateway.generation import Generation, World
from gateway.record import Batch, Record
from gateway.recorder import Recorder
from gateway.stores import Stores
from tests.support import NoControl, Upstream, make_exchange

CONFIG = """
version: 1
upstreams: {aurora: {targets: [{url: "http://127.0.0.1:9"}]}}
routes:
  - {name: games, match: {methods: [GET], path: "/games/:code"}, upstream: aurora, rewrite: "/v1/:code"}
  - {name: safe, match: {methods: [GET], path: /safe}, upstream: aurora, require_tls: true}
  - {name: lobby, match: {methods: [GET, POST], path: /lobby}, upstream: aurora, require_tls: redirect}
"""


class Behind:
    """A proxy over two routes, whose upstream a test scripts, and what was recorded."""

    def __init__(self, proxy: Proxy, batches: list[Batch]) -> None:
        self.proxy, self._batches = proxy, batches

    def answer_with(self, *answers: Any) -> Upstream:
        upstream = Upstream(*answers)
        for route in self.proxy.generation.router.routes:
            route.forward = upstream
        return upstream

    def records(self) -> list[Record]:
        self.proxy.recorder.flush()
        return [Record._make(record) for batch in self._batches for record in batch.records]


@pytest.fixture
def behind(tmp_path: Any) -> Behind:
    path = tmp_path / "routes.yaml"
    path.write_text(CONFIG)
    world = World(control=NoControl(), stores=Stores())
    batches: list[Batch] = []
    recorder = Recorder(world.metrics, sink=batches.append)
    return Behind(Proxy(Generation(1, load(path, {}), world), recorder), batches)


async def test_a_call_goes_where_its_route_says(behind: Behind) -> None:
    upstream = behind.answer_with()
    call = make_exchange(path="/games/a%20b", query="x=1")
    response = await behind.proxy.answer(call)
    assert response.status == 200
    assert (call.route.name, call.target, call.params) == ("games", "/v1/a%20b?x=1", {"code": "a%20b"})
    assert call.generation is behind.proxy.generation
    assert upstream.calls == 1


async def test_a_route_found_before_is_not_looked_for_again(behind: Behind) -> None:
    behind.answer_with()
    call = make_exchange(path="/games/1")
    behind.proxy.find(call)
    call.path = "/nowhere"  # as if the edge had waited for the body meanwhile
    assert (await behind.proxy.answer(call)).status == 200
    assert behind.proxy.generation.in_flight == 1


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "ROUTE_NOT_FOUND"),
        ("POST", "/games/1", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/safe", 403, "HTTPS_REQUIRED"),
        ("GET", "/lobby", 308, "HTTPS_REQUIRED"),
        ("HEAD", "/lobby", 308, "HTTPS_REQUIRED"),
        ("POST", "/lobby", 403, "HTTPS_REQUIRED"),
    ],
)
async def test_calls_that_no_route_takes(
    behind: Behind, method: str, path: str, status: int, code: str
) -> None:
    upstream = behind.answer_with()
    call = make_exchange(method, path, authority="games.example:8080", query="a=1")
    response = await behind.proxy.answer(call)
    assert (response.status, json.loads(response.body)["code"]) == (status, code)
    assert (response.header(b"allow") is not None) == (status == 405)
    assert response.header(b"location") == (b"https://games.example/lobby?a=1" if status == 308 else None)
    assert upstream.calls == behind.proxy.generation.in_flight == 0
    behind.proxy.done(call, response, Outcome.COMPLETE)
    (record,) = behind.records()
    assert (record.route, record.status, record.code) == (0, status, code)


async def test_https_is_enough_for_routes_that_require_it(behind: Behind) -> None:
    behind.answer_with()
    assert (await behind.proxy.answer(make_exchange(path="/safe", scheme="https"))).status == 200


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Refused("RATE_LIMITED"), 429),
        (UpstreamError("UPSTREAM_TIMEOUT", "late", sent=Sent.YES), 504),
        (ZeroDivisionError("hunter2"), 500),
    ],
)
async def test_every_error_is_answered(
    behind: Behind, error: Exception, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    behind.answer_with(error)
    response = await behind.proxy.answer(make_exchange(path="/games/1"))
    assert response.status == status
    assert response.header(b"content-type") == b"application/problem+json"
    assert isinstance(response.body, bytes)
    assert b"hunter2" not in response.body
    assert ("route games failed" in caplog.text) == (status == 500)


async def test_a_caller_that_leaves_is_no_error(behind: Behind) -> None:
    behind.answer_with(asyncio.CancelledError())
    call = make_exchange(path="/games/1")
    with pytest.raises(asyncio.CancelledError):
        await behind.proxy.answer(call)
    behind.proxy.done(call, None, Outcome.CANCELLED)
    (record,) = behind.records()
    assert (record.status, record.outcome) == (499, "cancelled")
    assert behind.proxy.generation.in_flight == behind.proxy.recorder.in_flight == 0


async def test_a_call_ends_under_the_generation_it_began_with(behind: Behind) -> None:
    behind.answer_with()
    proxy, old = behind.proxy, behind.proxy.generation
    call = make_exchange(path="/games/1")
    response = await proxy.answer(call)
    new = Generation(2, old.config, old.world)
    assert proxy.swap(new) is old
    assert (proxy.generation, proxy.limits) == (new, new.limits)
    assert (old.in_flight, new.in_flight) == (1, 0)
    response.sent_bytes = 2
    proxy.done(call, response, Outcome.COMPLETE)
    assert (old.in_flight, new.in_flight) == (0, 0)
    (record,) = behind.records()
    assert (record.status, record.response_bytes, record.outcome) == (200, 2, "complete")
    assert record.ended_ns == call.ended_ns > 0


def test_what_never_became_a_call_is_counted(behind: Behind) -> None:
    for _ in range(2):
        assert behind.proxy.rejected(make_exchange(), Refused("BAD_REQUEST")) is None
    assert behind.proxy.rejections.values == {("BAD_REQUEST",): 2}


async def test_an_answer_is_handed_on_as_it_is(behind: Behind) -> None:
    given = Response(204)
    behind.answer_with(given)
    assert await behind.proxy.answer(make_exchange(path="/games/1")) is given


class Audit:
    """An auditor that remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.busy = False

    async def watch(self, exchange: Any, forward: Any) -> Response:
        self.told.append("watch")
        return await forward(exchange)

    async def refuse(self, _exchange: Any, code: str) -> None:
        self.told.append(code)
        if self.busy:
            raise Refused("BUSY")

    def reject(self, _exchange: Any, code: str) -> None:
        self.told.append(code)


async def test_an_auditor_stands_around_all_of_it(behind: Behind) -> None:
    behind.answer_with(Response(204))
    audit = Audit()
    behind.proxy.audit = audit  # type: ignore[assignment]
    assert (await behind.proxy.answer(make_exchange(path="/games/1"))).status == 204
    assert (await behind.proxy.answer(make_exchange(path="/nowhere"))).status == 404
    assert (await behind.proxy.refused(make_exchange(), Refused("BODY_TOO_LARGE"))).status == 413
    audit.busy = True
    assert (await behind.proxy.refused(make_exchange(), Refused("BODY_TOO_LARGE"))).status == 503
    behind.proxy.rejected(make_exchange(), Refused("BAD_REQUEST"))
    assert audit.told == ["watch", "watch", "BODY_TOO_LARGE", "BODY_TOO_LARGE", "BAD_REQUEST"]


async def test_without_one_a_refusal_is_answered_at_once(behind: Behind) -> None:
    response = await behind.proxy.refused(make_exchange(), Refused("BODY_TOO_LARGE"))
    assert (response.status, response.code) == (413, "BODY_TOO_LARGE")
