"""The audit log of one running gateway: opened as the configuration says, and told what is done to it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.audit import AuditConfig, AuditLog, Clerk, DamagedError, Entry, InUseError
from gateway.upstream.control import HttpxControlClient

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.metrics import Metrics

log = logging.getLogger("gateway.audit")

WEBHOOK_SECONDS = 5.0


class AuditError(Exception):
    """The audit log cannot be written; the message says why, and what to do."""


class Auditing:
    """Without `audit:` in the configuration it does nothing."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._control: HttpxControlClient | None = None
        """Made for the first head that goes to a webhook: it reads all the authorities of the system."""
        self._clerk: Clerk | None = None
        self._config: Config | None = None
        """What says how the log is written; `_clerk` is None all the same where it could not be opened."""
        self._changing = asyncio.Lock()
        """Who writes waits while one log gives way to another."""
        self._last_heads: set[asyncio.Task[None]] = set()

    async def use(self, config: Config) -> bool:
        """Write the log as `config` says from now on. AuditError where that cannot be; then nothing changes.

        True where that is another log, or written in another way.
        """
        async with self._changing:
            before = self._config
            if _written_how(config) == _written_how(before) and (self._clerk or config.audit is None):
                return False
            await self._leave()
            try:
                await self._open(config)
            except AuditError:
                if before is not None:
                    with suppress(AuditError):  # tried again when there is something to write
                        await self._open(before)
                raise
        return config.audit is not None

    async def _open(self, config: Config) -> None:
        self._config = config
        settings = config.audit
        if settings is None:
            return
        directory = config.state_dir / settings.directory
        written: AuditLog | None = None
        try:
            written = AuditLog(
                directory,
                settings.key.get_secret_value().encode(),
                old_keys=tuple(key.get_secret_value().encode() for key in settings.old_keys),
                segment_bytes=settings.rotate.size,
                segment_seconds=settings.rotate.every,
            )
            self._clerk = await Clerk.open(
                written,
                self._metrics,
                head_file=None if settings.head.path is None else config.beside(settings.head.path),
                webhook=settings.head.webhook,
                every=settings.head.every,
                post=self._post,
            )
        except OSError as error:
            if written is not None:
                written.close()
            raise AuditError(f"the audit log in {directory} cannot be written: {error}") from None
        except (DamagedError, InUseError) as error:
            raise AuditError(str(error)) from None

    async def _post(self, url: str, line: bytes) -> None:
        if self._control is None:
            self._control = HttpxControlClient()
        headers = {"content-type": "application/json"}
        answer = await self._control.request(
            "POST", url, headers=headers, content=line, timeout=WEBHOOK_SECONDS
        )
        if not 200 <= answer.status < 300:
            raise OSError(f"it answers {answer.status}")

    async def note(self, kind: str, event: str, **more: Any) -> None:
        """Record something. AuditError where it cannot be, and must not happen unrecorded therefore."""
        settings = None if self._config is None else self._config.audit
        if settings is None:
            return
        try:
            await (await self._at_work()).note(kind, event, **more)
        except (OSError, AuditError) as error:
            if settings.on_full == "refuse":
                raise AuditError(f"the audit log cannot be written: {error}") from None
            log.error("the audit log misses an entry, %s %s: %s", kind, event, error)  # noqa: TRY400

    async def _at_work(self) -> Clerk:
        """Who writes the log; it is opened now where that failed before. `OSError` or AuditError."""
        async with self._changing:
            if self._clerk is None and self._config is not None:
                await self._open(self._config)
            if self._clerk is None:
                raise OSError("there is none just now")
            return self._clerk

    async def happened(self, kind: str, event: str, **more: Any) -> None:
        """Record what nobody could have stopped; where it cannot be, the gateway's own log says so."""
        try:
            await self.note(kind, event, **more)
        except AuditError as error:
            log.error("the audit log misses an entry, %s %s: %s", kind, event, error)  # noqa: TRY400

    async def hear(self, op: str, payload: Any) -> str:
        """What workers ask: to write entries. Why it could not be done; empty where it was."""
        if op != "audit":
            raise ValueError(f"a worker asks nothing but to write the audit log, and asked {op}")
        try:
            await self.write(payload)
        except (OSError, AuditError) as error:
            return f"{error}"
        return ""

    async def write(self, entries: Sequence[Entry]) -> None:
        """Returns when they are on the disk; raises `OSError` or AuditError where they are not."""
        await (await self._at_work()).write(entries)

    async def _leave(self) -> None:
        """Let the log go; its last head reaches a webhook when it can."""
        clerk, self._clerk = self._clerk, None
        if clerk is not None:
            await clerk.close()
            task = asyncio.create_task(clerk.tell_last())
            self._last_heads.add(task)
            task.add_done_callback(self._last_heads.discard)

    async def close(self) -> None:
        """Write what waits and the last head, and let the log go."""
        async with self._changing:
            await self._leave()
            self._config = None
        await asyncio.gather(*self._last_heads)
        if self._control is not None:
            await self._control.close()


def _written_how(config: Config | None) -> tuple[AuditConfig, Path] | None:
    if config is None or config.audit is None:
        return None
    return config.audit, config.state_dir
