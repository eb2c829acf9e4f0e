"""The audit log of one running gateway: opened as the configuration says, and told what is done to it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
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
        self._control = HttpxControlClient()
        self._clerk: Clerk | None = None
        self._used: tuple[AuditConfig, Path] | None = None

    async def use(self, config: Config) -> bool:
        """Write the log as `config` says from now on. AuditError where that cannot be; then nothing changes.

        True where that is another log, or written in another way.
        """
        wanted = None if config.audit is None else (config.audit, config.state_dir)
        if wanted == self._used:
            return False
        before = self._used
        await self._close()
        try:
            await self._open(wanted, config)
        except AuditError:
            await self._open(before, config)
            raise
        return wanted is not None

    async def _open(self, wanted: tuple[AuditConfig, Path] | None, config: Config) -> None:
        self._used = wanted
        if wanted is None:
            return
        settings, state_dir = wanted
        self._clerk = None
        try:
            written = AuditLog(
                state_dir / settings.directory,
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
            self._used = None
            raise AuditError(
                f"the audit log in {state_dir / settings.directory} cannot be written: {error}"
            ) from None
        except (DamagedError, InUseError) as error:
            self._used = None
            raise AuditError(str(error)) from None

    async def _post(self, url: str, line: bytes) -> None:
        headers = {"content-type": "application/json"}
        answer = await self._control.request(
            "POST", url, headers=headers, content=line, timeout=WEBHOOK_SECONDS
        )
        if not 200 <= answer.status < 300:
            raise OSError(f"it answers {answer.status}")

    async def note(self, kind: str, event: str, **more: Any) -> None:
        """Record something. AuditError where it cannot be, and must not happen unrecorded therefore."""
        if self._clerk is None or self._used is None:
            return
        try:
            await self._clerk.note(kind, event, **more)
        except OSError as error:
            if self._used[0].on_full == "refuse":
                raise AuditError(f"the audit log cannot be written: {error}") from None
            log.error("the audit log misses an entry, %s %s: %s", kind, event, error)  # noqa: TRY400

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
        except OSError as error:
            return f"{error}"
        return ""

    async def write(self, entries: Sequence[Entry]) -> None:
        """Returns when they are on the disk; raises `OSError` where they are not."""
        if self._clerk is None:
            raise OSError("there is none just now")
        await self._clerk.write(entries)

    async def _close(self) -> None:
        clerk, self._clerk = self._clerk, None
        if clerk is not None:
            await clerk.close()

    async def close(self) -> None:
        """Write what waits and the last head, and let the log go."""
        await self._close()
        await self._control.close()
