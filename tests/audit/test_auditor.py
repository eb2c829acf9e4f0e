"""In a worker: an answer waits for its entry, a full queue refuses calls, and what is missed is told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.audit import auditor as module
from gateway.audit.auditor import Auditor
from gateway.audit.chain import Entry
from gateway.audit.settings import AuditConfig
from gateway.errors import Refused, Sent, UpstreamError
from gateway.exchange import Exchange, Outcome, Response
from gateway.metrics import Metrics
from tests.support import make_exchange


class Disk:
    """Takes entries when the test lets it."""

    def __init__(self) -> None:
        self.written: list[Entry] = []
        self.turns = asyncio.Event()
        self.turns.set()
        self.error: Exception | None = None

    async def send(self, entries: Sequence[Entry]) -> None:
        await self.turns.wait()
        if self.error is not None:
            raise self.error
        self.written += entries

    def told(self) -> list[tuple[Any, ...]]:
        return [(entry["event"], entry.get("code"), entry.get("status")) for entry in self.written]


@pytest.fixture
def disk() -> Disk:
    return Disk()


def auditor(disk: Disk, **more: Any) -> Auditor:
    return Auditor(AuditConfig.model_validate({"key": "k" * 32, **more}), disk.send, Metrics(), worker=3)


def call(*, audited: bool = False, **more: Any) -> Exchange:
    exchange = make_exchange(**more)
    exchange.trace_id = "ab" * 16
    exchange.route = SimpleNamespace(
        name="wallet", path="/games/:email", audited=audited, entry=SimpleNamespace(secrets=("pin",))
    )
    exchange.generation = SimpleNamespace(number=2)
    return exchange


async def answered(exchange: Exchange) -> Response:
    exchange.decide("rate_limit", "would_refuse", "RATE_LIMITED")
    return Response(200, [], b"it")


async def refused(_exchange: Exchange) -> Response:
    raise Refused("IP_NOT_ALLOWED")


async def test_a_refusal_is_raised_once_it_is_on_the_disk(disk: Disk) -> None:
    disk.turns.clear()
    asking = asyncio.ensure_future(auditor(disk).watch(call(query="pin=1234&game=7"), refused))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not asking.done()
    disk.turns.set()
    with pytest.raises(Refused, match="IP_NOT_ALLOWED"):
        await asking
    (entry,) = disk.written
    assert entry.pop("time").endswith("Z")  # type: ignore[attr-defined]
    assert entry == {
        "kind": "call", "event": "refused", "generation": 2, "worker": 3, "trace_id": "ab" * 16,
        "client": "127.0.0.1", "method": "GET", "path": "/games?pin=REDACTED&game=7", "route": "wallet",
        "status": 403, "code": "IP_NOT_ALLOWED",
    }  # fmt: skip


async def test_ordinary_answers_are_not_recorded_unless_all_are(disk: Disk) -> None:
    assert (await auditor(disk).watch(call(), answered)).status == 200
    assert disk.written == []
    disk.turns.clear()
    recording = auditor(disk, calls="all")
    assert (await recording.watch(call(), answered)).status == 200  # and waits for no disk
    disk.turns.set()
    await recording.close()
    assert disk.told() == [("answered", None, 200)]
    assert disk.written[0]["decisions"] == ["rate_limit: would_refuse: RATE_LIMITED"]


async def test_an_answer_of_a_wallet_route_waits(disk: Disk) -> None:
    disk.turns.clear()
    asking = asyncio.ensure_future(auditor(disk).watch(call(audited=True), answered))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not asking.done()
    disk.turns.set()
    assert (await asking).status == 200
    assert disk.told() == [("answered", None, 200)]


async def test_failures_and_callers_who_leave_are_recorded_of_wallet_routes(disk: Disk) -> None:
    async def failed(_exchange: Exchange) -> Response:
        raise UpstreamError("UPSTREAM_TIMEOUT", "it took too long", sent=Sent.UNKNOWN)

    async def never(_exchange: Exchange) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    recording = auditor(disk)
    for audited in (True, False):
        with pytest.raises(UpstreamError):
            await recording.watch(call(audited=audited), failed)
    leaving = asyncio.ensure_future(recording.watch(call(audited=True), never))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    await recording.close()
    assert disk.told() == [("failed", "UPSTREAM_TIMEOUT", 504), ("left", None, None)]


async def test_what_came_to_no_route_is_recorded(disk: Disk) -> None:
    recording = auditor(disk)
    recording.generation = 7
    exchange = make_exchange()
    await recording.refuse(exchange, "BODY_TOO_LARGE")
    kept = recording.reject(exchange, "BAD_REQUEST")
    assert kept is not None
    await kept
    assert disk.told() == [("refused", "BODY_TOO_LARGE", 413), ("rejected", "BAD_REQUEST", 400)]
    assert disk.written[0]["generation"] == 7


async def test_a_full_queue_refuses_calls_before_they_are_forwarded(disk: Disk) -> None:
    disk.turns.clear()
    recording = auditor(disk, queue=2)
    waiting = [asyncio.ensure_future(recording.watch(call(), refused)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Refused) as refusal:
        await recording.watch(call(), answered)
    assert refusal.value.code == "BUSY"
    never = recording.reject(call(), "BAD_REQUEST")
    assert never is not None
    assert not never.done(), "whom it cannot record it does not answer"
    disk.turns.set()
    await asyncio.wait(waiting)
    await recording.close()
    assert disk.told() == [("refused", "IP_NOT_ALLOWED", 403)] * 2 + [("missed", None, None)]
    assert disk.written[-1]["entries"] == 2
    assert (await recording.watch(call(), answered)).status == 200
    assert "0 entries waiting" in repr(recording)


async def test_where_told_to_drop_calls_pass_and_the_log_tells_what_it_misses(disk: Disk) -> None:
    disk.turns.clear()
    recording = auditor(disk, queue=1, on_full="drop")
    first = asyncio.ensure_future(recording.watch(call(), refused))
    await asyncio.sleep(0)
    with pytest.raises(Refused, match="IP_NOT_ALLOWED"):
        await recording.watch(call(), refused)
    disk.turns.set()
    await asyncio.wait([first])
    await recording.close()
    assert [entry["event"] for entry in disk.written] == ["refused", "missed"]


async def test_a_disk_that_fails_is_tried_again_and_nothing_is_lost(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSES_SECONDS", (0.0, 0.0))
    recording = auditor(disk)
    disk.error = OSError(28, "No space left on device")
    asking = asyncio.ensure_future(recording.watch(call(), refused))
    while "stuck" not in repr(recording):
        await asyncio.sleep(0)
    with pytest.raises(Refused) as refusal:
        await recording.watch(call(), answered)
    assert refusal.value.code == "BUSY"
    disk.error = None
    with pytest.raises(Refused, match="IP_NOT_ALLOWED"):
        await asking
    await recording.close()
    assert disk.told()[0] == ("refused", "IP_NOT_ALLOWED", 403)


@pytest.mark.parametrize("on_full", ["refuse", "drop"])
async def test_what_a_wallet_answered_is_told_in_any_case(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, on_full: str
) -> None:
    """The bet stands: that the disk fails now is no reason to say that it does not."""
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.01)
    disk.turns.clear()
    recording = auditor(disk, on_full=on_full)
    assert (await recording.watch(call(audited=True), answered)).status == 200
    disk.turns.set()
    await recording.close()
    assert disk.told() == [("answered", None, 200)]


async def test_a_call_on_a_wallet_route_is_sent_only_once_that_is_recorded(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = auditor(disk)
    await recording.sent(call(audited=True))
    assert disk.told() == [("sent", None, None)]
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.01)
    disk.turns.clear()
    with pytest.raises(Refused, match="BUSY"):
        await recording.watch(call(audited=True), recording.sent)  # type: ignore[arg-type]
    disk.turns.set()
    await recording.close()
    assert disk.told()[1:] == [("sent", None, None), ("not sent", "BUSY", 503)], "and no refusal of its own"


async def test_who_leaves_while_an_answer_waits_gets_none(disk: Disk) -> None:
    disk.turns.clear()
    recording = auditor(disk)
    upstreams: list[Response] = []

    async def answer(exchange: Exchange) -> Response:
        upstreams.append(await answered(exchange))
        return upstreams[0]

    asking = asyncio.ensure_future(recording.watch(call(audited=True), answer))
    while not upstreams:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait([asking])
    assert upstreams[0].ended == Outcome.DISCARDED
    await recording.close(0.0)


async def test_with_all_calls_those_that_fail_are_recorded_too(disk: Disk) -> None:
    async def failed(_exchange: Exchange) -> Response:
        raise UpstreamError("UPSTREAM_TIMEOUT", "it took too long", sent=Sent.UNKNOWN)

    async def broken(_exchange: Exchange) -> Response:
        raise ZeroDivisionError

    recording = auditor(disk, calls="all")
    with pytest.raises(UpstreamError):
        await recording.watch(call(), failed)
    with pytest.raises(ZeroDivisionError):
        await recording.watch(call(audited=True), broken)
    await recording.close()
    assert disk.told() == [("failed", "UPSTREAM_TIMEOUT", 504), ("failed", "INTERNAL", 500)]


def test_what_a_caller_sent_is_bounded() -> None:
    exchange = make_exchange(path="/" + "x" * 10_000)
    recording = Auditor(AuditConfig.model_validate({"key": "k" * 32}), Disk.send, Metrics())  # type: ignore[arg-type]
    assert len(recording.call(exchange, "refused", "BAD_REQUEST")["path"]) == module.TEXT_LIMIT


def test_personal_data_is_masked() -> None:
    exchange = call(path="/games/jon")
    exchange.query = "playerName=jon&card=4111-1111-1111-1111"
    recording = Auditor(AuditConfig.model_validate({"key": "k" * 32}), Disk.send, Metrics())  # type: ignore[arg-type]
    told = recording.call(exchange, "refused", "BAD_REQUEST")["path"]
    assert told == "/games/MASKED?playerName=MASKED&card=MASKED"
