"""Lines on their way to standard output, by a thread: a full pipe must not stop the observer."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque

from gateway.metrics import Metrics

log = logging.getLogger("gateway.observer")

LINES_LIMIT = 20_000
BATCH_BYTES = 64 * 1024


class LineWriter:
    """Writes lines to a file descriptor. `write` never waits; what does not fit is dropped and counted."""

    def __init__(self, fd: int, metrics: Metrics | None = None, *, limit: int = LINES_LIMIT) -> None:
        metrics = Metrics() if metrics is None else metrics
        self._fd = fd
        self._limit = limit
        self._chunks: deque[tuple[str, int]] = deque()
        """Lines, joined, and how many they are."""
        self._waiting = 0
        self._changed = threading.Condition()
        self._stopping = False
        self._dropped = metrics.counter("gateway_log_lines_dropped_total", "Access log lines given up")
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def write(self, *lines: str) -> None:
        """Queue lines; each ends in a line feed."""
        with self._changed:
            room = 0 if self._stopping else self._limit - self._waiting
            if len(lines) > room:
                self._dropped.add((), len(lines) - room)
                lines = lines[:room]
            if lines:
                self._chunks.append(("".join(lines), len(lines)))
                if not self._waiting:
                    self._changed.notify()
                self._waiting += len(lines)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._chunks or self._stopping)
                if not self._chunks:
                    return
                batch, size, count = [], 0, 0
                while self._chunks and size < BATCH_BYTES:
                    lines, among = self._chunks.popleft()
                    batch.append(lines)
                    size += len(lines)
                    count += among
                self._waiting -= count
            data = "".join(batch).encode("utf-8", "replace")
            try:
                while data:
                    data = data[os.write(self._fd, data) :]
            except OSError as error:  # nobody reads the log any more: the traces still matter
                log.error("the access log ends here: %s", error)  # noqa: TRY400
                with self._changed:
                    self._stopping = True
                    self._dropped.add((), count + self._waiting)
                    self._chunks.clear()
                    self._waiting = 0
                return

    def close(self, grace_seconds: float = 1.0) -> None:
        """Write what waits, but no longer than `grace_seconds`."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(grace_seconds)
