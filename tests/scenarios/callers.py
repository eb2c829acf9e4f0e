"""Callers that never stop calling, each on a keep-alive connection of its own, and note what went wrong."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self


class Callers:
    """`check` is asked about every answer, with what `before` gave as it began; it says what is wrong."""

    def __init__(
        self,
        port: int,
        path: str,
        count: int,
        *,
        before: Callable[[], int] = lambda: 0,
        check: Callable[[int, http.client.HTTPResponse], str] = lambda _before, _answer: "",
    ) -> None:
        self.port, self.path = port, path
        self.before, self.check = before, check
        self.failures: list[str] = []
        self.broken = 0
        """Connections that ended under a call."""
        self.done = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _call(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        while not self._stop.is_set():
            before = self.before()
            try:
                connection.request("GET", self.path)
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.broken += 1
                self.failures.append(f"broken: {error!r}")
                connection.close()
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
                continue
            self.done += 1
            if answer.status != 200 or body != b"the whole":
                self.failures.append(f"{answer.status}: {body[:300]!r}")
            elif told := self.check(before, answer):
                self.failures.append(told)
        with suppress(OSError):
            connection.close()
