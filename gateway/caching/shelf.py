"""Where one route's answers are kept: in this worker's memory, behind it in the store that is shared."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from hashlib import sha256

from gateway.caching.answer import Answer
from gateway.stores.answers import AnswerMemory
from gateway.stores.bytes import ByteStore

VALIDATORS_KEPT_SECONDS = 3600.0
"""How much longer the shared store keeps what can be validated instead of fetched."""


class Shelf:
    """One route's part of the cache, purged by route, by tag, and by what an unsafe call changed."""

    def __init__(
        self,
        memory: AnswerMemory[Answer],
        store: ByteStore,
        time: Callable[[], float],
        *,
        route: str,
        upstream: str,
        tags: tuple[str, ...],
        share: int | None,
    ) -> None:
        self.memory, self.store, self.time, self.share = memory, store, time, share
        self.tags = (f"route:{route}", *(f"tag:{tag}" for tag in tags))
        self.upstream = f"upstream:{upstream}"
        self.scopes = (*self.tags, self.upstream)

    def uri(self, target: str) -> str:
        """What a changed resource is purged by, over all routes to the upstream."""
        return f"uri:{self.upstream} {target}"

    def purges(self) -> int:
        """Compare before and after a fetch: what was asked for before a purge is not to be kept after it."""
        return self.memory.purges(self.scopes)

    async def load(self, key: Hashable, target: str) -> Answer | None:
        """The answer another worker kept; from now on this one has it in memory too."""
        tags = (*self.tags, self.uri(target))
        purges = self.purges()
        found = await self.store.get(_name(key), tags)
        answer = None if found is None else Answer.decode(found[0])
        if found is None or answer is None or answer.received <= found[1] or self.purges() != purges:
            return None
        answer.tags, answer.share = tags, self.share
        self.memory.put(key, answer)
        return answer

    def put(self, key: Hashable, target: str, answer: Answer, *, stale_seconds: float) -> bool:
        """Keep an answer, for `stale_seconds` past its freshness at least; False where it is too large."""
        answer.tags, answer.share = (*self.tags, self.uri(target)), self.share
        if not self.memory.put(key, answer):
            return False
        if self.store.shared:
            seconds = max(0.0, answer.left(answer.received)) + max(
                stale_seconds,
                answer.fresh.stale_while_revalidate,
                answer.fresh.stale_if_error,
                VALIDATORS_KEPT_SECONDS if answer.etag or answer.last_modified else 0.0,
            )
            self.store.set(_name(key), answer.encode(), seconds)
        return True

    def changed(self, target: str) -> None:
        """An unsafe call may have changed this resource: what is kept of it goes (RFC 9111 §4.4)."""
        uri = self.uri(target)
        self.memory.purge(uri, scope=self.upstream)
        self.store.mark(uri, self.time())


def _name(key: Hashable) -> str:
    return sha256(repr(key).encode()).hexdigest()
