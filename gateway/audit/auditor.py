"""In a worker: what a call waits for before its answer leaves.

A refusal is told to the caller, and a call on a wallet route leaves, only after its entry is on the disk:
what nobody was told and nobody was sent need not be in the log. Entries of calls that nothing waits for
(`calls: all`) are given up where the disk cannot follow; the log then tells how many it misses.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from time import time_ns

from gateway.audit.chain import Entry
from gateway.audit.settings import AuditConfig
from gateway.errors import CODES, Refused
from gateway.exchange import Exchange, Response
from gateway.metrics import Metrics
from gateway.observer.masking import Masking
from gateway.observer.printable import timestamp

log = logging.getLogger("gateway.audit")

BATCH = 500
"""Entries on their way to the disk at once."""
PATIENCE_SECONDS = 5.0
"""How long an answer is held back for its entry."""
PAUSES_SECONDS = (0.05, 1.0)
"""The first wait after a failed write, and the longest."""
TEXT_LIMIT = 2048
"""Characters kept of anything the caller chose the length of."""

Send = Callable[[Sequence[Entry]], Awaitable[None]]
Forward = Callable[[Exchange], Awaitable[Response]]


class UnrecordableError(Refused):
    """A refusal of the auditor's own: BUSY, since what would happen could not be recorded. Nor is this."""

    def __init__(self) -> None:
        super().__init__("BUSY", "the audit log cannot be written just now")


class Auditor:
    """One per worker. `send` returns when the entries it was given are on the disk, and raises where not."""

    def __init__(self, config: AuditConfig, send: Send, metrics: Metrics, *, worker: int = 0) -> None:
        self.config = config
        self.worker = worker
        self.generation = 0
        """Of the configuration that serves: what refuses calls before any route is known."""
        self.masking = Masking()
        """Keeps secrets and personal data out of what is recorded."""
        self.missed = 0
        """Entries given up that the log does not tell of yet."""
        self._send = send
        self._waiting: list[tuple[Entry, asyncio.Future[None] | None]] = []
        self._sending: asyncio.Task[None] | None = None
        self._stuck = False
        self._dropped = metrics.counter(
            "gateway_audit_dropped_total", "Audit entries given up because the disk could not follow."
        )
        self._dropped.add((), 0)
        metrics.gauge("gateway_audit_waiting", "Audit entries that wait for the disk.").watch(
            lambda: self.waiting
        )

    # What calls go through.

    async def watch(self, exchange: Exchange, forward: Forward) -> Response:
        """Forward a call, and hold its answer back until it is recorded, where it has to be."""
        self.admit()
        try:
            response = await forward(exchange)
        except UnrecordableError:
            raise
        except Refused as refusal:
            await self.keep(self.call(exchange, "refused", refusal.code))
            raise
        except Exception as error:
            await self._end(exchange, "failed", getattr(error, "code", "INTERNAL"))
            raise
        except asyncio.CancelledError:
            self._note(exchange, "left", "")
            raise
        try:
            await self._end(exchange, "answered", response.code, response.status)
        except asyncio.CancelledError:
            response.discard()
            raise
        return response

    async def sent(self, exchange: Exchange) -> None:
        """A call on a wallet route is about to leave. Refused with BUSY where that cannot be recorded."""
        try:
            await self.keep(self.call(exchange, "sent", ""))
        except UnrecordableError:
            self.offer(self.call(exchange, "not sent", "BUSY"))  # the other entry may be written yet
            raise

    async def _end(self, exchange: Exchange, event: str, code: str, status: int = 0) -> None:
        """Record how a call ended. What a wallet route answers waits for it a while, and is told in any case:
        it was recorded that the call was sent, and to hide what came of it would lose money.
        """
        kept = self._note(exchange, event, code, status)
        if kept is not None:
            await asyncio.wait([kept], timeout=PATIENCE_SECONDS)

    def _note(
        self, exchange: Exchange, event: str, code: str, status: int = 0
    ) -> asyncio.Future[None] | None:
        if exchange.route is not None and exchange.route.audited:
            return self.offer(self.call(exchange, event, code, status))
        if self.config.calls == "all":
            self.offer(self.call(exchange, event, code, status), waits=False)
        return None

    async def refuse(self, exchange: Exchange, code: str) -> None:
        """A call is refused before it came to its route. Refused with BUSY where the disk cannot follow."""
        self.admit()
        await self.keep(self.call(exchange, "refused", code))

    def reject(self, exchange: Exchange, code: str) -> asyncio.Future[None] | None:
        """What came is too broken to be a call. Its answer leaves when the future is done, or at once."""
        try:
            self.admit()
        except UnrecordableError:
            return asyncio.get_running_loop().create_future()  # never done: nobody is told
        return self.offer(self.call(exchange, "rejected", code))

    def admit(self) -> None:
        """Take a call on only where its entry will find room: what is under way bounds what waits."""
        if self._is_full() and self.config.on_full == "refuse":
            self._miss()
            raise UnrecordableError

    def _miss(self) -> None:
        self.missed += 1
        self._dropped.add()

    def call(self, exchange: Exchange, event: str, code: str, status: int = 0) -> Entry:
        """What is recorded of a call: who, what, from where, by which configuration, decided how."""
        route, consumer, generation = exchange.route, exchange.consumer, exchange.generation
        template, secrets = ("", ()) if route is None else (route.path, route.entry.secrets)
        status = status or (CODES[code].status if code in CODES else 0)
        path = self.masking.path(exchange.path[:TEXT_LIMIT], template)
        query = self.masking.query(exchange.query[:TEXT_LIMIT], secrets)
        entry = {
            "time": timestamp(time_ns()),
            "kind": "call",
            "event": event,
            "generation": self.generation if generation is None else generation.number,
            "worker": self.worker,
            "trace_id": exchange.trace_id,
            "client": exchange.client,
            "peer": "" if exchange.peer == exchange.client else exchange.peer,
            "consumer": "" if consumer is None else consumer.name,
            "credential": exchange.credential,
            "method": exchange.method,
            "path": f"{path}?{query}" if query else path,
            "route": "" if route is None else route.name,
            "status": status or None,
            "code": code,
            "decisions": [
                self.masking.prose(": ".join(filter(None, decision))) for decision in exchange.decisions
            ],
        }
        return {key: value for key, value in entry.items() if value not in ("", [], None)}

    # What entries go through.

    def offer(self, entry: Entry, *, waits: bool = True) -> asyncio.Future[None] | None:
        """Hand an entry on. The future is done when it is on the disk.

        None where nobody `waits`, or it was given up.
        """
        if self._is_full() and not (waits and self.config.on_full == "refuse"):
            self._miss()
            return None
        kept = asyncio.get_running_loop().create_future() if waits else None
        self._waiting.append((entry, kept))
        self._wake()
        return kept

    def _wake(self) -> None:
        if self._sending is None:
            self._sending = asyncio.get_running_loop().create_task(self._send_all())

    async def keep(self, entry: Entry) -> None:
        """Wait until an entry is on the disk. UnrecordableError where that takes too long."""
        kept = self.offer(entry)
        if kept is None:
            return
        done, _ = await asyncio.wait([kept], timeout=PATIENCE_SECONDS)
        if not done and self.config.on_full == "refuse":
            raise UnrecordableError

    @property
    def waiting(self) -> int:
        """Entries that wait for the disk."""
        return len(self._waiting)

    def _is_full(self) -> bool:
        return self._stuck or self.waiting >= self.config.queue

    async def _send_all(self) -> None:
        """Send what waits, a batch at a time, until nothing does; what fails is sent again."""
        pause, longest = PAUSES_SECONDS
        while self._waiting or self.missed:
            batch, missed = self._waiting[:BATCH], self.missed
            entries = [entry for entry, _ in batch]
            if missed:
                entries.append(self._gap(missed))
            try:
                await self._send(entries)
            except Exception as error:  # noqa: BLE001 - whatever it is, the entries are not on the disk
                if not self._stuck:
                    log.error("the audit log cannot be written: %s; trying again", error)  # noqa: TRY400
                self._stuck = True
                await asyncio.sleep(pause)
                pause = min(longest, pause * 2)
                continue
            if self._stuck:
                log.warning("the audit log is written again")
            self._stuck, pause = False, PAUSES_SECONDS[0]
            self.missed -= missed
            del self._waiting[: len(batch)]
            for _, kept in batch:
                if kept is not None and not kept.done():
                    kept.set_result(None)
        self._sending = None

    def _gap(self, missed: int) -> Entry:
        return {"time": timestamp(time_ns()), "kind": "audit", "event": "missed",
                "worker": self.worker, "entries": missed}  # fmt: skip

    async def close(self, grace_seconds: float = PATIENCE_SECONDS) -> None:
        """Send what waits, but no longer than `grace_seconds`."""
        if self._sending is not None:
            await asyncio.wait([self._sending], timeout=grace_seconds)
            if self._sending is not None:
                self._sending.cancel()
                log.error(
                    "the audit log misses the last %d entries: it cannot be written", len(self._waiting)
                )

    def __repr__(self) -> str:
        return f"<Auditor {len(self._waiting)} entries waiting{', stuck' if self._stuck else ''}>"
