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
        self._lines: deque[str] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._dropped = metrics.counter("gateway_log_lines_dropped_total", "Access log lines given up")
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Queue a line; it ends in a line feed."""
        with self._changed:
            if len(self._lines) >= self._limit or self._stopping:
                self._dropped.add()
                return
            self._lines.append(line)
            if len(self._lines) == 1:
                self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines or self._stopping)
                if not self._lines:
                    return
                batch, size = [], 0
                while self._lines and size < BATCH_BYTES:
                    line = self._lines.popleft()
                    batch.append(line)
                    size += len(line)
            data = "".join(batch).encode("utf-8", "replace")
            try:
                while data:
                    data = data[os.write(self._fd, data) :]
            except OSError as error:  # nobody reads the log any more: the traces still matter
                log.error("the access log ends here: %s", error)  # noqa: TRY400
                with self._changed:
                    self._stopping = True
                    self._dropped.add((), len(batch) + len(self._lines))
                    self._lines.clear()
                return

    def close(self, grace_seconds: float = 1.0) -> None:
        """Write what waits, but no longer than `grace_seconds`."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(grace_seconds)
