"""Where the entries of all processes meet: written in groups, so that one wait for the disk serves many."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from time import monotonic, time_ns
from typing import Any

from gateway.audit.chain import Entry, Link
from gateway.audit.heads import add_head, head
from gateway.audit.log import AuditLog
from gateway.metrics import Metrics
from gateway.observer.printable import timestamp

log = logging.getLogger("gateway.audit")

Post = Callable[[str, bytes], Awaitable[None]]
"""Sends a head to a URL; raises where it was not taken."""


class Clerk:
    """Owns an open log. `post` sends heads to `webhook`."""

    def __init__(
        self,
        audit: AuditLog,
        metrics: Metrics,
        *,
        head_file: Path | None = None,
        webhook: str | None = None,
        every: float = 10.0,
        post: Post | None = None,
    ) -> None:
        self.audit = audit
        self._head_file, self._webhook, self._every, self._post = head_file, webhook, every, post
        self._tells = head_file is not None or webhook is not None
        self._thread = ThreadPoolExecutor(1, "audit")
        self._waiting: list[tuple[Sequence[Entry], asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._telling: asyncio.Task[None] | None = None
        self._told = audit.link
        self._told_at = 0.0
        self._urgent = asyncio.Event()
        """The head is to be told at once."""
        self._closed = False
        self._entries = metrics.counter(
            "gateway_audit_entries_total", "Audit entries on the disk.", ("kind",)
        )
        self._failures = metrics.counter(
            "gateway_audit_failures_total", "Writes of the audit log or its head that failed.", ("what",)
        )
        for what in ("log", "head_file", "webhook"):
            self._failures.add((what,), 0)

    @classmethod
    async def open(cls, audit: AuditLog, metrics: Metrics, **more: Any) -> Clerk:
        """Take over an open log; what a crash left half written is told first. Raises `OSError`."""
        clerk = cls(audit, metrics, **more)
        if (entry := audit.recovered()) is not None:
            log.warning("the audit log ended in a torn line, which was cut off: nobody was told what it said")
            await clerk.write([{"time": timestamp(time_ns()), **entry}])
        return clerk

    async def note(self, kind: str, event: str, **more: Any) -> None:
        """Record something the gateway did, or was told to do. Raises `OSError`."""
        told = {key: value for key, value in more.items() if value not in ("", None, [])}
        await self.write([{"time": timestamp(time_ns()), "kind": kind, "event": event, **told}])

    async def write(self, entries: Sequence[Entry]) -> None:
        """Returns when the entries are on the disk; raises `OSError` where they are not."""
        if self._closed:
            raise OSError("the audit log is closed")
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((entries, written))
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write_all())
        await asyncio.shield(written)

    async def _write_all(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            group, self._waiting = self._waiting, []
            entries = [entry for some, _ in group for entry in some]
            try:
                await loop.run_in_executor(self._thread, self.audit.append, entries)
            except Exception as error:  # noqa: BLE001 - goes to those who wait
                self._failures.add(("log",))
                for _, written in group:
                    if not written.done():
                        written.set_exception(error)
                        written.exception()  # whoever waited may have left
                continue
            for entry in entries:
                kind = str(entry["kind"])
                self._entries.add((kind,))
                if kind != "call":
                    self._urgent.set()
            for _, written in group:
                if not written.done():
                    written.set_result(None)
            if self._telling is None and self._tells:
                self._telling = loop.create_task(self._tell())
        self._writing = None

    # The head.

    async def _tell(self) -> None:
        """Write the head out: at once for what is no call, else when its time has come."""
        try:
            while self._told != self.audit.link and not self._closed:
                left = self._told_at + self._every - monotonic()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._urgent.wait(), max(0.0, left))
                await self._tell_now()
        finally:
            self._telling = None

    async def _tell_now(self) -> None:
        link: Link = self.audit.link
        self._urgent.clear()
        self._told_at = monotonic()
        line = head(link, time_ns())
        told = True
        if self._head_file is not None:
            try:
                await asyncio.get_running_loop().run_in_executor(None, add_head, self._head_file, line)
            except OSError as error:
                told = self._failed("head_file", error)
        if self._webhook is not None and self._post is not None:
            try:
                await self._post(self._webhook, line)
            except Exception as error:  # noqa: BLE001 - a receiver may fail in any way
                told = self._failed("webhook", error)
        if told:
            self._told = link

    def _failed(self, what: str, error: Exception) -> bool:
        self._failures.add((what,))
        log.error("the head of the audit log cannot be told to the %s: %s", what.replace("_", " "), error)
        return False

    async def close(self) -> None:
        """Write what waits, and let the log go. `tell_last` is still to be called."""
        while self._writing is not None:
            await asyncio.wait([self._writing])
        self._closed = True
        if self._telling is not None:
            self._telling.cancel()
        self._thread.shutdown()
        self.audit.close()

    async def tell_last(self) -> None:
        """Write out the head that a closed log ended with, once."""
        if self._telling is not None:
            await asyncio.wait([self._telling])
        if self._tells and self._told != self.audit.link:
            await self._tell_now()

    def __repr__(self) -> str:
        return f"<Clerk of {self.audit!r}, {len(self._waiting)} groups waiting>"
