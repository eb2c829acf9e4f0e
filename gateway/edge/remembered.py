"""What a pure function gave for the keys asked for lately, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

ENTRIES = 1024
LONGEST = 256
"""Bytes or characters of a key that is kept; with `ENTRIES` this bounds the memory a caller can fill."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Remembered(dict[K, V]):
    """`remembered[key]` is `work_out(key)`, worked out once while it is remembered.

    A full one forgets everything: what is asked for often is soon back, and a flood of keys that never
    come again costs each of them no more than working it out.
    """

    __slots__ = ("_size", "_work_out")

    def __init__(self, work_out: Callable[[K], V], size: Callable[[K], int]) -> None:
        super().__init__()
        self._work_out = work_out
        self._size = size

    def __missing__(self, key: K) -> V:
        value = self._work_out(key)
        if self._size(key) <= LONGEST:
            if len(self) >= ENTRIES:
                self.clear()
            self[key] = value
        return value
