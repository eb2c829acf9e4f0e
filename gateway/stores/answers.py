"""Stored answers in this process: the least recently used leave when the bytes run out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar

LARGEST_SHARE = 4
"""One answer takes at most this part (a quarter) of the memory: it must not push all others out."""


class Kept(Protocol):
    """What the memory has to know of an answer."""

    size: int
    """Bytes it takes."""
    share: int | None
    """Most bytes all answers of its route may take; None for all there are."""
    tags: tuple[str, ...]
    """What it can be purged by; the first one names its route."""


K = TypeVar("K", bound=Kept)


class AnswerMemory(Generic[K]):
    """All cached answers of one worker, under one bound in bytes, indexed by what they can be purged by."""

    def __init__(self, max_bytes: int = 64 * 1024 * 1024) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self.evicted = 0
        """Answers pushed out by others, ever."""
        self._answers: OrderedDict[Hashable, K] = OrderedDict()
        self._tagged: dict[str, OrderedDict[Hashable, None]] = {}
        self._route_bytes: dict[str, int] = {}
        self._purges: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: Hashable) -> K | None:
        """The answer under `key`, used just now."""
        answer = self._answers.get(key)
        if answer is not None:
            self._answers.move_to_end(key)
            if answer.share is not None:
                self._tagged[answer.tags[0]].move_to_end(key)
        return answer

    def peek(self, key: Hashable) -> K | None:
        """The answer under `key`, leaving no trace."""
        return self._answers.get(key)

    def put(self, key: Hashable, answer: K) -> bool:
        """Keep an answer under `key`, making room for it; False where it is too large."""
        self.drop(key)
        limit = self.max_bytes // LARGEST_SHARE
        if answer.size > limit or (answer.share is not None and answer.size > answer.share):
            return False
        route = answer.tags[0]
        if answer.share is not None:
            while self._route_bytes.get(route, 0) + answer.size > answer.share:
                self._evict(next(iter(self._tagged[route])))
        while self.bytes + answer.size > self.max_bytes:
            self._evict(next(iter(self._answers)))
        self._answers[key] = answer
        self.bytes += answer.size
        self._route_bytes[route] = self._route_bytes.get(route, 0) + answer.size
        for tag in answer.tags:
            self._tagged.setdefault(tag, OrderedDict())[key] = None
        return True

    def drop(self, key: Hashable) -> bool:
        """Forget one answer; False where there was none."""
        answer = self._answers.pop(key, None)
        if answer is None:
            return False
        self.bytes -= answer.size
        route = answer.tags[0]
        self._route_bytes[route] -= answer.size
        for tag in answer.tags:
            keys = self._tagged[tag]
            keys.pop(key, None)
            if not keys:
                del self._tagged[tag]
        if not self._route_bytes[route]:
            del self._route_bytes[route]
        return True

    def _evict(self, key: Hashable) -> None:
        self.drop(key)
        self.evicted += 1

    def purge(self, tag: str, *, scope: str = "") -> int:
        """Forget all answers under a tag; returns how many.

        What is being fetched right now under `scope` (the tag, unless told) will not be kept either.
        """
        scope = scope or tag
        self._purges[scope] = self._purges.get(scope, 0) + 1
        return sum(self.drop(key) for key in list(self._tagged.get(tag, ())))

    def purges(self, scopes: tuple[str, ...]) -> int:
        """How many purges hit these scopes so far."""
        return sum(self._purges.get(scope, 0) for scope in scopes)

    def __repr__(self) -> str:
        return (
            f"<AnswerMemory {len(self)} answers, {self.bytes}/{self.max_bytes} bytes, {self.evicted} evicted>"
        )
