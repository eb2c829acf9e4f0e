"""Small things that many tests need: an exchange, services on a fake clock, a scripted upstream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from gateway.errors import Sent, UpstreamError
from gateway.exchange import Exchange, Response
from gateway.services import Answer, FakeClock, Services
from gateway.stores import Stores


def make_exchange(method: str = "GET", path: str = "/games", **more: Any) -> Exchange:
    return Exchange(method=method, path=path, **more)


class NoControl:
    """A control plane that reaches nothing."""

    async def request(self, method: str, url: str, **more: Any) -> Answer:
        detail = f"{method} {url} is not played"
        raise UpstreamError("UPSTREAM_UNREACHABLE", detail, sent=Sent.NO, reason="refused")


def make_services(**more: Any) -> Services:
    more.setdefault("control", NoControl())
    more.setdefault("stores", Stores())
    more.setdefault("clock", FakeClock())
    return Services(**more)


class Upstream:
    """The innermost forward: answers from a list (the last answer repeats), and remembers what it saw."""

    def __init__(self, *answers: Response | BaseException | Callable[[Exchange], Response]) -> None:
        self.answers = list(answers) or [lambda _: Response(200, [], b"ok")]
        self.seen: list[Exchange] = []

    @property
    def calls(self) -> int:
        return len(self.seen)

    async def __call__(self, exchange: Exchange) -> Response:
        answer = self.answers[min(self.calls, len(self.answers) - 1)]
        self.seen.append(exchange)
        await asyncio.sleep(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer if isinstance(answer, Response) else answer(exchange)
