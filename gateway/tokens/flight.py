"""Many ask, one goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Flights(Generic[T]):
    """At most one run under way per key; whoever asks meanwhile shares its result or its error.

    A run is a task of its own: a caller that leaves gives up waiting, and the others still get theirs.
    """

    __slots__ = ("_tasks",)

    def __init__(self) -> None:
        self._tasks: dict[Hashable, asyncio.Task[T]] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._tasks

    def start(self, key: Hashable, make: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
        """The run under `key`, begun where there is none."""
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.get_running_loop().create_task(make())

            def land(task: asyncio.Task[T]) -> None:
                del self._tasks[key]
                if not task.cancelled():
                    task.exception()  # told to those who wait; where nobody does, asyncio shall not complain

            task.add_done_callback(land)
        return task

    async def join(self, key: Hashable, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of the run under `key`, begun where there is none."""
        return await asyncio.shield(self.start(key, make))
