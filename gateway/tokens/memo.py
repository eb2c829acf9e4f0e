"""What was found out about tokens, for as long as it holds."""

from __future__ import annotations

from typing import Generic, TypeVar

V = TypeVar("V")

_LIMIT = 10_000


class Memo(Generic[V]):
    """A bounded dictionary whose entries end. When full, the oldest entry goes: no flood makes it grow."""

    __slots__ = ("_entries", "_limit")

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit = limit
        self._entries: dict[bytes, tuple[float, V]] = {}

    def get(self, key: bytes, now: float) -> V | None:
        """What is remembered under `key`, None where nothing is or its time has passed."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if now >= entry[0]:
            del self._entries[key]
            return None
        return entry[1]

    def put(self, key: bytes, value: V, until: float) -> None:
        """Remember `value`; `until` is on the scale of `get`'s `now`."""
        self._entries.pop(key, None)
        if len(self._entries) >= self._limit:
            del self._entries[next(iter(self._entries))]
        self._entries[key] = (until, value)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)
