"""What a fetch brings home for everybody who waited for it, and what outlives the fetches."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from gateway.caching.answer import Answer
from gateway.caching.flights import Flights
from gateway.errors import Native, Refused
from gateway.exchange import Exchange, Response

FORGET_SECONDS = 10.0
"""What could not be kept once is tried again after so long."""


class Failure:
    """A failed answer, complete, for several callers."""

    __slots__ = ("body", "code", "headers", "kind", "native", "status")

    def __init__(self, response: Response, body: bytes, native: Native | None) -> None:
        self.status, self.headers, self.body = response.status, list(response.headers), body
        self.kind, self.code, self.native = response.kind, response.code, native

    def response(self, exchange: Exchange) -> Response:
        """The same failure for one more caller."""
        response = Response(self.status, list(self.headers), self.body)
        response.kind, response.code = self.kind, self.code
        exchange.code, exchange.native = self.code, self.native
        return response


class Landing:
    """The leader's own response or refusal, and what its followers get: an answer, a failure, or nothing."""

    __slots__ = ("answer", "failure", "own", "refusal", "result")

    def __init__(
        self,
        own: Response | None,
        result: str,
        *,
        answer: Answer | None = None,
        failure: Failure | None = None,
        refusal: Refused | None = None,
    ) -> None:
        self.own, self.result, self.answer, self.failure, self.refusal = own, result, answer, failure, refusal


class Uncacheable:
    """Keys whose answers could not be kept lately: their callers need not wait for each other."""

    __slots__ = ("_until", "most")

    def __init__(self, most: int = 1024) -> None:
        self.most = most
        self._until: OrderedDict[Hashable, float] = OrderedDict()

    def add(self, key: Hashable, now: float) -> None:
        """Remember a key, forgetting the oldest one where there are too many."""
        self._until[key] = now + FORGET_SECONDS
        self._until.move_to_end(key)
        if len(self._until) > self.most:
            self._until.popitem(last=False)

    def has(self, key: Hashable, now: float) -> bool:
        """Was the key's answer uncacheable lately?"""
        until = self._until.get(key)
        if until is None:
            return False
        if until <= now:
            del self._until[key]
            return False
        return True

    def __len__(self) -> int:
        return len(self._until)


class Live:
    """What survives a reload beside the answers themselves."""

    __slots__ = ("flights", "uncacheable")

    def __init__(self) -> None:
        self.flights: Flights[Landing] = Flights()
        self.uncacheable = Uncacheable()
